"""Background subtraction networks as engines, pipelined inside a camera appliance."""

from edgebs.version import __version__

__all__ = ["__version__"]
