"""F on rendered scenes by two pipelines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes.networks.backends import fake_manifest

import export.feeds.judges
from bench.parity import TaskLevel
from edgebs.bundle.manifest import CueSettings
from edgebs.cues import open_cue
from edgebs.cues.cue import CueOutput
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array, Frame
from export.feeds.judges import count_on_scenes
from export.models.request import ModelRequest


class Watcher:
    """A cue whose background is the truth of the older frames, or black."""

    def __init__(self, settings: CueSettings, is_blind: bool) -> None:
        self.own, self.is_blind, self.scenes = open_cue(settings, (64, 64), None), is_blind, 0

    def reset(self) -> None:
        self.scenes += 1
        self.own.reset()

    def update(self, frame: Frame, captured_s: float | None) -> CueOutput:
        output = self.own.update(frame, captured_s)
        if self.is_blind:
            output.tensors["cue"][:] = 0
        return output

    def remember(self, frame: Frame, captured_s: float | None) -> None:
        self.own.remember(frame, captured_s)


class Guess:
    """Segments by a rule, behind what count_on_scenes needs of a pipeline."""

    def __init__(self, share: float) -> None:
        self.manifest = fake_manifest(cue=ModelRequest(model="edge", weights="random").cue, size=(64, 64))
        self.share = share

    def segment(self, small: Frame, cue: Mapping[str, Array]) -> Array:
        difference = np.abs(small.astype(np.float32) - cue["cue"][0, 3:6].transpose(1, 2, 0)).max(axis=2)
        return np.asarray(np.clip(difference * self.share / 60, 0, 1), np.float32)


def guess(share: float) -> Pipeline:
    made: object = Guess(share)
    return made  # type: ignore[return-value]


def test_equal_pipelines_have_equal_f_and_worse_ones_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.feeds.judges, "SEQUENCES", 4)
    rendered: list[tuple[int, int]] = []
    counted: list[tuple[int, int]] = []
    count = count_on_scenes(guess(1.0), lambda *done: rendered.append(done))
    level = TaskLevel(count, guess(1.0), lambda *done: counted.append(done))
    assert rendered == counted == [(1, 4), (2, 4), (3, 4), (4, 4)]
    same = level.change(guess(1.0))
    assert same["delta_F"] == 0
    assert 0 < same["F_reference"] < 1
    assert level.change(guess(0.0))["F_bundle"] == 0


def test_a_flow_network_is_judged_by_what_it_makes_of_the_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export.feeds.judges, "SEQUENCES", 3)

    def with_flow(is_blind: bool) -> tuple[Any, Watcher]:
        pipeline: Any = Guess(1.0)
        settings = pipeline.manifest.cue
        networks = {**pipeline.manifest.networks, "cue": pipeline.manifest.networks["segment"]}
        known = pipeline.manifest
        pipeline.manifest = replace(
            known,
            networks=networks,
            weights={**known.weights, "cue": known.weights["segment"]},
            cue=replace(settings, provider="net", preset=""),
        )
        watcher = Watcher(settings, is_blind)
        pipeline.require_background_cue = lambda: watcher
        return pipeline, watcher

    reference, watcher = with_flow(is_blind=False)
    level = TaskLevel(count_on_scenes(reference), reference)
    assert watcher.scenes == 3
    assert level.change(reference)["delta_F"] == 0
    blind = level.change(with_flow(is_blind=True)[0])
    assert blind["F_bundle"] < blind["F_reference"]
