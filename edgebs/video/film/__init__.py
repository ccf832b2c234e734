"""Video files, pipes and addresses, decoded by FFmpeg (PyAV)."""
