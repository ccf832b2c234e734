"""`make demo`: the main job on a fresh machine, every step by the command that a user would type.

`python -m bench.demo first` runs the shipped model and needs no PyTorch. `python -m bench.demo export` takes
CrossNet from PyTorch to engines, at a size that this machine can carry; `--paper` takes the paper's size.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from bench.picture import PictureFrame, draw_picture
from bench.scenes.clip import Clip, ClipOptions, clip_video
from edgebs.loading import load
from edgebs.machine.console import note, print_line
from edgebs.machine.cpu import Cpu, this_cpu, usable_cores

FOLDER = Path("demo")
VIDEO = FOLDER / "street.avi"
BUNDLES = FOLDER / "bundles"
TIMES = FOLDER / "times.json"
RECORDS = (FOLDER / "bench.json", FOLDER / "bench-selflow.json")
# Chosen by looking at seeds 0 to 11: most things move soon after the start, the light is steady. Where people
# stand still from the first frame on or the light changes at once, masks are worse (docs/models/edge.md).
SCENE = ClipOptions(frames=200, seed=9)
SHOWN = (80, 95, 110, 125)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large CrossNet and SelFlow are exported, and how long they are measured."""

    width: int
    """Channels of CrossNet's first stage."""
    calibration: int
    """Frames of the calibration set."""
    frames: int
    """Counted frames of the measurement with SelFlow; at least 5."""
    repeats: int
    """Interleaved repeats of it."""


PAPER = Scale(width=64, calibration=60, frames=60, repeats=3)
SMALL = Scale(width=8, calibration=8, frames=5, repeats=1)
MIDDLE = Scale(width=32, calibration=60, frames=30, repeats=3)
CARRIES_MIDDLE_CORES = 8


def scale_for(cpu: Cpu, cores: int) -> Scale:
    """The scale at which the demo takes minutes: small below 8 cores, and without VNNI."""
    return SMALL if cores < CARRIES_MIDDLE_CORES or cpu.int8.saturates else MIDDLE


def first_commands() -> list[str]:
    """The shipped model on the clip: what is here, masks, and speed."""
    return [
        "doctor",
        f"run edge --source {VIDEO} --mask {FOLDER}/mask.avi --overlay {FOLDER}/overlay.mp4 --force",
        f"bench --fps edge --source {VIDEO} --frames 60 --repeats 3 --baseline none"
        f" --out {FOLDER}/bench-edge.json",
    ]


def export_commands(scale: Scale) -> list[str]:
    """Calibration, export with parity to FP32 and INT8, and speed beside PyTorch."""
    export = (
        f"export crossnet --weights random --width {scale.width}"
        f" --target cpu --calib {FOLDER}/calibration --out {BUNDLES} --force"
    )
    made = [f"{BUNDLES}/crossnet-{name}" for name in ("dis-cpu-fp32", "dis-cpu-int8", "selflow-cpu-int8")]
    return [
        f"calibrate {VIDEO} --out {FOLDER}/calibration --frames {scale.calibration} --force",
        f"{export} --flow dis --precision fp32,int8",
        f"{export} --flow selflow --precision int8",
        f"inspect {made[1]}",
        # Apart: SelFlow in PyTorch takes seconds a frame on a small machine.
        f"bench --fps {made[0]} {made[1]} --source {VIDEO} --frames 30 --repeats 3 --out {RECORDS[0]}",
        f"bench --fps {made[2]} --source {VIDEO} --frames {scale.frames} --repeats {scale.repeats}"
        f" --out {RECORDS[1]}",
    ]


