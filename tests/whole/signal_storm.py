"""Commands stopped by one to three random signals at random moments, and what must hold of each.

python -m tests.edgebs.signal_storm --runs 500 --seed 1

Each ends within 5 s of the first signal with exit code 130 (or 0 where it had finished). What it claims to
have written is there and readable. No hidden file and no process is left, and it says no traceback. One
exception: a signal before the first lines of the program have run kills the process, as it kills any program.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
from fakes.process.programs import signals_that_reach_children
from fakes.process.waiting import WATCHDOG_S
from fakes.video.motion_jpeg import stalling_camera

FAKE_GPU_COMMAND = Path(__file__).parents[1] / "fakes" / "gpu" / "command.py"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GAPS_S = (0.0, 0.005, 0.03, 0.1, 0.4, 1.0)
LIMIT_S = 5.0
BAD_WORDS = (
    "Traceback",
    "Exception ignored",
    "Fatal Python",
    "Segmentation",
    "terminate called",
    "needs OpenVINO",
)
EDGEBS = (sys.executable, "-c", "from edgebs.cli import main; main()")
ENDLESS_S, TRAINING_S = 7.0, 16.0
"""Within how many seconds a command that has no end is stopped."""


@dataclass(frozen=True, slots=True)
class World:
    """What the commands read."""

    folder: Path
    video: Path
    camera: str
    plans: Path | None = None
    """A bundle of plans for the fake GPU."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A command, by the folder that it writes in, and what it writes there."""

    command: Callable[[World, Path], Sequence[object]]
    outputs: tuple[str, ...] = ()
    share: int = 1
    """How often it is drawn."""
    endless_s: float = 0
    """Within how many seconds it is stopped, where it does not end by itself."""


def _run(*words: object) -> list[object]:
    return [*EDGEBS, "run", "edge", *words]


KINDS = {
    "video": Kind(
        lambda w, out: _run("--source", w.video, "--mask", out / "m.mkv", "--overlay", out / "o.mp4"),
        ("m.mkv", "o.mp4"),
        share=8,
    ),
    "folder": Kind(lambda w, out: _run("--source", w.video, "--mask", out / "masks"), ("masks",), share=6),
    "background": Kind(
        lambda w, out: _run(
            "--source", w.video, "--mask", out / "m.avi", "--background", out / "b.npz", "--json"
        ),
        ("m.avi", "b.npz"),
        share=2,
    ),
    "several": Kind(
        lambda w, out: _run(
            *("--source", w.video, "--source", w.video, "--mask", out / "a", "--mask", out / "b.mkv"),
            *("--threads", 1),
        ),
        ("a", "b.mkv"),
        share=3,
    ),
    "stalled": Kind(
        lambda w, out: _run("--source", w.camera, "--mask", out / "m.mkv"),
        ("m.mkv",),
        share=4,
        endless_s=ENDLESS_S,
    ),
    "several-stalled": Kind(
        lambda w, out: _run(
            *("--source", w.camera, "--source", w.video, "--mask", out / "a.mkv", "--mask", out / "b.mkv"),
            *("--threads", 1),
        ),
        ("a.mkv", "b.mkv"),
        share=2,
        endless_s=ENDLESS_S,
    ),
    "together-stalled": Kind(
        lambda w, out: [
            *(
                sys.executable,
                FAKE_GPU_COMMAND,
                w.folder,
                "run",
                w.plans,
            ),
            *("--source", w.camera, "--source", w.video, "--mask", out / "a.mkv", "--mask", out / "b.mkv"),
            "--together",
        ],
        ("a.mkv", "b.mkv"),
        share=2,
        endless_s=ENDLESS_S,
    ),
    "calibrate": Kind(lambda w, out: [*EDGEBS, "calibrate", w.video, "--out", out / "set", "--frames", 40]),
    "export": Kind(
        lambda w, out: [  # noqa: ARG005
            *(*EDGEBS, "export", "crossnet", "--width", 2, "--size", "256x256", "--out", out / "bundles")
        ]
    ),
    "train": Kind(
        lambda w, out: [  # noqa: ARG005
            *(*EDGEBS, "train", "crossnet", "--width", 1, "--size", "256x256", "--out", out / "run"),
            *("--steps", 400, "--workers", 2, "--batch", 2, "--reservoir", 16),
        ],
        endless_s=TRAINING_S,
    ),
    "bench": Kind(
        lambda w, out: [  # noqa: ARG005
            *(
                *EDGEBS,
                "bench",
                "edge",
                "--fps",
                "--source",
                w.video,
                "--frames",
                20,
                "--repeats",
                1,
                "--baseline",
                "none",
            )
        ]
    ),
    "doctor": Kind(lambda w, out: [*EDGEBS, "doctor"]),  # noqa: ARG005
}


