"""Inputs of the networks while they are exported and compared."""
