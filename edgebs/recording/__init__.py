"""Runs whose results are written to files, over one source or several."""
