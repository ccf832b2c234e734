"""This computer: processor, signals, terminal, and what is missing."""
