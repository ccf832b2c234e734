"""A rendered street for the demo and the tests."""
