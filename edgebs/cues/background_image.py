"""CDN-GM's background image, of each pixel's last 245 values, without ever holding 245 frames.

The network is two convolutions over time, each with stride 7, and dense layers: it meets every block of seven
frames once. So a step needs the newest block and what its layers gave for the blocks before it
(`export.networks.cdn_gm.StepGraph`), and is due every seventh frame. The image is cut into seven bands of
rows whose turns follow each other: each frame costs one step on a seventh of the image, and each pixel's
background is the network's exact answer for the 245 frames that ended at most six frames ago.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgebs.cues.clock import is_reached
from edgebs.cues.cue import BackgroundCue, CueOutput, TensorRing
from edgebs.errors import BundleError
from edgebs.image import CUE_REPAIR, require_finite
from edgebs.tensors import Array, Frame

if TYPE_CHECKING:
    from edgebs.backends import Backend
    from edgebs.bundle.manifest import CueSettings

BLOCK = 7
"""Frames of a block, and bands of the image."""
SUM_BLOCKS = 6
"""Blocks before the newest one whose `sum` a step reads, ..."""
FEATURE_AGES = (28, 21, 14, 7)
"""... and how many blocks ago those ended whose `feature` it reads, oldest first."""
INPUTS, OUTPUTS = {"frames", "sums", "features"}, {"cue", "sum", "feature"}
Infer = Callable[[Mapping[str, Array]], Mapping[str, Array]]


class BackgroundImage(BackgroundCue):
    """Cue of `cdn-medal`: (1, 3, h, w) float32 BGR, 0 to 255.

    While fewer blocks were seen than the network reads, those seen are repeated, oldest first, as often as
    needed; within the first seven frames, the frames. The first frame of all is its own background.
    """

    def __init__(self, settings: CueSettings, size: tuple[int, int], backend: Backend) -> None:
        """Frames will come at `size` (H, W). Own `backend` from here on: it is closed with the cue.

        Raises BundleError where the network is not made for such frames.
        """
        super().__init__(settings.nominal_fps, settings.spacing_s)
        self._backend = backend
        self.references = settings.references
        """Frames of the series."""
        self._spacing_s, self._frame_s = settings.spacing_s, 1 / settings.nominal_fps
        self.description = f"{backend.description}, a seventh of the background each frame"
        rows = band_rows(size[0])
        _require_bands(backend, rows, size)
        sums, features = (
            np.zeros(backend.inputs[name].shape, backend.inputs[name].dtype) for name in ("sums", "features")
        )
        tops = [min(band * rows, size[0] - rows) for band in range(BLOCK)]
        self._bands = [_Band(top, backend.infer, sums, features) for top in tops]
        self._image = np.zeros((1, 3, *size), np.float32)
        self._ring = TensorRing(self._image.shape)
        self._frames: list[Frame] = []
        self._taken_s = 0.0
        self._count = 0

    @property
    def nbytes(self) -> int:
        """Memory of all that is kept of past frames, the newest seven frames included."""
        return sum(band.nbytes for band in self._bands) + BLOCK * self._image.nbytes // 4

    def update(self, frame: Frame, captured_s: float | None) -> CueOutput:
        self.remember(frame, captured_s)
        cue = self._ring.take()
        np.copyto(cue, self._image)
        return CueOutput({"cue": cue}, self._count < self.references)

    def remember(self, frame: Frame, captured_s: float | None) -> None:
        """See `Cue.remember`. Costs what `update` costs: there is no other way to remember."""
        if not self._advance(captured_s) and self._count:
            return
        now_s = self._clock.now_s
        if self._count and not is_reached(now_s - self._taken_s, self._spacing_now_s):
            return
        frames, count = [*self._frames[1 - BLOCK :], frame], self._count + 1
        band = self._bands[count % BLOCK]
        with self._changing:
            # First, as it may fail: the frame then was never there.
            rows = band.step(_repeated(frames))
            if self._count == 0:
                self._image[0] = frame.transpose(2, 0, 1)
            self._image[:, :, band.rows] = rows
            self._frames, self._count, self._taken_s = frames, count, now_s

    def background(self) -> Mapping[str, Array]:
        """See `BackgroundCue.background`: `image`, (3, h, w) float32."""
        with self._changing:
            return {"image": self._image[0].copy()} if self._count else {}

    def restore(self, background: Mapping[str, Array]) -> None:
        """See `BackgroundCue.restore`: as if the camera had shown the image for the whole series."""
        image = background["image"]
        if image.dtype != np.float32 or image.shape != self._image.shape[1:] or not np.isfinite(image).all():
            raise ValueError(f"image {image.dtype} {image.shape}")
        with self._changing:
            self._forget_scene()
            # The series that the image stands for: a camera that goes on is not one that starts.
            self._clock.resume(self.references * self._spacing_s)
            self._taken_s = self._clock.now_s
            self._image[0] = image
            shown = np.clip(np.rint(image), 0, 255).astype(np.uint8).transpose(1, 2, 0)
            self._frames = [np.ascontiguousarray(shown)] * BLOCK
            for band in self._bands:
                band.fill(self._frames)
            self._count = self.references

    def close(self) -> None:
        self._backend.close()

    def _forget_scene(self) -> None:
        self._frames = []
        self._taken_s = 0.0
        self._count = 0
        for band in self._bands:
            band.clear()

    @property
    def _spacing_now_s(self) -> float:
        """Consecutive frames at first, then sparser ones: the series reaches back to the start."""
        spacing_s = min(self._spacing_s, self._clock.now_s / self.references)
        # A frame that is early by half a frame's time is the one that was meant.
        return spacing_s - self._frame_s / 2


class _Band:
    """A seventh of the rows: what is kept of its blocks."""

    def __init__(self, top: int, infer: Infer, sums: Array, features: Array) -> None:
        """sums, features: what the network reads, (1, channels, rows, W); of all bands, one at a time."""
        self._infer = infer
        self._sums, self._features = sums, features
        rows = sums.shape[2]
        self.rows = slice(top, top + rows)
        self._past_sums = _Past(SUM_BLOCKS, SUM_BLOCKS, sums)
        self._past_features = _Past(max(FEATURE_AGES), len(FEATURE_AGES), features)
        self.nbytes = self._past_sums.nbytes + self._past_features.nbytes

    def clear(self) -> None:
        self._past_sums.clear()
        self._past_features.clear()

    def step(self, frames: list[Frame]) -> Array:
        """The background (1, 3, rows, W) at the end of this block of seven frames; reused by the backend."""
        block = np.stack([frame[self.rows] for frame in frames])[np.newaxis]
        if len(self._past_sums) == 0:
            return self._first_step(block)
        self._past_sums.gather(range(SUM_BLOCKS, 0, -1), self._sums)
        self._past_features.gather(FEATURE_AGES, self._features)
        return self._run(block)

    def fill(self, frames: list[Frame]) -> None:
        """As if these seven frames had been seen over and over."""
        self.clear()
        self.step(frames)
        self._past_sums.fill()
        self._past_features.fill()

    def _first_step(self, block: Array) -> Array:
        """As if the first block had been there for ever: each layer has to be known for the next."""
        feed = {"frames": block, "sums": self._sums, "features": self._features}
        for name, blocks in (("sum", SUM_BLOCKS), ("feature", len(FEATURE_AGES))):
            found = self._infer(feed)[name][0]
            require_finite(found, f"the cue network's {name}", CUE_REPAIR)
            feed[f"{name}s"][0] = np.tile(found, (blocks, 1, 1))
        return self._run(block)

    def _run(self, block: Array) -> Array:
        results = self._infer({"frames": block, "sums": self._sums, "features": self._features})
        # What is kept is read again for minutes.
        for name in sorted(OUTPUTS):
            require_finite(results[name], f"the cue network's {name}", CUE_REPAIR)
        self._past_sums.push(results["sum"][0])
        self._past_features.push(results["feature"][0])
        return results["cue"]


class _Past:
    """The last results of a layer, (slots, channels, rows, W); what was before the first repeats them."""

    def __init__(self, slots: int, read: int, stacked: Array) -> None:
        """stacked: (1, channels, rows, W), `read` of the slots side by side."""
        _, channels, rows, width = stacked.shape
        self._slots = np.zeros((slots, channels // read, rows, width), stacked.dtype)
        self._count = 0
        self.nbytes = self._slots.nbytes

    def __len__(self) -> int:
        return min(self._count, len(self._slots))

    def push(self, result: Array) -> None:
        self._slots[self._count % len(self._slots)] = result
        self._count += 1

    def fill(self) -> None:
        """Repeat the first result."""
        self._slots[:] = self._slots[0]
        self._count = len(self._slots)

    def gather(self, ages: range | tuple[int, ...], out: Array) -> None:
        """Copy the results of `ages` pushes ago, in this order, into (1, ages * channels, rows, W)."""
        parts = out.reshape(len(ages), *self._slots.shape[1:])
        for part, age in zip(parts, ages, strict=True):
            np.copyto(part, self._slots[(self._count - age) % min(self._count, len(self._slots))])

    def clear(self) -> None:
        self._count = 0


def band_rows(height: int) -> int:
    """Rows of a band. Where seven bands are more than the image, the last ones overlap."""
    return -(-height // BLOCK)


def _repeated(frames: list[Frame]) -> list[Frame]:
    """Seven frames, oldest first: those that there are, over and over."""
    return [frames[(len(frames) - age) % len(frames)] for age in range(BLOCK, 0, -1)]


def _require_bands(backend: Backend, rows: int, size: tuple[int, int]) -> None:
    wanted = (1, BLOCK, rows, size[1], 3)
    has_names = backend.inputs.keys() == INPUTS and backend.outputs.keys() >= OUTPUTS
    if not has_names or backend.inputs["frames"].shape != wanted:
        raise BundleError(
            f"the cue network takes {dict(backend.inputs)}; a background image of {size[1]}x{size[0]} (width "
            f"x height) needs {sorted(INPUTS)}, frames as {wanted}. Export the bundle again."
        )
