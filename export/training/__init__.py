"""Training: rendered and scored sequences to weights that `edgebs export` takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import scenes as seeds
from edgebs.errors import ExportError, OptionError
from export.models.request import RANDOM, ModelRequest
from export.training.samples.mixture import DataOptions, data_share
from export.training.stream import Feed

LOSSES = ("bce-dice", "outlines", "shadows", "cs-focal", "cs-focal-published")
PRECISIONS = ("bf16", "fp32")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Linear warm-up, then a cosine to zero; by steps, which repeat exactly, or by the clock."""

    peak: float = 2e-3
    """Learning rate after the warm-up."""
    warm_up_steps: int = 200
    steps: int = 0
    """Optimiser steps of the whole run; 0 for no limit."""
    minutes: float = 0.0
    """Minutes of the whole run; 0 for no limit."""

    def __post_init__(self) -> None:
        """Raise ExportError for a run without an end, or invalid numbers."""
        if not math.isfinite(self.minutes):
            raise OptionError(f"the minutes of a run are a number, got {self.minutes}: correct --minutes.")
        if self.steps <= 0 and self.minutes <= 0:
            raise OptionError("this training would never end: give --steps, --minutes or both.")
        if not (math.isfinite(self.peak) and self.peak > 0):
            raise OptionError(f"the learning rate must be above 0, got {self.peak}: correct --lr.")

    def progress(self, step: int, elapsed_s: float) -> float:
        """Share of the run that is over, by whichever limit is nearer; 1 and more is the end."""
        by_steps = step / self.steps if self.steps > 0 else 0.0
        by_clock = elapsed_s / (60 * self.minutes) if self.minutes > 0 else 0.0
        return max(by_steps, by_clock)

    def shown(self, step: int, elapsed_s: float) -> tuple[int, int]:
        """(done, total) for a progress bar: steps, or seconds where the clock ends the run first."""
        by_steps = step / self.steps if self.steps > 0 else 0.0
        if by_steps >= self.progress(step, elapsed_s):
            return min(step, self.steps), self.steps
        return min(int(elapsed_s), int(60 * self.minutes)), max(int(60 * self.minutes), 1)

    def rate(self, step: int, progress: float) -> float:
        """Learning rate of step `step`, counted from 0."""
        warm = min((step + 1) / self.warm_up_steps, 1.0) if self.warm_up_steps > 0 else 1.0
        return self.peak * warm * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """How to train. `out` receives everything."""

    out: Path
    schedule: Schedule
    seed: int = 0
    batch: int = 16
    weight_decay: float = 1e-4
    """Of everything but norms and biases."""
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.998
    precision: str = "bf16"
    """Of the forward pass: bf16 (autocast, weights stay float32) or fp32."""
    device: str = "auto"
    threads: int = 0
    """CPU threads of PyTorch; 0 leaves its own choice."""
    save_every: int = 250
    """Steps between checkpoints; 0 for none but by the clock."""
    save_minutes: float = 5.0
    """Minutes between checkpoints; 0 for none but by steps."""
    validate_every: int = 500
    """Steps between validations."""
    keep_validated: bool = False
    """Keep the weights of each validated step as well, for export.release.weights."""
    log_every: int = 25
    """Steps of one row of curves.csv."""
    resume: bool = False
    """Go on from the checkpoint in `out`, where there is one."""
    force: bool = False
    """Replace the run in `out`."""

    def __post_init__(self) -> None:
        """Raise ExportError naming the option that is out of range."""
        _require(self.precision in PRECISIONS, "--precision", self.precision, " or ".join(PRECISIONS))
        _require(self.device in DEVICES, "--device", self.device, " or ".join(DEVICES))
        _require(self.batch >= 1, "--batch", self.batch, "at least 1")
        _require(0 <= self.ema_decay < 1, "--ema", self.ema_decay, "in [0, 1)")
        _require(
            0 <= self.seed < seeds.FIRST_RESERVED, "--seed", self.seed, f"in [0, {seeds.FIRST_RESERVED})"
        )
        _require(0 <= self.save_minutes < math.inf, "--save-minutes", self.save_minutes, "at least 0")
        for name in ("validate_every", "log_every"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")

    def settings(self) -> dict[str, Any]:
        """What must stay the same for a resumed run to be the same run."""
        return {
            "seed": self.seed,
            "batch": self.batch,
            "lr": self.schedule.peak,
            "warm-up": self.schedule.warm_up_steps,
            "weight-decay": self.weight_decay,
            "betas": list(self.betas),
            "clip": self.clip,
            "ema": self.ema_decay,
            "precision": self.precision,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """What to train, on what, and how."""

    model: ModelRequest
    """Its `weights` are where training starts: a file, or random by `model.seed`."""
    loop: LoopOptions
    feed: Feed
    loss: str = "bce-dice"
    augment: bool = True
    """Flips and colour changes."""
    validation_sequences: int = 64
    """Rendered sequences held back."""
    overexposed: float = 0.3
    """Share of the rendered sequences with too much light, 0 to 1."""
    settled: float = 0.0
    """Share of the rendered sequences whose watch begins shortly before an object comes to stay, 0 to 1."""
    images: Path | None = None
    """A folder of the user's pictures for the scenes."""
    data: DataOptions | None = None
    """Scored sequences to train on."""
    corpus: tuple[Path, ...] = ()
    """Corpora that stand in place of scenes rendered during the training."""
    resident: int = 0
    """Clips of the corpora that are held in the device's memory, where samples are made; 0 for none."""
    mix: str = ""
    """Weights like rendered=0.8,data=0.2; "" for half and half with data, and all rendered without."""

    def __post_init__(self) -> None:
        """Raise ExportError for a loss that is not known."""
        _require(self.loss in LOSSES, "--loss", self.loss, " or ".join(LOSSES))
        _require(self.validation_sequences >= 1, "--validation", self.validation_sequences, "at least 1")
        _require(0 <= self.overexposed <= 1, "--overexposed", self.overexposed, "from 0 to 1")
        _require(0 <= self.settled <= 1, "--settled", self.settled, "from 0 to 1")
        if self.settled and not self.model.cue.traits.has_two_backgrounds:
            raise OptionError(f"{self.model.model} cannot tell who came to stay: leave --settled out.")
        if self.corpus:
            self._require_corpus()
        _require(self.resident == 0 or bool(self.corpus), "--resident", self.resident, "0 without --corpus")
        _require(self.data is not None or not self.mix, "--mix", self.mix, "left out, or used with --data")
        _ = self.data_share
        if self.data is not None:
            fits = all(a >= b for a, b in zip(self.data.size, self.model.size, strict=True))
            given = "x".join(map(str, self.data.size[::-1]))
            _require(fits, "--data-size", given, "at least --size, from which crops are taken")
            if self.data.fold is not None:
                _require_whole_frames(self.model, self.data.size)

    def _require_corpus(self) -> None:
        if not self.model.cue.traits.has_two_backgrounds:
            raise ExportError(f"a corpus holds the cue of edge: leave --corpus out for {self.model.model}.")
        if self.data is not None or self.images is not None or self.settled:
            raise ExportError(
                "a corpus is rendered already: leave --data, --images and --settled out, or give them to "
                "python -m export.training.corpus."
            )

    @property
    def settings(self) -> dict[str, Any]:
        """What every task that starts from `model` adds to its settings."""
        return {
            "cue": self.model.cue.to_json(),
            "size": list(self.model.size),
            "weights": self.model.weights_origin,
            "augment": self.augment,
            "images": str(self.images or ""),
        }

    @property
    def data_share(self) -> float:
        """Share of the sequences that come from scored data."""
        if self.data is None:
            return 0.0
        return data_share(self.mix) if self.mix else 0.5


def _require_whole_frames(model: ModelRequest, size: tuple[int, int]) -> None:
    """The fold that is held back is not cropped: the network takes its frames whole."""
    try:
        replace(model, size=size)
    except ExportError as cause:
        raise OptionError(f"--data-size must suit the network where there is a --fold: {cause}") from cause


def _require(holds: bool, option: str, value: Any, wanted: str) -> None:
    if not holds:
        raise OptionError(f"{option} must be {wanted}, got {value}.")


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
