"""What a training run of our flow network is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgebs.errors import ExportError, OptionError
from export.models.request import RANDOM
from export.training.request import LoopOptions
from export.training.stream.feed import Feed

FLOW = "flow"
"""What `edgebs train` calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTrainRequest:
    """How to train the network of `--flow net`."""

    loop: LoopOptions
    feed: Feed
    size: tuple[int, int] = (128, 128)
    """(H, W) of the samples."""
    gaps: tuple[int, ...] = (1, 5, 10)
    """Frames between the two of a pair, at 25 a second."""
    weights: str = RANDOM
    """Where training starts: a safetensors file, or random by the loop's seed."""
    augment: bool = True
    """Mirror, transpose, change colours."""
    validation_sequences: int = 64
    """Rendered scenes held back."""
    images: Path | None = None
    """A folder of the user's pictures for the scenes."""

    def __post_init__(self) -> None:
        """Raise ExportError for a size, a gap or weights that cannot be."""
        from export.networks.flownet import check_flow_size

        check_flow_size(self.size)
        if not self.gaps or min(self.gaps) < 1:
            raise OptionError(f"--intervals must be frame counts of at least 1, got {self.gaps}.")
        if self.weights != RANDOM and not Path(self.weights).is_file():
            raise ExportError(f"no weights at {self.weights}. Name a .safetensors file, or use random.")
        if self.validation_sequences < 1:
            raise OptionError(f"--validation must be at least 1, got {self.validation_sequences}.")
