"""The workshop: trained models in, proven and signed ONNX bundles out. The daemon never imports it."""
