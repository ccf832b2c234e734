"""Renders a corpus shard by shard in several processes; an interrupted one is continued."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import scenes as seeds
from edgebs.errors import ExportError, SinkError
from edgebs.files import atomic_file
from edgebs.machine.console import Progress
from edgebs.version import __version__
from export.training.corpus import (
    FACTS,
    FILE,
    FORMAT,
    FRAMES,
    PICTURES,
    RUN,
    SHARD_CLIPS,
    read_facts,
    shard_file,
    write_shard,
)
from export.training.corpus.clip import ClipOptions, render_clip
from export.training.samples import picture_bank


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusOptions:
    """What is rendered where."""

    out: Path
    clips: ClipOptions
    count: int
    """Clips; rounded up to whole shards."""
    seed: int
    images: Path | None = None
    """A folder of pictures for the backgrounds."""
    workers: int = 1
    """Processes; 0 renders in this one."""

    def __post_init__(self) -> None:
        """Raise ExportError naming the option that is out of range."""
        for name, least in (("count", 1), ("workers", 0), ("seed", 0)):
            if getattr(self, name) < least:
                option = "clips" if name == "count" else name
                raise ExportError(f"--{option} must be at least {least}, got {getattr(self, name)}.")
        if self.seed >= seeds.FIRST_RESERVED:
            raise ExportError(
                f"--seed must be below {seeds.FIRST_RESERVED}, got {self.seed}: those are of validations."
            )

    @property
    def shards(self) -> int:
        """How many."""
        return -(-self.count // SHARD_CLIPS)

    def facts(self) -> dict[str, Any]:
        """The content of corpus.json: everything that determines a clip, and how it is stored."""
        return {
            "format": FORMAT,
            "edgebs": __version__,
            "seed": self.seed,
            "clips_of_a_shard": SHARD_CLIPS,
            "frames": FRAMES,
            "run": RUN,
            "pictures": list(PICTURES),
            "facts": list(FACTS),
            "photographs": list(picture_bank(self.images).sources),
            **self.clips.to_json(),
        }


def render_corpus(options: CorpusOptions, progress: Progress) -> list[Path]:
    """Render what is not there yet of `options.count` clips; returns all their shards.

    A corpus may be made longer later. Raises SourceError or ExportError where the folder holds another
    corpus, SinkError where it cannot be written.
    """
    _begin(options)
    files = [shard_file(options.out, number) for number in range(options.shards)]
    missing = [number for number, file in enumerate(files) if not file.is_file()]
    done = len(files) - len(missing)
    progress(done * SHARD_CLIPS, len(files) * SHARD_CLIPS)
    for finished in _rendered(options, missing):
        done += 1
        assert files[finished].is_file()
        progress(done * SHARD_CLIPS, len(files) * SHARD_CLIPS)
    return files


def _begin(options: CorpusOptions) -> None:
    facts = json.loads(json.dumps(options.facts()))
    if (options.out / FILE).is_file():
        there = read_facts(options.out)
        other = [name for name, value in facts.items() if there.get(name) != value and name != "edgebs"]
        if other:
            raise ExportError(
                f"{options.out} holds a corpus of another {' and '.join(other)}. Choose another folder, or "
                "render with the options in its corpus.json."
            )
        return
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise SinkError(f"{options.out} cannot be made a folder ({cause}). Choose another one.") from cause
    with atomic_file(options.out / FILE, SinkError) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _rendered(options: CorpusOptions, numbers: list[int]) -> Iterator[int]:
    """The numbers of shards as they are written."""
    if options.workers == 0 or len(numbers) <= 1:
        yield from (_render_shard(options, number) for number in numbers)
        return
    executor = ProcessPoolExecutor(
        min(options.workers, len(numbers)), multiprocessing.get_context("spawn"), _start_worker
    )
    try:
        for finished in as_completed([executor.submit(_render_shard, options, number) for number in numbers]):
            yield finished.result()
    except BrokenProcessPool as cause:
        raise ExportError(
            f"a process that renders ended ({cause}). Where memory ran out, use fewer --workers; the same "
            "command goes on."
        ) from cause
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Ctrl-C goes to the whole group: ending is the parent's business."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)


def _render_shard(options: CorpusOptions, number: int) -> int:
    bank = picture_bank(options.images)
    first = number * SHARD_CLIPS
    clips = [
        render_clip(options.clips, options.seed, index, bank) for index in range(first, first + SHARD_CLIPS)
    ]
    write_shard(shard_file(options.out, number), clips)
    return number
