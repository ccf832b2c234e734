"""FP32 ONNX to INT8 ONNX: scales from a calibration set, rewrites for each runtime."""
