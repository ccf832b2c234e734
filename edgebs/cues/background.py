"""The scene without its moving objects: a temporal median over sparse frames.

The frames that the median is taken of are spread over all that was seen, up to `WINDOW_S`: at first they
follow each other closely, then they drift apart. So there is a background after a few frames, and later an
object must stand for half of the window before it is taken for one.

Beside it stands an older background, of frames from before: where the two differ somebody came and stayed, or
left, and the picture tells which.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgebs.cues.clock import is_reached
from edgebs.tensors import Array, Frame

SAMPLES = 15
"""Frames that the median is taken of. An odd number, so that the median is one of them."""
WINDOW_S = 180.0
"""The samples reach back this far at most, in seconds."""
OLDER_SAMPLES = 5
"""Frames that the older background is the median of."""
OLDER_SPACING = 0.2
"""Between them at least this share of the time watched so far: they then reach from the oldest sample of the
median back to an eighth of that time."""
LONGEST_HELD = SAMPLES
"""Samples in a row that a pixel may be held: then whoever is there becomes background after all."""
LOW, HIGH = 3, 11
"""Ranks whose difference is the spread: a quarter of the samples may lie outside on either side."""


def sorting_network(count: int) -> list[tuple[int, int]]:
    """Compare-exchange pairs that sort `count` values: Batcher's odd-even merge sort (1968)."""
    pairs: list[tuple[int, int]] = []
    p = 1
    while p < count:
        k = p
        while k >= 1:
            for j in range(k % p, count - k, 2 * k):
                lows = range(j, j + min(k, count - j - k))
                pairs += [(low, low + k) for low in lows if low // (2 * p) == (low + k) // (2 * p)]
            k //= 2
        p *= 2
    return pairs


class MedianBackground:
    """Median and spread of sparse past frames, all brought to where the camera looked at the start."""

    def __init__(self, size: tuple[int, int], *, holds: bool = False) -> None:
        """Frames will come at `size` (H, W). holds: whether `add` may be told pixels to hold."""
        height, width = size
        self._size = size
        self._ring = np.zeros((SAMPLES, height, width, 3), np.uint8)
        # The same frames without held pixels: the older background shows what the camera saw.
        self._as_seen = np.zeros_like(self._ring) if holds else self._ring
        self.held: Array = np.zeros(size, np.uint8)
        """(H, W) uint8: for how many samples each pixel was found to be foreground."""
        self._sorted = np.zeros_like(self._ring)
        self._spare = np.zeros((height, width, 3), np.uint8)
        self._times_s = [0.0] * SAMPLES
        self._older_ring = np.zeros((OLDER_SAMPLES, height, width, 3), np.uint8)
        self._networks = {count: sorting_network(count) for count in range(1, SAMPLES + 1)}
        self.median: Frame = np.zeros((height, width, 3), np.uint8)
        """(H, W, 3) uint8 BGR, where the camera looked at the start."""
        self.spread: Frame = np.zeros((height, width), np.uint8)
        """(H, W) uint8: grey levels between the sample a quarter from below and the one a quarter from above,
        of the colour that differs most."""
        self.older: Frame = self.median
        """(H, W, 3) uint8: the median of what left the samples; `median` itself before anything did."""
        self.clear()

    def clear(self) -> None:
        self.count = 0
        self._slot = 0
        self._first_s = self._last_s = 0.0
        self._older_count = 0
        self._older_s = 0.0
        self.held = np.zeros(self._size, np.uint8)

    @property
    def newest_s(self) -> float:
        """When the newest sample was taken."""
        return self._last_s

    @property
    def holds(self) -> bool:
        """Whether pixels may be held."""
        return self._as_seen is not self._ring

    def unheld(self) -> tuple[Frame, Frame]:
        """Median and spread as they were, had no pixel ever been held: for studies of what holding does."""
        return self._median_and_spread(self._as_seen)

    def saved(self) -> dict[str, Array]:
        """What `load` needs, copied: the samples and those put by, oldest first, with their times."""
        kept, older = self.count, min(self._older_count, OLDER_SAMPLES)
        return {
            "samples": np.roll(self._ring, -self._slot, axis=0)[SAMPLES - kept :].copy(),
            "times_s": np.roll(self._times_s, -self._slot)[SAMPLES - kept :],
            "older": np.roll(self._older_ring, -(self._older_count % OLDER_SAMPLES), axis=0)[
                OLDER_SAMPLES - older :
            ].copy(),
            "watch_s": np.array([self._first_s, self._older_s]),
            **(self._saved_held() if self.holds else {}),
        }

    def _saved_held(self) -> dict[str, Array]:
        as_seen = np.roll(self._as_seen, -self._slot, axis=0)[SAMPLES - self.count :]
        return {"as_seen": as_seen.copy(), "held": self.held.copy()}

    def load(self, saved: Mapping[str, Array]) -> None:
        """Be what was saved. Raises ValueError or KeyError for arrays that cannot be that."""
        samples, times_s, older = saved["samples"], saved["times_s"], saved["older"]
        for pictures, most in ((samples, SAMPLES), (older, OLDER_SAMPLES)):
            if pictures.dtype != np.uint8 or pictures.shape[1:] != (*self._size, 3) or len(pictures) > most:
                raise ValueError(f"samples {pictures.dtype} {pictures.shape}")
        first_s, older_s = (float(seconds) for seconds in saved["watch_s"])
        if (
            not len(samples)
            or len(times_s) != len(samples)
            or not np.isfinite([first_s, older_s, *times_s]).all()
        ):
            raise ValueError(f"{len(samples)} samples of {len(times_s)} times, since {first_s}, {older_s}")
        # Of a background that was saved before pixels were held: none is.
        as_seen, held = saved.get("as_seen", samples), saved.get("held", np.zeros(self._size, np.uint8))
        if (as_seen.dtype, as_seen.shape) != (samples.dtype, samples.shape):
            raise ValueError(f"samples as seen {as_seen.dtype} {as_seen.shape}")
        if held.dtype != np.uint8 or held.shape != self._size:
            raise ValueError(f"held {held.dtype} {held.shape}")
        self.clear()
        self.held = held.copy()
        self._as_seen[: len(samples)] = as_seen
        for slot, picture in enumerate(older):
            self._older_ring[slot] = picture
        for slot, (picture, taken_s) in enumerate(zip(samples, times_s, strict=True)):
            self._ring[slot], self._times_s[slot] = picture, float(taken_s)
        self.count, self._slot, self._older_count = len(samples), len(samples) % SAMPLES, len(older)
        self._first_s, self._last_s, self._older_s = first_s, float(times_s[-1]), older_s
        self._recompute()
        if len(older):
            self._recompute_older()

    def age_s(self, now_s: float) -> float:
        """Seconds since the first frame."""
        return max(now_s - self._first_s, 0.0) if self.count else 0.0

    def is_due(self, now_s: float) -> bool:
        """Whether a frame of this time should become a sample."""
        spacing_s = min(self.age_s(now_s), WINDOW_S) / SAMPLES
        return self.count == 0 or is_reached(now_s - self._last_s, spacing_s)

    def add(self, frame: Frame, now_s: float, found: Array | None = None) -> None:
        """Take (H, W, 3) uint8, lying on the anchor, as the newest sample, and compute median and spread.

        found: (H, W) bool, where the sample is to bring the median's value instead; a pixel does for at most
        `LONGEST_HELD` samples in a row. None for no pixel; only for a background that holds.
        """
        if self.count == 0:
            self._first_s = now_s
        self._last_s = now_s
        if self.count == SAMPLES:
            self._put_by(self._slot)
        self._as_seen[self._slot] = frame
        self._ring[self._slot], self._times_s[self._slot] = self._sample(frame, found), now_s
        self._slot = (self._slot + 1) % SAMPLES
        self.count = min(self.count + 1, SAMPLES)
        self._recompute()

    def _sample(self, frame: Frame, found: Array | None) -> Frame:
        """`frame` with the median's values where they are held."""
        if found is None or self.count == 0:
            return frame
        assert self.holds, "this background was not made to hold pixels"
        # Counted on beyond the limit: who is there still has had his time, until a sample without him.
        self.held = np.where(found, np.minimum(self.held, LONGEST_HELD) + 1, 0).astype(np.uint8)
        is_held = found & (self.held <= LONGEST_HELD)
        return np.asarray(np.where(is_held[..., np.newaxis], self.median, frame), np.uint8)

    def _put_by(self, slot: int) -> None:
        """Keep the sample that leaves for the older background, unless it follows the last one too soon."""
        left_s = self._times_s[slot]
        if self._older_count and not follows_far(left_s, self._older_s, self._first_s):
            return
        self._older_ring[self._older_count % OLDER_SAMPLES] = self._as_seen[slot]
        self._older_count, self._older_s = self._older_count + 1, left_s
        self._recompute_older()

    def _recompute_older(self) -> None:
        count = min(self._older_count, OLDER_SAMPLES)
        self.older = self._ranked(self._older_ring, count)[(count - 1) // 2].copy()

    def _ranked(self, ring: Array, count: int) -> list[Array]:
        """The first `count` pictures of `ring`, each pixel sorted upwards; reused by the next call."""
        np.copyto(self._sorted[:count], ring[:count])
        planes = [self._sorted[index] for index in range(count)]
        spare = self._spare
        for low, high in self._networks[count]:
            np.minimum(planes[low], planes[high], out=spare)
            np.maximum(planes[low], planes[high], out=planes[high])
            planes[low], spare = spare, planes[low]
        return planes

    def _recompute(self) -> None:
        self.median, self.spread = self._median_and_spread(self._ring)
        if not self._older_count:
            self.older = self.median

    def _median_and_spread(self, ring: Array) -> tuple[Frame, Frame]:
        planes = self._ranked(ring, self.count)
        last = self.count - 1
        low_rank, high_rank = last * LOW // (SAMPLES - 1), -(-last * HIGH // (SAMPLES - 1))
        difference: Array = planes[high_rank] - planes[low_rank]
        return planes[last // 2].copy(), np.asarray(difference.max(axis=2))


def follows_far(left_s: float, older_s: float, first_s: float) -> bool:
    """Whether a sample of `left_s` may be put by after one of `older_s`, in a watch since `first_s`."""
    return is_reached(left_s - older_s, OLDER_SPACING * min(left_s - first_s, WINDOW_S))
