"""Training samples: frame, cue and label, from rendered and scored sequences.

Workers call what is here and in the modules below: it pickles and imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgebs.bundle.manifest import CueSettings
from export.training.stream.workers import Sample

if TYPE_CHECKING:
    from bench.scenes.scene import PictureBank

GAIN, SHIFT = 0.15, 12.0
"""Largest change of a colour channel: a factor around 1, and grey levels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedSequences:
    """Samples of rendered scenes, with the cue that the runtime would compute."""

    cue: CueSettings
    size: tuple[int, int]
    """(H, W) at which the network is trained."""
    images: Path | None = None
    """A folder of the user's own pictures, or None."""
    overexposed: float = 0.0
    """Share of the sequences with too much light, see `samples.sequence_samples`."""
    settled: float = 0.0
    """Share of the sequences whose watch begins shortly before an object comes to stay."""

    def __call__(self, seed: int, index: int) -> list[Sample]:
        from export.training.samples.scenes import sequence_samples

        samples = sequence_samples(
            self.cue,
            seed,
            index,
            self.size,
            picture_bank(self.images),
            self.overexposed,
            settled=self.settled,
        )
        return [(sample.frame, sample.cue, sample.labels) for sample in samples]


@lru_cache(maxsize=1)
def picture_bank(images: Path | None) -> PictureBank:
    """The sprites and pictures of this process."""
    from bench.scenes.scene import PictureBank

    return PictureBank.open(images=images)


def as_it_is(sample: Sample, _rng: np.random.Generator) -> Sample:
    """No change."""
    return sample


def flipped_and_tinted(sample: Sample, rng: np.random.Generator) -> Sample:
    """Mirrored half of the time, colours changed a little.

    For cues that are magnitudes of flow: those that hold colours would no longer agree with the frame.
    """
    frame, cue, labels = mirrored_only(sample, rng)
    gain = 1 + rng.uniform(-GAIN, GAIN, 3)
    shift = rng.uniform(-SHIFT, SHIFT, 3)
    table = np.arange(256)[:, None] * gain + shift  # (256, 3)
    table = np.clip(np.rint(table), 0, 255).astype(np.uint8)
    tinted = np.stack([table[:, channel][frame[..., channel]] for channel in range(3)], axis=-1)
    return tinted, cue, labels


def mirrored_only(sample: Sample, rng: np.random.Generator) -> Sample:
    """Mirrored left to right half of the time."""
    if rng.random() < 0.5:
        return sample
    frame, cue, labels = sample
    return frame[:, ::-1], cue[..., ::-1], labels[:, ::-1]
