"""Frames in and masks out: sources and sinks."""
