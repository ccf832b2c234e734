"""The curves of a run: curves.csv, one row for each window of steps and each validation."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgebs.errors import SinkError, WeightsError
from edgebs.files import atomic_file
from edgebs.tensors import Frame
from edgebs.video.picture_file import write_picture

Row = dict[str, float]


def read_rows(file: Path, last_step: int) -> list[Row]:
    """Rows up to `last_step`: what came after the checkpoint will be computed again. None for no file.

    Raises WeightsError, naming the line, where a value is no number.
    """
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        try:
            rows = [{key: float(text) for key, text in row.items() if text} for row in reader]
            return [row for row in rows if row["step"] <= last_step]
        except (csv.Error, KeyError, TypeError, ValueError) as cause:
            raise WeightsError(
                f"{file}, by line {reader.line_num}: a number is missing or cannot be read ({cause}). "
                "Correct the line, or remove the file: the run goes on without the curves so far."
            ) from cause


def write_rows(rows: Sequence[Mapping[str, float]], file: Path) -> None:
    """All rows, the columns in the order in which they first appear; a row without a value has none."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (
        atomic_file(file, SinkError) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in rows)


class LogWindow:
    """Steps whose means become one row of the curves."""

    def __init__(self) -> None:
        self.count, self.waited_s, self.forward_s, self.backward_s = 0, 0.0, 0.0, 0.0
        self.sums: dict[str, float] = {}

    def add(
        self, losses: Mapping[str, float], norm: float, rate: float, forward_s: float, backward_s: float
    ) -> None:
        """One step."""
        self.count += 1
        self.forward_s += forward_s
        self.backward_s += backward_s
        for name, value in {**losses, "gradient_norm": norm, "learning_rate": rate}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self) -> Row:
        """Means a step, and the shares of the time."""
        total = max(self.waited_s + self.forward_s + self.backward_s, 1e-9)
        return {
            **{name: value / self.count for name, value in self.sums.items()},
            "step_ms": 1000 * total / self.count,
            "data_share": self.waited_s / total,
            "forward_share": self.forward_s / total,
            "backward_share": self.backward_s / total,
        }


WIDTH, HEIGHT = 960, 360
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 34, 44
"""Margins of a panel; the legend stands in the right one."""
FONT = cv2.FONT_HERSHEY_SIMPLEX
TICKS = 6
COLOURS = ((180, 90, 20), (30, 60, 200), (40, 140, 40), (150, 40, 150), (0, 140, 220))
"""BGR, of different lightness too."""
INK, GRID = (40, 40, 40), (225, 225, 225)


@dataclass(frozen=True, slots=True)
class Panel:
    """One diagram: a title, and the columns of curves.csv that are drawn in it."""

    title: str
    columns: tuple[str, ...]


LOSS = Panel("loss", ("loss", "validation_loss"))
SCORES = (
    Panel("validation scores", ("validation_F", "validation_Pr", "validation_Re", "validation_best_F")),
    Panel("end-point error, px", ("error_px", "validation_EPE", "validation_EPE_moving")),
)
"""Of a segmentation network, and of a flow network."""


def panels_for(rows: Sequence[Mapping[str, float]]) -> tuple[Panel, Panel]:
    """The loss, and the scores that `rows` have; those of segmentation where they have none yet."""
    names = {name for row in rows for name in row}
    return LOSS, next((panel for panel in SCORES if names.intersection(panel.columns)), SCORES[0])


def draw_curves(rows: Sequence[Mapping[str, float]], file: Path) -> None:
    """Write the curves as a picture; a panel without values is labelled so. Raises SinkError."""
    drawn = [_panel(rows, panel) for panel in panels_for(rows)]
    write_picture(file, np.vstack(drawn))


def ticks(low: float, high: float, count: int = TICKS) -> list[float]:
    """At most about `count` round numbers (1, 2 or 5 times a power of ten apart) that lie in [low, high]."""
    rough = max(high - low, 1e-9) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _panel(rows: Sequence[Mapping[str, float]], panel: Panel) -> Frame:
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    curves = {
        name: [(row["step"], row[name]) for row in rows if name in row and math.isfinite(row[name])]
        for name in panel.columns
    }
    curves = {name: points for name, points in curves.items() if points}
    cv2.putText(picture, panel.title, (LEFT, 22), FONT, 0.6, INK, 1, cv2.LINE_AA)
    if not curves:
        cv2.putText(picture, "no value yet", (LEFT + 20, HEIGHT // 2), FONT, 0.6, INK, 1, cv2.LINE_AA)
        return picture
    points = [point for curve in curves.values() for point in curve]
    scale = _Scale(
        x_high=max(max(step for step, _ in points), 1.0),
        y_low=min(0.0, min(value for _, value in points)),
        y_high=max(max(value for _, value in points) * 1.05, 1e-6),
    )
    _axes(picture, scale)
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = np.array([scale.pixel(step, value) for step, value in curve], np.int32)
        cv2.polylines(picture, [line], False, colour, 2, cv2.LINE_AA)
        if len(curve) == 1:
            cv2.circle(picture, tuple(line[0].tolist()), 4, colour, -1, cv2.LINE_AA)
        y = TOP + 16 + 22 * number
        cv2.line(picture, (WIDTH - RIGHT + 8, y - 4), (WIDTH - RIGHT + 26, y - 4), colour, 2, cv2.LINE_AA)
        caption = f"{name.removeprefix('validation_')} {curve[-1][1]:.3f}"
        if name == "validation_loss":
            caption = f"validation {curve[-1][1]:.3f}"
        cv2.putText(picture, caption, (WIDTH - RIGHT + 32, y), FONT, 0.42, INK, 1, cv2.LINE_AA)
    return picture


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """From values to pixels; steps start at 0."""

    x_high: float
    y_low: float
    y_high: float

    def pixel(self, step: float, value: float) -> tuple[int, int]:
        """Where a point is drawn."""
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / self.x_high
        y = TOP + (HEIGHT - TOP - BOTTOM) * (self.y_high - value) / (self.y_high - self.y_low)
        return round(x), round(y)


def _axes(picture: Frame, scale: _Scale) -> None:
    left, bottom = scale.pixel(0, scale.y_low)
    right, top = scale.pixel(scale.x_high, scale.y_high)
    for value in ticks(scale.y_low, scale.y_high):
        y = scale.pixel(0, value)[1]
        cv2.line(picture, (left, y), (right, y), GRID, 1)
        cv2.putText(picture, f"{value:.3g}", (left - 52, y + 5), FONT, 0.42, INK, 1, cv2.LINE_AA)
    for value in ticks(0, scale.x_high):
        x = scale.pixel(value, scale.y_low)[0]
        cv2.line(picture, (x, top), (x, bottom), GRID, 1)
        cv2.putText(picture, f"{value:.6g}", (x - 14, bottom + 18), FONT, 0.42, INK, 1, cv2.LINE_AA)
    cv2.putText(picture, "step", ((left + right) // 2, bottom + 36), FONT, 0.45, INK, 1, cv2.LINE_AA)
    cv2.rectangle(picture, (left, top), (right, bottom), INK, 1)
