"""The workshop: trained models in, proven and signed ONNX bundles out. The daemon never imports it."""

import edge_agent as edge_agent  # first: it keeps onnxruntime from reporting home
