"""`make demo`: the main job on a fresh machine, every step by the command that a user would type."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

from bench.picture import PictureFrame, draw_picture
from bench.scenes.street.street import SceneOptions, StreetScene, scene_video
from edgebs.loading import load
from edgebs.machine.console import note

FOLDER = Path("demo")
VIDEO = FOLDER / "street.avi"
SCENE = SceneOptions(frames=200, seed=11)
SHOWN = (40, 90, 140, 190)
BUNDLES = FOLDER / "bundles"
BUNDLE = BUNDLES / "crossnet-dis-cpu-int8"
EXPORT = f"export crossnet --weights random --target cpu --calib {FOLDER}/calibration --out {BUNDLES} --force"

COMMANDS = (
    "doctor",
    f"calibrate {VIDEO} --out {FOLDER}/calibration --frames 60 --force",
    f"{EXPORT} --flow dis --precision fp32,int8",
    f"{EXPORT} --flow selflow --precision int8",
    f"inspect {BUNDLE}",
    f"bench --fps {BUNDLES}/crossnet-dis-cpu-fp32 {BUNDLE} {BUNDLES}/crossnet-selflow-cpu-int8"
    f" --source {VIDEO} --frames 60 --repeats 3 --out {FOLDER}/bench.json",
    f"bench --fps edge edge-fp32 --source {VIDEO} --frames 200 --repeats 3 --out {FOLDER}/bench-edge.json",
    f"run edge --source {VIDEO} --mask {FOLDER}/mask.avi --overlay {FOLDER}/overlay.mp4 --force",
)


def main() -> int:
    """Run every step; the exit code of the first that failed, or 0."""
    started_s = time.perf_counter()
    FOLDER.mkdir(exist_ok=True)
    note(f"rendering {SCENE.frames} frames of a street into {VIDEO}")
    VIDEO.unlink(missing_ok=True)
    scene_video(SCENE, VIDEO)
    for command in COMMANDS:
        note(f"\n$ edgebs {command}")
        code = subprocess.run(
            [sys.executable, "-m", "edgebs.cli", *shlex.split(command)], check=False
        ).returncode
        if code:
            note(f"stopped: edgebs {command.split()[0]} ended with exit code {code}")
            return code
    picture = FOLDER / "picture.png"
    with load("edge") as pipeline:
        note_below = "the shipped model on a street that it never saw"
        draw_picture(pipeline, scene_frames(), picture, note=note_below)
    note(f"\ndone in {time.perf_counter() - started_s:.0f} s. Look at {picture}, {FOLDER}/overlay.mp4.")
    return 0


def scene_frames() -> list[PictureFrame]:
    """The demo's street up to the last shown frame, with its exact masks."""
    return [
        PictureFrame(frame.image, frame.captured_s, frame.mask, frame.index in SHOWN)
        for frame in islice(StreetScene(SCENE), max(SHOWN) + 1)
    ]


if __name__ == "__main__":
    sys.exit(main())
