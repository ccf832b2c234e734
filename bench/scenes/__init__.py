"""Rendered scenes with exact masks and exact optical flow."""

from __future__ import annotations

FIRST_RESERVED = 2_000_000_000
"""Seeds of trainings and corpora are below."""


VALIDATION = 2_000_000_011
"""Validation of trainings."""


CALIBRATION = 2_000_000_027
"""Calibration of INT8."""


FLOW_EVALUATION = 2_000_000_033
"""Evaluation of flow networks."""


THRESHOLD = 2_000_000_039
"""Choice of a shipped model's threshold."""


PARITY = 2_000_000_063
"""F of a bundle and of PyTorch."""


LAYERS = 2_000_000_089
"""Choice of the INT8 layers that are restored to floating point."""


FLOW_CHECK = LAYERS
"""Error of an external flow. It shares the scenes of LAYERS, whose choice does not depend on that error."""
