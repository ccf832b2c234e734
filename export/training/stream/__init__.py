"""Batches of samples, rendered ahead by other processes."""
