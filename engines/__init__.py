"""ONNX file to engine file for a target, and what the engine says about itself."""