@dataclass(slots=True)
class Outcome:
    """How a command ended."""

    name: str
    sent: str
    exit_code: int | None
    seconds: float
    """From the first signal to the end."""
    was_early: bool
    """Whether a signal came before the program had a handler for it."""
    said: str
    errors: list[str] = field(default_factory=list)


def storm_once(
    name: str, world: World, out: Path, length_s: float, chance: random.Random, limit_s: float
) -> Outcome:
    """Run one command, disturb it, and judge it. limit_s: from the first signal to the end."""
    moment_s = chance.uniform(0, 1.05 * length_s)
    signals = [chance.choice(SIGNALS) for _ in range(chance.choice((1, 2, 2, 3)))]
    gaps_s = [chance.choice(GAPS_S) for _ in signals]
    to_group = chance.random() < 0.4  # as Ctrl-C in a terminal
    out.mkdir()
    with Command(KINDS[name], world, out) as command:
        command.wait(moment_s)
        started_s = time.monotonic()
        for number, gap_s in zip(signals, gaps_s, strict=True):
            command.send(number, to_group=to_group)
            command.wait(gap_s)
        command.wait(limit_s - (time.monotonic() - started_s))
        seconds = time.monotonic() - started_s
        sent = " ".join(f"{number.name}+{gap_s:g}" for number, gap_s in zip(signals, gaps_s, strict=True))
        outcome = Outcome(
            name=name,
            sent=f"at {moment_s:.2f} s: {sent}{' to the group' if to_group else ''}",
            exit_code=command.process.poll(),
            seconds=seconds,
            was_early=command.was_early,
            said="",
        )
        command.process.kill()
        command.process.wait()
        outcome.said = command.said()
        outcome.errors = list(_errors(outcome, command, out, KINDS[name].outputs))
    return outcome


