"""Everything for NVIDIA GPUs: plans, CUDA, frames that stay on the device."""
