"""Rendered scenes with exact masks and exact optical flow."""
