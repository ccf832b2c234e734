"""Which frames calibrate, and the ONNX to quantised ONNX step."""
