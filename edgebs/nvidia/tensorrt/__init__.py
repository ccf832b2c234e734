"""TensorRT 8.6, 10, 11 and TensorRT-RTX: engines, contexts, kernel cache."""
