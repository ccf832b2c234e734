"""What `edgebs models` says of shipped models: `python -m export.release.figures`.

F and frames per second, read from the records of `edgebs eval` and `edgebs bench` in bench/results; later
records replace earlier ones.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

from edgebs.bundle import FIGURES, SHIPPED
from edgebs.errors import ExportError
from edgebs.files import atomic_file
from edgebs.machine.console import errors_in_one_line, note

RESULTS = Path(__file__).parents[2] / "bench" / "results"
LEFT_OUT = "sbi_CaVignal"
"""A sequence that tells of a cold start alone: somebody stands before the camera from the first frame on."""
KINDS = {"vnni": "vnni", "saturating": "avx2"}
"""Of CPUs, by how a record says that they sum INT8 products; records before 2026-11-26 do not say."""
VIDEO = "video.avi"
"""Of bgslibrary, 640x360: the clip of all speeds here."""


def figures(results: Path) -> dict[str, Any]:
    """JSON values by shipped bundle, from the records in the folder `results`.

    `F`: unweighted mean of the pixels' F over `sequences` real ones. `fps`: camera to mask, pipelined, by
    kind of CPU (`avx2`: limited to AVX2, or without VNNI), with the CPU's name.
    """
    scores: dict[str, dict[str, float]] = {}
    speeds: dict[str, dict[str, Any]] = {}
    for record in _records(results):
        if "runs" in record and str(record["source"]).endswith(VIDEO):
            kind = KINDS.get(record["machine"].get("int8"))
            for run in record["runs"]:
                if run["mode"] == "pipelined" and kind is not None:
                    found = {"fps": round(run["fps"], 1), "cpu": record["machine"]["cpu"]}
                    speeds.setdefault(run["bundle"], {})[kind] = found
        for bundle, result in record["bundles"].items() if "sequences" in record else ():
            found_f = {name: score["F"] for name, score in result["sequences"].items() if name != LEFT_OUT}
            scores.setdefault(bundle, {}).update(found_f)
    wanted = max(map(len, scores.values()), default=0)
    shipped = {path.name for path in SHIPPED.iterdir() if path.is_dir()}
    return {
        bundle: {
            "F": round(mean(scores[bundle].values()), 3),
            "sequences": wanted,
            "fps": dict(sorted(speeds.get(bundle, {}).items())),
        }
        for bundle in sorted(shipped)
        if len(scores.get(bundle, {})) == wanted
    }


def _records(results: Path) -> list[dict[str, Any]]:
    """Those of `edgebs eval` and `edgebs bench`, in the order in which they were made."""
    records = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(results.glob("*.json"))]
    return sorted((record for record in records if "date" in record), key=lambda record: str(record["date"]))


def main() -> None:
    """Command line."""
    argparse.ArgumentParser(prog="python -m export.release.figures", description=__doc__).parse_args()
    with errors_in_one_line(), atomic_file(FIGURES, ExportError) as unfinished:
        text = json.dumps(figures(RESULTS), indent=1)
        unfinished.write_text(text + "\n", encoding="utf-8")
    note(f"wrote {FIGURES}")


if __name__ == "__main__":
    main()
