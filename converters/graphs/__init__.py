"""Trained models as ONNX graphs: one file per kind."""
