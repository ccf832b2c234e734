"""PyTorch to ONNX, and ONNX to other precisions; checks of ONNX files."""
