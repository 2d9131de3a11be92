"""The edge gateway agent: devices in, scored windows and readings out.

`edge_agent` hands records to `cloud_sync`; `converters` builds the model bundles it runs.

Nothing phones home. onnxruntime 1.29 and newer do at import, so the locks hold an older one, and here, before any other
line of ours, it is told not to: the agent, the workshop, the benchmarks and the tests all come in through this file.
"""

import os

__version__ = "0.1.0"

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
