"""PyTorch networks, their weights, and PyTorch to ONNX."""
