"""Sources that send frames at their own pace: cameras, addresses, GStreamer pipelines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgebs.errors import SourceError
from edgebs.image import check_frame
from edgebs.machine.interruptible import interruptible
from edgebs.tensors import Frame
from edgebs.video.film.decode import StreamBroken, StreamStalled
from edgebs.video.losses import Gap, Losses
from edgebs.video.source import Source, SourceFrame


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """A frame that has arrived."""

    image: Frame
    """(H, W, 3) uint8 BGR, a new array."""
    captured_s: float
    """On the clock `time.monotonic()`."""
    lost: int = 0
    """Frames before it that arrived and could not be decoded."""
    is_damaged: bool = False
    """Whether the decoder had to guess parts of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """An opened camera or stream."""

    name: str
    fps: float | None
    """Frames/s, where known."""
    timeout_s: float
    """How long a frame may take, for messages."""
    read: Callable[[], LiveFrame | None]
    """Waits for the next frame; None at the end, or once closed. Raises StreamStalled, StreamBroken."""
    close: Callable[[], None]
    """May be called by any thread, and twice."""
    is_closed: Callable[[], bool]


def live_source(feed: Feed) -> Source:
    """A live source, whose first frame is there. Raises SourceError if none comes in time."""
    first = _first_frame(feed)
    losses = Losses(is_filled=False)
    return Source(
        _frames(feed, first, losses),
        name=feed.name,
        fps=feed.fps,
        size=(first.image.shape[0], first.image.shape[1]),
        is_live=True,
        has_variable_rate=True,
        losses=losses,
        release=feed.close,
    )


def _first_frame(feed: Feed) -> LiveFrame:
    try:
        first = interruptible(feed.read)
    except (StreamStalled, StreamBroken):
        first = None
    except SourceError:
        feed.close()
        raise
    if first is None:
        feed.close()
        raise SourceError(
            f"{feed.name} opened, but sent no frame within {feed.timeout_s:g} s. Check that it is recording "
            "and that no other program uses it."
        )
    check_frame(first.image, name=f"frame 0 of {feed.name}")
    return first


def _frames(feed: Feed, first: LiveFrame, losses: Losses) -> Iterator[SourceFrame]:
    item: LiveFrame | None = first
    index, reason = 0, "it hung up"
    while item is not None:
        _check_size(feed, first.image, item.image, index)
        if item.lost:
            losses.add_gap(Gap(index, item.lost, None))
        if item.is_damaged:
            losses.add_damaged(index)
        yield SourceFrame(item.image, item.captured_s, index)
        index += 1
        try:
            item = feed.read()
        except StreamStalled:
            item, reason = None, f"no frame came within {feed.timeout_s:g} s"
        except StreamBroken as error:
            item, reason = None, f"the connection failed ({error})"
    if not feed.is_closed():
        raise SourceError(
            f"{feed.name} stopped after {index} frames: {reason}. Check the camera and the network, then "
            "open it again."
        )


def _check_size(feed: Feed, first: Frame, image: Frame, index: int) -> None:
    before, now = first.shape[:2], image.shape[:2]
    if before != now:
        raise SourceError(
            f"{feed.name} changed its size at frame {index}: pictures of {before[1]}x{before[0]} before, "
            f"{now[1]}x{now[0]} from there. One run has one size: set the camera to one, and start again."
        )
