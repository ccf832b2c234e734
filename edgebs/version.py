"""The version, in a file that a build can read without importing the package's dependencies."""

__version__ = "0.1.0"
