"""The figures of `edgebs models` are those of the records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgebs.bundle import FIGURES
from export.models import models_listing
from export.release.figures import LEFT_OUT, RESULTS, figures


def scored(date: str, **f_of: float) -> dict[str, Any]:
    sequences = {name: {"F": f} for name, f in {**f_of, LEFT_OUT: 0.0}.items()}
    return {"date": date, "sequences": sequences, "bundles": {"edge": {"sequences": sequences}}}


def timed(date: str, fps: float, int8: str | None, source: str = "clips/video.avi") -> dict[str, Any]:
    runs = [
        {"bundle": "edge", "mode": "sequential", "fps": 1.0},
        {"bundle": "edge", "mode": "pipelined", "fps": fps},
    ]
    machine = {"cpu": f"cpu of {date}"} | ({} if int8 is None else {"int8": int8})
    return {"date": date, "source": source, "runs": runs, "machine": machine, "bundles": None}


def written(folder: Path, *records: dict[str, Any]) -> Path:
    for number, record in enumerate(records):
        (folder / f"{number}.json").write_text(json.dumps(record))
    return folder


def test_the_package_holds_what_the_records_say() -> None:
    held = json.loads(FIGURES.read_text())
    assert held == figures(RESULTS), "python -m export.release.figures writes it anew"
    assert held["edge"]["F"] > held["edge-nano"]["F"] > 0.7
    listed = models_listing()["shipped"]
    assert {name: facts["measured"] for name, facts in listed.items() if facts["measured"]} == held


def test_later_records_replace_earlier_ones_whatever_their_files_are_called(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        scored("2026-02-01", a=0.8),
        scored("2026-01-01", a=0.1, b=0.6),
        timed("2026-02-01", 50.04, "vnni"),
        timed("2026-01-01", 99.0, "vnni"),
        timed("2026-01-01", 20.0, "saturating"),
        {"what": "another record, without a date"},
    )
    assert figures(folder)["edge"] == {
        "F": 0.7,
        "sequences": 2,
        "fps": {
            "avx2": {"fps": 20.0, "cpu": "cpu of 2026-01-01"},
            "vnni": {"fps": 50.0, "cpu": "cpu of 2026-02-01"},
        },
    }


def test_other_clips_and_cpus_that_nothing_is_known_of_do_not_count(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        scored("2026-01-01", a=0.8),
        timed("2026-01-01", 99.0, "vnni", source="street.avi"),
        timed("2026-01-02", 99.0, None),
    )
    assert figures(folder)["edge"]["fps"] == {}
