"""The edge gateway agent: devices in, scored windows and readings out.

`edge_agent` hands records to `cloud_sync`; `converters` builds the model bundles it runs.
"""

__version__ = "0.1.0"