class Command:
    """A process in a session of its own, and what it says."""

    def __init__(self, kind: Kind, world: World, out: Path) -> None:
        """Start it. Its temporary files go into `out`, too."""
        self.temporary = out / "tmp"
        self.temporary.mkdir()
        self.was_early = False
        self._log = out.with_suffix(".log")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(word) for word in kind.command(world, out)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1"},
            )

    def __enter__(self) -> Command:
        """The command."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing running."""
        with_session = list(self.session())
        for number in with_session:
            os.kill(number, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    def wait(self, seconds: float) -> None:
        """Until it ends, no longer than so many seconds."""
        try:
            self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return

    def send(self, number: signal.Signals, *, to_group: bool) -> None:
        """Signal it, and note whether it dealt with that signal by then."""
        if self.process.poll() is None:
            self.was_early |= not self._is_installed()
            (os.killpg if to_group else os.kill)(self.process.pid, number)

    def _is_installed(self) -> bool:
        """Whether it has its handlers; that of SIGTERM comes last. (Python itself has one for SIGINT.)"""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        masks = dict(line.split(":\t", 1) for line in status.splitlines() if line.startswith("Sig"))
        return bool(int(masks["SigCgt"], 16) >> (signal.SIGTERM - 1) & 1)

    def session(self) -> Iterator[int]:
        """Processes that it has left, without those that are dead and not waited for."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[3]) == self.process.pid and fields[0] not in "ZX":
                    yield int(entry.name)

    def said(self) -> str:
        """Both outputs."""
        return self._log.read_text(encoding="utf-8", errors="replace")


def _errors(outcome: Outcome, command: Command, out: Path, outputs: Sequence[str]) -> Iterator[str]:
    if outcome.exit_code is None:
        yield f"did not end within {outcome.seconds:.1f} s"
    elif not outcome.was_early and outcome.exit_code not in (0, 130):
        yield f"exit code {outcome.exit_code}"
    elif outcome.was_early and outcome.exit_code not in (0, 1, 130, -1, -2, -15):
        yield f"exit code {outcome.exit_code} of an early signal"
    if not outcome.was_early:
        yield from (f"said {word!r}" for word in BAD_WORDS if word in outcome.said)
    for name in outputs:
        lines = [line for line in outcome.said.splitlines() if "was not written" not in line]
        if any(str(out / name) in line for line in lines) and not (out / name).exists():
            yield f"{name} is claimed and not there"
        if (out / name).exists() and not _is_readable(out / name):
            yield f"{name} cannot be read"
    for path in out.rglob("*"):
        # Other packages (NNCF's telemetry) leave files of their own in $TMPDIR, disturbed or not.
        if "edgebs" in path.name or (path.name.startswith(".") and command.temporary not in path.parents):
            yield f"left {path.relative_to(out)}"
    deadline_s = time.monotonic() + WATCHDOG_S  # init takes its time to bury them
    while (session := list(command.session())) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    if session:
        yield f"left processes {session}"


def _is_readable(path: Path) -> bool:
    if path.is_dir():
        pictures = sorted(path.iterdir())
        return bool(pictures) and all(cv2.imread(str(file)) is not None for file in pictures)
    if path.suffix == ".npz":
        return bool(np.load(path).files)
    video = cv2.VideoCapture(str(path))
    is_readable = video.read()[0]
    video.release()
    return is_readable


@contextmanager
def prepared_world(folder: Path, *, with_plans: bool) -> Iterator[World]:
    """A video of 60 frames, a stalling camera and, if asked, a bundle for the fake GPU."""
    from bench.scenes.clip import ClipOptions, clip_video

    video = folder / "street.avi"
    clip_video(ClipOptions(size=(120, 160), frames=60, seed=5), video)
    plans = None
    if with_plans:
        from fakes.gpu.device_bundle import plan_bundle

        plans = plan_bundle(folder / "plans", network=True, most=4).path
    with stalling_camera() as camera:
        yield World(folder, video, camera, plans)


def lengths(names: Sequence[str], world: World, folder: Path) -> dict[str, float]:
    """Seconds that each command takes undisturbed."""
    found = {}
    for name in names:
        out = folder / f"undisturbed-{name}"
        out.mkdir()
        started_s = time.monotonic()
        with Command(KINDS[name], world, out) as command:
            command.wait(KINDS[name].endless_s or 300)
            code = command.process.poll()
            if code not in (None, 0):
                raise SystemExit(f"{name} fails by itself, exit code {code}: {command.said()[-2000:]}")
        found[name] = time.monotonic() - started_s
        print(f"{name}: {found[name]:.1f} s undisturbed", flush=True)
    return found


def main() -> None:
    """The storm; exit code 1 where something did not hold."""
    parser = argparse.ArgumentParser(description="Commands stopped by random signals at random moments.")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="commands at a time")
    parser.add_argument("--kinds", default=",".join(KINDS))
    options = parser.parse_args()
    names = [name for name in options.kinds.split(",") for _ in range(KINDS[name].share)]
    chance = random.Random(options.seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="storm-"))).resolve()
        world = stack.enter_context(prepared_world(folder, with_plans="together-stalled" in names))
        stack.enter_context(signals_that_reach_children())
        length_s = lengths(sorted(set(names)), world, folder)
        plan = [(chance.choice(names), chance.randrange(1 << 30)) for _ in range(options.runs)]

        def one(number: int) -> Outcome:
            name, seed = plan[number]
            out = folder / f"{number}"
            outcome = storm_once(name, world, out, length_s[name], random.Random(seed), LIMIT_S)
            shutil.rmtree(out)
            if number % 20 == 19:
                print(f"{number + 1} of {options.runs}", flush=True)
            if outcome.errors:
                print(
                    f"run {number} {name} {outcome.sent}: {outcome.errors}\n{outcome.said[-3000:]}",
                    flush=True,
                )
            return outcome

        with ThreadPoolExecutor(options.jobs) as pool:
            outcomes = list(pool.map(one, range(options.runs)))
    report(outcomes)


def report(outcomes: Sequence[Outcome]) -> None:
    """Print how many ended how; exit with 1 where something did not hold."""
    codes = Counter((outcome.name, outcome.exit_code) for outcome in outcomes)
    for (name, code), count in sorted(codes.items(), key=str):
        print(f"{name}: exit code {code}: {count}")
    early = sum(outcome.was_early for outcome in outcomes)
    slowest = max(outcome.seconds for outcome in outcomes)
    failed = sum(bool(outcome.errors) for outcome in outcomes)
    print(
        f"{len(outcomes)} runs, {early} with a signal before the program began, slowest end {slowest:.2f} s"
    )
    print(f"{failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
