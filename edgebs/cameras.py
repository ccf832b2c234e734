"""Several cameras whose frames go through the networks in one call: more frames a second, each later."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from edgebs.bundle.manifest import Manifest
from edgebs.cues.clock import check_time
from edgebs.errors import NotFinite, StageError
from edgebs.image import PROBABILITY_REPAIR, check_frame, mask_at, network_frame, require_finite
from edgebs.nvidia.runner import DeviceRunner
from edgebs.pipeline import FrameInFlight
from edgebs.tensors import Array, Frame
from edgebs.video.bit_depth import ValueRange
from edgebs.video.open import Source, SourceFrame, open_source
from edgebs.workers import Clock, Result


@dataclass(frozen=True, slots=True)
class _Round:
    """One frame of each camera, on its way; None for a camera that has ended."""

    index: int
    items: list[SourceFrame | None]
    begun: list[FrameInFlight]
    arrived_s: float
    stages_ms: dict[str, float]


class Cameras(AbstractContextManager["Cameras"]):
    """As many cameras as the engines take frames at once. Each has its own history and its own frame size."""

    def __init__(self, manifest: Manifest, path: DeviceRunner) -> None:
        """Use `edgebs.load_cameras`. Owns `path`."""
        self.manifest = manifest
        self.count = path.cameras
        self._path = path
        self._next_index = 0

    def process(self, frames: Sequence[Frame], times: Sequence[float | None] | None = None) -> list[Result]:
        """Segment one frame of each camera now, (H, W, 3) uint8 BGR, with the histories of those before.

        times: capture times in seconds. Raises ValueError for another number of frames or times. Raises
        SourceError, naming the camera, for an invalid frame or time: those frames have no effect.
        Raises StageError where a camera's probability is NaN.
        """
        captured = [None] * self.count if times is None else times
        for what, given in (("frames", frames), ("times", captured)):
            if len(given) != self.count:
                raise ValueError(f"there are {self.count} cameras, and {len(given)} {what}")
        index = self._next_index
        items: list[SourceFrame | None] = [
            _checked(
                SourceFrame(image=frame, captured_s=captured_s, index=index), f"the frame of camera {place}"
            )
            for place, (frame, captured_s) in enumerate(zip(frames, captured, strict=True))
        ]
        results = self._finish(self._begin(index, items))
        self._next_index += 1
        return [result for result in results if result is not None]

    def run(
        self,
        sources: Sequence[str | Path | int | Source | Iterable[Frame]],
        *,
        value_range: ValueRange | None = None,
    ) -> Iterator[list[Result | None]]:
        """One list per round of frames, a result per camera, None for one that has ended, until all have.

        While the GPU works on a round the next one is read, in turn, in the caller's thread: sources that run
        at different speeds are held to the slowest. The histories start empty. A source that cannot be opened
        is SourceError; one that fails later, StageError with camera and frame. value_range: as of
        `open_source`, of all of them.
        """
        if len(sources) != self.count:
            raise ValueError(f"there are {self.count} cameras, and {len(sources)} sources")
        self.reset()
        with ExitStack() as stack:
            opened = [
                stack.enter_context(closing(open_source(source, value_range=value_range)))
                for source in sources
            ]
            before: _Round | None = None
            while True:
                items = [self._read(place, source) for place, source in enumerate(opened)]
                has_frames = any(item is not None for item in items)
                this = self._begin(self._next_index, items) if has_frames else None
                self._next_index += 1
                if before is not None:
                    yield self._finish(before)
                if this is None:
                    return
                before = this

    def reset(self) -> None:
        """Forget the histories, as between scenes."""
        self._path.reset()
        self._next_index = 0

    def descriptions(self) -> dict[str, str]:
        return self._path.descriptions()

    def close(self) -> None:
        """Free the engines. May be called twice."""
        self._path.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, place: int, source: Source) -> SourceFrame | None:
        try:
            item = next(source, None)
            return None if item is None else _checked(item, "the frame")
        except Exception as cause:
            raise StageError(f"source of camera {place}", self._next_index, cause) from cause

    def _begin(self, index: int, items: list[SourceFrame | None]) -> _Round:
        clock, arrived_s = Clock(), time.perf_counter()
        smalls = [None if item is None else network_frame(item.image, self.manifest.size) for item in items]
        stages_ms = {"pre": clock.lap()}
        begun = self._path.begin_all(smalls, [None if item is None else item.captured_s for item in items])
        stages_ms["cue"] = clock.lap()
        return _Round(index, items, begun, arrived_s, stages_ms)

    def _finish(self, this: _Round) -> list[Result | None]:
        clock = Clock()
        probabilities = self._path.finish_all(this.begun).copy()
        waited = {**this.stages_ms, "segment": clock.lap(), **this.begun[0].device_ms}
        results: list[Result | None] = []
        for place, (item, begun) in enumerate(zip(this.items, this.begun, strict=True)):
            if item is None:
                results.append(None)
                continue
            probability = probabilities[place]
            self._require_finite(place, this.index, probability)
            mask = mask_at(probability, item.image.shape[:2], self.manifest)
            results.append(
                Result(
                    index=this.index,
                    frame=item.image,
                    mask=mask,
                    probability=probability,
                    captured_s=item.captured_s,
                    latency_ms=(time.perf_counter() - this.arrived_s) * 1e3,
                    stages_ms={**waited, "post": clock.lap()},
                    warming_up=begun.warming_up,
                    missing_before=item.missing_before,
                )
            )
        return results

    def _require_finite(self, place: int, index: int, probability: Array) -> None:
        try:
            require_finite(probability, "the foreground probability", PROBABILITY_REPAIR)
        except NotFinite as cause:
            raise StageError(f"segment of camera {place}", index, cause) from cause


def _checked(item: SourceFrame, name: str) -> SourceFrame:
    """The frame with its time as a float. Raises SourceError; before any camera's history has seen it."""
    check_frame(item.image, name=name)
    return replace(item, captured_s=check_time(item.captured_s, name=name))
