"""Calibration sets: frames chosen from a video, stored with their origin."""
