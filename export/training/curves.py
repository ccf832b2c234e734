"""The curves of a run: curves.csv, one row a stretch of steps."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgebs.atomic import atomic_file
from edgebs.errors import SinkError

Row = dict[str, float]


def read_rows(file: Path, last_step: int) -> list[Row]:
    """Rows up to `last_step`: what came after the checkpoint will be computed again. None for no file."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        rows = [{key: float(text) for key, text in row.items() if text} for row in csv.DictReader(stream)]
    return [row for row in rows if row["step"] <= last_step]


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
