"""Pictures of an evaluation: frames, right and wrong in colour, and precision-recall curves.

Frames show what a score means: the worst, a typical and the best. Curves are written with their points.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.accuracy.score import THRESHOLDS, FrameScore, SequenceScore, points
from bench.scored import FOREGROUND
from bench.scored import Sequence as ScoredSequence
from bench.scored.sequence import scored_frame, scored_region
from edgebs.errors import SinkError
from edgebs.files import atomic_file
from edgebs.tensors import Array, Frame
from edgebs.version import __version__
from edgebs.video.picture_file import write_picture

COLOURS = ("#2a7de1", "#e07b00", "#2e9e5b", "#c23a6b", "#8e5bd0", "#6f7d86")
"""Of the contestants in their order; legible on white and on black."""

RIGHT, FALSE, MISSED = (60, 200, 60), (40, 40, 230), (255, 140, 30)
"""BGR of true positives, false positives and false negatives."""
LEGEND = {
    "green": "found (true positive)",
    "red": "false alarm (false positive)",
    "blue": "missed (false negative)",
}
UNSCORED = "dark: not scored"

OPACITY = 0.65
WORST = 3
APART = 20
"""Worst frames are at least this part of the sequence apart: neighbours look alike."""
WIDTH = 360
"""Largest width of a picture in the report, in pixels."""
JPEG_QUALITY = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMask:
    """What one contestant made of a frame."""

    score: FrameScore
    jpeg: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFrame:
    """One frame of a sequence with the masks of every contestant."""

    why: str
    """`worst`, `typical`, `best`, or `false alarms`."""
    file: str
    """Name of the frame's file."""
    jpeg: bytes
    masks: tuple[ShownMask, ...]
    """In the order of the contestants."""


def shown_frames(sequence: ScoredSequence, row: Sequence[SequenceScore]) -> list[ShownFrame]:
    """The frames to look at, chosen by the first contestant's score; masks must still be kept."""
    region = scored_region(sequence)
    return [_shown(why, sequence, position, row, region) for why, position in chosen_frames(row[0].frames)]


