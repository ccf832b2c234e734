"""This computer: processor, packages, signals, and what is missing."""