class Steps:
    """Runs commands one after the other and keeps how long each took."""

    def __init__(self, run: Callable[[Sequence[str]], int]) -> None:
        """run: runs one command line, returns its exit code."""
        self._run = run
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time the block as one stage."""
        started_s = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started_s

    def commands(self, commands: Sequence[str]) -> int:
        """Run `edgebs` with each; the exit code of the first that failed, or 0."""
        for command in commands:
            note(f"\n$ edgebs {command}")
            words = shlex.split(command)
            with self.timed(stage_of(words)):
                code = self._run([sys.executable, "-m", "edgebs.cli", *words])
            if code:
                note(f"stopped: edgebs {words[0]} ended with exit code {code}")
                return code
        return 0


def stage_of(words: Sequence[str]) -> str:
    """What a command is called in the table of stages: `export crossnet --flow dis`."""
    flow = ["--flow", words[words.index("--flow") + 1]] if "--flow" in words else []
    bundles = [Path(word).name for word in words[2:3] if words[0] == "bench"]
    return " ".join([*words[:2], *bundles, *flow])


def stage_table(seconds: dict[str, float], cpu: Cpu, cores: int) -> str:
    """Markdown: the stages with their seconds, and the machine."""
    lines = ["| stage | seconds |", "|---|---|"]
    lines += [f"| {name} | {took:.1f} |" for name, took in seconds.items()]
    lines += [
        f"| **all** | **{sum(seconds.values()):.0f}** |",
        "",
        f"{cores} cores, {cpu.name}: {cpu.instruction_sets}.",
    ]
    return "\n".join(lines)


def paper_table(records: Sequence[dict[str, Any]]) -> str:
    """Markdown: the table of the paper's pipeline (docs/performance.md) from records of `edgebs bench`."""
    runs = {(run["bundle"], run["mode"]): run for record in records for run in record["runs"]}
    lines = [
        "| pipeline | fps, sequential | fps, pipelined | times PyTorch FP32 eager | times the paper "
        "| peak MB |",
        "|---|---|---|---|---|---|",
    ]
    for bundle in dict.fromkeys(bundle for bundle, _ in runs):
        one, two = runs[bundle, "sequential"], runs[bundle, "pipelined"]
        cells = (one["fps"], two["fps"], two.get("times_baseline"), two.get("times_paper"))
        shown = ["" if value is None else f"{value:.1f}" for value in cells]
        lines.append(f"| {Path(bundle).name} | {' | '.join(shown)} | {two['peak_rss_mb']:,.0f} |")
    return "\n".join(lines)


def scene_frames() -> list[PictureFrame]:
    """The demo's street up to the last shown frame, with its exact masks."""
    return [
        PictureFrame(frame.image, frame.captured_s, frame.mask, frame.index in SHOWN)
        for frame in islice(Clip(SCENE), max(SHOWN) + 1)
    ]


def first(stages: Steps) -> int:
    """Render the clip, run the shipped model, draw the picture."""
    FOLDER.mkdir(exist_ok=True)
    VIDEO.unlink(missing_ok=True)
    note(f"rendering {SCENE.frames} frames of a street into {VIDEO}")
    with stages.timed("render the clip"):
        clip_video(SCENE, VIDEO)
    code = stages.commands(first_commands())
    if code:
        return code
    with stages.timed("draw the picture"), load("edge") as pipeline:
        below = "the shipped model on a street that it never saw; scene and frames are chosen (bench/demo.py)"
        draw_picture(pipeline, scene_frames(), FOLDER / "picture.png", note=below)
    note(f"\nThe shipped model has run. Look at {FOLDER}/picture.png and {FOLDER}/overlay.mp4.")
    return 0


def _ended(command: Sequence[str]) -> int:
    return subprocess.run(command, check=False).returncode


def main(words: Sequence[str] | None = None, run: Callable[[Sequence[str]], int] = _ended) -> int:
    """Run one part or both; the exit code of the first step that failed, or 0."""
    parser = argparse.ArgumentParser(prog="python -m bench.demo", description=__doc__.split("\n")[0])
    parser.add_argument("part", nargs="?", choices=("first", "export"), help="default both")
    parser.add_argument("--paper", action="store_true", help="CrossNet and SelFlow at the paper's size")
    parser.add_argument("--width", type=int, help="channels of CrossNet's first stage, from 1 to 4096")
    given = parser.parse_args(words)
    if given.width is not None and not 1 <= given.width <= 4096:
        parser.error(f"--width must be from 1 to 4096, got {given.width}")
    cpu, cores = this_cpu(), usable_cores()
    scale = PAPER if given.paper else scale_for(cpu, cores)
    if given.width is not None:
        scale = replace(scale, width=given.width)
    stages = Steps(run)
    code = 0 if given.part == "export" else first(stages)
    if not code and given.part != "first":
        note(f"\nCrossNet of width {scale.width} and SelFlow, both untrained.")
        code = stages.commands(export_commands(scale))
    if code:
        return code
    before = (
        json.loads(TIMES.read_text(encoding="utf-8")) if given.part == "export" and TIMES.is_file() else {}
    )
    seconds = {**before, **stages.seconds}
    FOLDER.mkdir(exist_ok=True)
    TIMES.write_text(json.dumps(seconds, indent=1), encoding="utf-8")
    print_line(f"\n{stage_table(seconds, cpu, cores)}")
    records = [json.loads(file.read_text(encoding="utf-8")) for file in RECORDS if file.is_file()]
    if given.part != "first" and records:
        print_line(f"\n{paper_table(records)}")
    note(f"\nLook at {FOLDER}/picture.png and {FOLDER}/overlay.mp4.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
