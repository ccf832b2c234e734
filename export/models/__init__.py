"""Which models there are, their weights and descriptions."""
