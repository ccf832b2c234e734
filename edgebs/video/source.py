"""What a source is: frames in order, with what is known about them beforehand. `sources.py` opens one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType

from edgebs.tensors import Frame
from edgebs.text.addresses import without_secrets
from edgebs.video.losses import Losses


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SourceFrame:
    """One frame and when it was taken."""

    image: Frame
    """(H, W, 3) uint8 BGR. Read only for everyone: the caller of an iterable source may still own it."""
    captured_s: float | None = None
    """Seconds: position in a file, `time.monotonic()` at arrival for a live source, None where unknown."""
    index: int = 0
    """Number of frames that the source delivered before this one."""
    missing_before: int = 0
    """Frames of the source's time line that are missing between the frame before and this one."""

    def __repr__(self) -> str:
        """Shape, not data."""
        return f"SourceFrame({self.image.shape} {self.image.dtype}, {self.captured_s} s, index {self.index})"


class Source(Iterator[SourceFrame]):
    """Frames of one size, in order, once: a source is an iterator, and iterating again goes on where it was.

    Read by one thread; `close()` may be called from another one, and twice: then there are no more frames.
    """

    name: str
    """For messages: a path, "camera 0", an address or a pipeline without its secrets."""
    fps: float | None
    """Frames/s, where known."""
    frame_count: int | None
    """Frames that the source says it has (a file may hold a few less), None for endless and unknown ones."""
    size: tuple[int, int] | None
    """(height, width), None where only the first frame tells."""
    is_live: bool
    """Whether frames come at their own pace and are lost when nobody reads them."""
    has_variable_rate: bool
    """Whether the time between frames varies, so that only `captured_s` says when a frame was taken."""
    losses: Losses
    """What is missing or damaged, so far."""

    def __init__(
        self,
        frames: Iterable[SourceFrame],
        *,
        name: str,
        fps: float | None = None,
        frame_count: int | None = None,
        size: tuple[int, int] | None = None,
        is_live: bool = False,
        has_variable_rate: bool = False,
        losses: Losses | None = None,
        release: Callable[[], None] | None = None,
    ) -> None:
        """release: frees the decoder or the camera; it may be called by any thread, and twice."""
        self.name, self.fps, self.frame_count = without_secrets(name), fps, frame_count
        self.size, self.is_live = size, is_live
        self.has_variable_rate = has_variable_rate
        self.losses = Losses() if losses is None else losses
        self._frames = iter(frames)
        self._release = release
        self._closed = False

    def __iter__(self) -> Source:
        """The source itself."""
        return self

    def __next__(self) -> SourceFrame:
        """The next frame. Raises SourceError where one cannot be read, naming it."""
        if self._closed:
            raise StopIteration
        return next(self._frames)

    def close(self) -> None:
        """Free the decoder or the camera. An iterable that was passed in stays its owner's."""
        self._closed = True
        if self._release is not None:
            self._release()
        self.losses.report(self.name)

    def __enter__(self) -> Source:
        """The source itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """What is known about it."""
        return f"Source({self.name}, {self.fps} frames/s, {self.frame_count} frames, size {self.size})"
