"""Weights to ONNX, once, at set-up or when the image is baked. A worker never imports this."""
