"""Sequences with ground truth, read from the layouts of public data sets."""
