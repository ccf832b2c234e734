"""edgebs/nvidia/runner.py over a fake GPU whose streams are ordered by events alone."""

from __future__ import annotations

import ast
import gc
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.gpu.device_scenarios import POLICIES, SCENARIOS, World, clean, stream_with_network

import edgebs
from edgebs.nvidia import cuda
from edgebs.nvidia.tensorrt.engine import TensorRTContext, TensorRTEngine

DEVICE_FILES = sorted((Path(edgebs.__file__).parent / "nvidia").glob("*.py"))
WAITS = {"wait": ("Stream",), "synchronize": ("Stream", "Event")}


def waits() -> list[tuple[str, int]]:
    """Every place in the pipeline on the device where a stream or the CPU waits: file and line."""
    return [
        (file.name, node.lineno)
        for file in DEVICE_FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WAITS
    ]


def without_wait(place: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the wait at `place` do nothing."""
    for method, owners in WAITS.items():
        for owner in owners:
            monkeypatch.setattr(getattr(cuda, owner), method, _skipping(getattr(cuda, owner), method, place))


def _skipping(owner: type, method: str, place: tuple[str, int]) -> Callable[..., None]:
    original = getattr(owner, method)

    def maybe(self: object, *arguments: object) -> None:
        caller = sys._getframe(1)
        if (Path(caller.f_code.co_filename).name, caller.f_lineno) != place:
            original(self, *arguments)

    return maybe


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_results_do_not_depend_on_how_streams_are_scheduled(
    scenario: Callable[[World], None],
    policy: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with clean(World(tmp_path, monkeypatch, eager=policy)) as world:
        scenario(world)


@pytest.mark.parametrize("place", waits(), ids=lambda place: f"{place[0]}:{place[1]}")
def test_without_any_single_wait_a_result_is_wrong(
    place: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for scenario, policy in itertools.product(SCENARIOS, POLICIES):
        with monkeypatch.context() as patch:
            world = World(tmp_path, patch, eager=policy)
            without_wait(place, patch)
            try:
                with clean(world):
                    scenario(world)
            except AssertionError:
                return
    pytest.fail(f"nothing notices when the wait in {place[0]}, line {place[1]} is missing")


def test_there_are_as_many_waits_as_this_file_thinks() -> None:
    assert len(waits()) >= 8


def test_the_fake_notices_scratch_memory_shared_by_networks_that_overlap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that its silence about the pipeline means something."""
    kept: list[cuda.DeviceBuffer] = []

    def one_for_all(engine: TensorRTEngine, scratch: cuda.DeviceBuffer) -> TensorRTContext:
        kept.append(scratch)
        return TensorRTContext(engine, kept[0])

    monkeypatch.setattr(TensorRTEngine, "context", one_for_all)
    outcomes = []
    for policy in POLICIES:
        with monkeypatch.context() as patch:
            kept.clear()
            world = World(tmp_path, patch, eager=policy)
            try:
                stream_with_network(world)
                outcomes.append(True)
            except AssertionError:
                outcomes.append(False)
            kept.clear()
            gc.collect()
    assert not all(outcomes)
