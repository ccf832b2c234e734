"""The curves of a run: curves.csv, one row a stretch of steps or a validation."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgebs.errors import SinkError, WeightsError
from edgebs.files.atomic import atomic_file

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


class Stretch:
    """What is averaged into one row of the curves."""

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
