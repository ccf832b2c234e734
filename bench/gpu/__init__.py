"""Measurements on NVIDIA GPUs: clocks and power, PyTorch on the GPU, trtexec."""