def chosen_frames(frames: Sequence[FrameScore]) -> list[tuple[str, int]]:
    """Positions in `frames` worth a look, each once, with the reason.

    By F among frames with foreground: the worst ones, some way apart, the median, and the best. Among frames
    without: the one with most false positives, if any.
    """
    filled = {k for k, frame in enumerate(frames) if frame.counts.tp + frame.counts.fn}
    by_score = sorted(filled, key=lambda k: (frames[k].counts.f_measure, k))
    chosen: dict[int, str] = {}
    for k in by_score:
        if len(chosen) < WORST and all(APART * abs(k - other) >= len(frames) for other in chosen):
            chosen[k] = "worst"
    if by_score:
        chosen.setdefault(by_score[len(by_score) // 2], "typical")
        chosen.setdefault(by_score[-1], "best")
    empty = [k for k, frame in enumerate(frames) if k not in filled and frame.counts.fp]
    if empty:
        chosen[max(empty, key=lambda k: (frames[k].counts.fp, -k))] = "false alarms"
    return [(why, k) for k, why in chosen.items()]


def _shown(
    why: str, sequence: ScoredSequence, position: int, row: Sequence[SequenceScore], region: Array | None
) -> ShownFrame:
    index = row[0].frames[position].index
    frame, truth, valid = scored_frame(sequence, index, region)
    assert truth is not None
    assert valid is not None
    height, width = truth.shape
    masks = [score.mask(score.frames[position], (height, width)) for score in row]
    return ShownFrame(
        why=why,
        file=sequence.inputs[index].name,
        jpeg=_jpeg(frame),
        masks=tuple(
            ShownMask(score=score.frames[position], jpeg=_jpeg(coloured(frame, mask, truth, valid)))
            for score, mask in zip(row, masks, strict=True)
        ),
    )


def coloured(frame: Frame, mask: Frame, truth: Frame, valid: Array) -> Frame:
    """The frame in grey, true positives green, false positives red, false negatives blue, unscored dim.

    frame: (H, W, 3) uint8 BGR; mask: (H, W) 0/255; truth: CDnet labels; valid: bool, the scored pixels.
    """
    # In grey: red leaves would hide false alarms.
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    picture = np.where(valid[..., np.newaxis], grey // 2 + 90, grey // 4).astype(np.float32)
    said, real = mask > 0, truth == FOREGROUND
    for colour, here in ((RIGHT, said & real), (FALSE, said & ~real), (MISSED, ~said & real)):
        chosen = here & valid
        picture[chosen] += OPACITY * (np.array(colour, np.float32) - picture[chosen])
    return np.asarray(picture.round(), np.uint8)


def _jpeg(picture: Frame) -> bytes:
    height, width = picture.shape[:2]
    if width > WIDTH:
        size = (WIDTH, max(1, round(height * WIDTH / width)))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    is_whole, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert is_whole
    return bytes(data)


class CurveFiles:
    """Precision-recall curves of an evaluation: a PNG picture and, beside it, a JSON file of their points.

    Counts are collected while sequences are scored; `write` makes both files at the end. Curves are of the
    probability before clean-up, at 256 thresholds.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        """path: of the picture. Raises ValueError if its name does not end with .png.

        Raises SinkError where one of the two files exists and `force` is false.
        """
        if path.suffix.lower() != ".png":
            raise ValueError(f"a file name that ends with .png is needed, got '{path}'")
        self.path, self.points_path = path, path.with_suffix(".json")
        for file in (self.path, self.points_path):
            require_free(file, force)
        self._force = force
        self._histograms: dict[str, list[Array | None]] = {}

    def add(self, sequence: ScoredSequence, row: Sequence[SequenceScore]) -> None:
        """Take the counts of one sequence, of every contestant in its place."""
        self._histograms[sequence.name] = [score.histogram for score in row]

    def write(self, record: Mapping[str, Any]) -> None:
        """Write both files, or none of them. record: of `bench.accuracy.evaluate`. Raises SinkError."""
        found = self.points(record)
        with (
            atomic_file(self.path, SinkError, force=self._force) as picture,
            atomic_file(self.points_path, SinkError, force=self._force) as text,
        ):
            write_picture(picture, curves_picture(found))
            text.write_text(json.dumps(_rounded(found), allow_nan=False) + "\n", encoding="utf-8")

    def points(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object: `thresholds`, and each bundle's curves of every sequence and of their mean."""
        return {
            "what": "precision and recall of foreground probability >= threshold, before clean-up of masks; "
            "mean: unweighted over sequences; at_threshold: the point nearest to the bundle's threshold",
            "data": record["data"]["root"],
            "date": record["date"],
            "edgebs": __version__,
            "thresholds": THRESHOLDS.tolist(),
            "bundles": {
                name: self._curves(place, facts["threshold"])
                for place, (name, facts) in enumerate(record["bundles"].items())
            },
        }

    def _curves(self, place: int, threshold: float) -> dict[str, Any]:
        """Of the contestant in that place. Raises SinkError if it gives no probability."""
        kept = {name: row[place] for name, row in self._histograms.items()}
        histograms = {name: histogram for name, histogram in kept.items() if histogram is not None}
        if len(histograms) < len(kept) or not kept:
            raise SinkError(
                f"{self.path}: a bundle gives masks without a probability, which curves need. "
                "Leave out --curves or that bundle."
            )
        return {
            "threshold": threshold,
            "mean": points(list(histograms.values()), threshold),
            "sequences": {name: points([histogram], threshold) for name, histogram in histograms.items()},
        }


def require_free(file: Path, force: bool) -> None:
    """Raise SinkError where `file` exists and may not be replaced, or is a folder."""
    if file.is_dir():
        raise SinkError(f"{file} is a folder, and a file is to be written there. Choose another name.")
    if file.exists() and not force:
        raise SinkError(f"{file} exists already. Choose another name, or replace it with --force.")


def _rounded(value: Any) -> Any:
    """JSON values with numbers of four decimals, but thresholds, which are multiples of 1/256."""
    if isinstance(value, dict):
        return {
            key: inner if key.startswith("threshold") else _rounded(inner) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return round(value, 4) if isinstance(value, float) else value


SQUARE, LEFT, TOP, GAP = 320, 52, 34, 26
"""Pixels of a panel: the side of its plot, the margins left and above, and right of it."""
BELOW, LINE = 62, 20
"""Pixels below a plot down to its first line of text, and from one line to the next."""
HEADER = 56
MOST_COLUMNS = 4
FONT = cv2.FONT_HERSHEY_SIMPLEX
INK, FAINT, GRID = (40, 40, 40), (110, 110, 110), (225, 225, 225)
CAPTION = (
    "Dot: the model's threshold. Ring: the threshold of the best F. Without clean-up of specks and holes."
)


def curves_picture(found: Mapping[str, Any]) -> Frame:
    """(H, W, 3) uint8: the panel of the mean, then one of each sequence. found: of `CurveFiles.points`."""
    bundles = found["bundles"]
    sequences = list(next(iter(bundles.values()))["sequences"])
    title = f"mean of {len(sequences)} sequences"
    panels = [_panel(title, {name: _mean_where_all_find(own) for name, own in bundles.items()})]
    panels += [
        _panel(sequence, {name: own["sequences"][sequence] for name, own in bundles.items()})
        for sequence in sequences
    ]
    height, width = panels[0].shape[:2]
    columns = min(MOST_COLUMNS, len(panels))
    picture = _white(HEADER + height * math.ceil(len(panels) / columns), width * columns)
    _write(picture, "Precision over recall, by pixels", (LEFT, 24), 0.65)
    _write(picture, CAPTION, (LEFT, 46), 0.45, FAINT)
    for place, panel in enumerate(panels):
        top, left = HEADER + height * (place // columns), width * (place % columns)
        picture[top : top + height, left : left + width] = panel
    return picture


def _mean_where_all_find(curves: Mapping[str, Any]) -> dict[str, Any]:
    """The mean without the highest thresholds, where one sequence has no pixel left, and precision 0."""
    mean, sequences = curves["mean"], curves["sequences"].values()
    lost = [any(curve["recall"][k] == 0 for curve in sequences) for k in range(len(mean["recall"]))]
    return {**mean, "recall": [None if gone else r for gone, r in zip(lost, mean["recall"], strict=True)]}


def _panel(title: str, curves: Mapping[str, Mapping[str, Any]]) -> Frame:
    picture = _white(TOP + SQUARE + BELOW + LINE * len(curves), LEFT + SQUARE + GAP)
    _write(picture, title, (LEFT, 22), 0.55)
    _axes(picture)
    for place, (name, curve) in enumerate(curves.items()):
        colour = _bgr(place)
        line = np.array(list(_line(curve)), np.int32).reshape(-1, 2)
        cv2.polylines(picture, [line], False, colour, 2, cv2.LINE_AA)
        y = TOP + SQUARE + BELOW + LINE * place
        cv2.line(picture, (LEFT, y - 4), (LEFT + 16, y - 4), colour, 3, cv2.LINE_AA)
        _write(picture, _caption(name, curve), (LEFT + 24, y), 0.42)
    # Above every line: curves of several models cross.
    for place, curve in enumerate(curves.values()):
        _marks(picture, curve, _bgr(place))
    return picture


def _line(curve: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """Where nothing is found precision says nothing: the curve begins at the first pixel that is."""
    for recall, precision in zip(curve["recall"], curve["precision"], strict=True):
        if recall and precision is not None:
            yield _at(recall, precision)


def _marks(picture: Frame, curve: Mapping[str, Any], colour: tuple[int, int, int]) -> None:
    own, best = curve["at_threshold"], curve["best_threshold"]
    if best and best["recall"]:
        cv2.circle(picture, _at(best["recall"], best["precision"]), 8, colour, 1, cv2.LINE_AA)
    if own["recall"]:
        cv2.circle(picture, _at(own["recall"], own["precision"]), 5, colour, -1, cv2.LINE_AA)


def _caption(name: str, curve: Mapping[str, Any]) -> str:
    own, best = curve["at_threshold"], curve["best_threshold"]
    if best is None or own["recall"] is None:
        return f"{name}: no foreground to find"
    f_own = "-" if own["F"] is None else f"{own['F']:.3f}"
    return f"{name}: F {f_own} at {own['threshold']:.2f}, best {best['F']:.3f} at {best['threshold']:.2f}"


def _at(recall: float, precision: float) -> tuple[int, int]:
    return LEFT + round(SQUARE * recall), TOP + round(SQUARE * (1 - precision))


def _axes(picture: Frame) -> None:
    for fifth in range(6):
        value = fifth / 5
        (x, bottom), (left, y) = _at(value, 0), _at(0, value)
        cv2.line(picture, (x, bottom), (x, TOP), GRID, 1)
        cv2.line(picture, (left, y), (left + SQUARE, y), GRID, 1)
        _write(picture, f"{value:.1f}", (x - 11, bottom + 16), 0.4)
        _write(picture, f"{value:.1f}", (left - 30, y + 4), 0.4)
    cv2.rectangle(picture, (LEFT, TOP), (LEFT + SQUARE, TOP + SQUARE), INK, 1)
    _write(picture, "recall", (LEFT + SQUARE // 2 - 20, TOP + SQUARE + 34), 0.45)
    word = _white(16, 70)
    _write(word, "precision", (1, 12), 0.45)
    turned = cv2.rotate(word, cv2.ROTATE_90_COUNTERCLOCKWISE)
    top = TOP + SQUARE // 2 - 35
    picture[top : top + 70, 2:18] = turned


def _white(height: int, width: int) -> Frame:
    return np.full((height, width, 3), 255, np.uint8)


def _write(
    picture: Frame, text: str, place: tuple[int, int], size: float, colour: tuple[int, int, int] = INK
) -> None:
    # OpenCV's fonts hold ASCII alone.
    plain = text.encode("ascii", "replace").decode("ascii")
    cv2.putText(picture, plain, place, FONT, size, colour, 1, cv2.LINE_AA)


def _bgr(place: int) -> tuple[int, int, int]:
    """The colour of the contestant in that place."""
    red, green, blue = bytes.fromhex(COLOURS[place % len(COLOURS)][1:])
    return blue, green, red
