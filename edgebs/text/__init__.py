"""Text that may be shown: printable, without secrets."""
