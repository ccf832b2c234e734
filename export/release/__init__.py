"""Making what ships with the package, and records of it."""
