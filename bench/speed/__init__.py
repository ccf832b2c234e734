"""Frames per second, latency and memory."""
