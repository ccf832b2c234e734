"""`edgebs run` over several sources: what is typed, and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fakes.gpu.device_bundle import plan_bundle
from fakes.gpu.device_scenarios import World
from fakes.process.command import Command
from fakes.video.picture_folders import broken_folder, masks_of, moving_bar, picture_folder

from edgebs.bundle import Bundle


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    return [picture_folder(tmp_path / name, moving_bar(4, size=(60, 80))) for name in ("a", "b")]


def named(option: str, values: list[Path]) -> list[object]:
    return [word for value in values for word in (option, value)]


def test_outputs_go_with_the_sources_in_their_order(
    run: Command, tiny_bundle: Bundle, sources: list[Path], tmp_path: Path
) -> None:
    (sources[1] / "3.png").unlink()
    masks, overlays = [tmp_path / "ma", tmp_path / "mb"], [tmp_path / "oa.avi", tmp_path / "ob.avi"]
    outputs = [*named("--mask", masks), *named("--overlay", overlays)]
    code, out, err = run("run", tiny_bundle.path, *named("--source", sources), *outputs, "--threads", "1")
    assert code == 0, err
    assert [len(masks_of(mask)) for mask in masks] == [4, 3]
    assert all(overlay.exists() for overlay in overlays)
    lines = out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{sources[0]}: 4 frames at ")
    assert lines[1].startswith(f"{sources[1]}: 3 frames at ")
    assert "untrained weights" in lines[1]


def test_a_camera_that_fails_is_named_at_the_end_and_the_others_were_run(
    run: Command, tiny_bundle: Bundle, sources: list[Path], tmp_path: Path
) -> None:
    broken = broken_folder(tmp_path / "c", moving_bar(4, size=(60, 80)), 2)
    masks = named("--mask", [tmp_path / name for name in ("ma", "mb", "mc")])
    command = ("run", tiny_bundle.path, *named("--source", [sources[0], broken, sources[1]]), *masks)
    code, out, err = run(*command, "--threads", "1", "--json")
    assert code == 1
    summary = json.loads(out)
    assert [camera["frames_out"] for camera in summary["cameras"]] == [4, 2, 4]
    assert [camera["error"] is None for camera in summary["cameras"]] == [True, False, True]
    assert f"edgebs: error: 1 of 3 cameras failed: camera 1 ({broken}): frame 2: " in err
    assert "Traceback" not in err
    assert [len(masks_of(tmp_path / name)) for name in ("ma", "mb", "mc")] == [4, 2, 4]
    code, out, err = run(*command, "--threads", "1", "--force")
    assert code == 1
    assert out.splitlines()[1].endswith(", then it failed")


def test_one_source_says_what_it_always_said(
    run: Command, tiny_bundle: Bundle, sources: list[Path], tmp_path: Path
) -> None:
    command = ("run", tiny_bundle.path, "--source", sources[0], "--threads", "1")
    code, out, _err = run(*command, "--json")
    assert code == 0
    assert set(json.loads(out)) == {
        *(
            "bundle",
            "trained",
            "frames_in",
            "frames_out",
            "frames_dropped",
            "frames_missing",
            "frames_damaged",
        ),
        *("fps", "latency_ms"),
        *("foreground_share", "interrupted"),
    }
    code, out, _err = run(*command, "--mask", tmp_path / "masks")
    assert out.startswith("4 frames at ")
    assert out.splitlines()[1:] == [str(tmp_path / "masks")]


@pytest.mark.parametrize("option", ["--mask", "--overlay", "--background"])
@pytest.mark.parametrize(("outputs", "inputs"), [(1, 2), (3, 2), (2, 1)])
def test_outputs_are_given_for_every_source_or_for_none(
    run: Command, option: str, outputs: int, inputs: int
) -> None:
    files = [Path(f"{place}.avi") for place in range(outputs)]
    code, out, err = run("run", "edge", *named("--source", [Path("x")] * inputs), *named(option, files))
    assert (code, out) == (2, "")
    said = " ".join(err.replace("│", "").split())
    assert f"{option}: given {outputs} times for {inputs} sources: give it once per source" in said


@pytest.mark.parametrize(
    ("more", "option"),
    [
        ((), "--together"),
        (("--source", "y", "--background", "a.npz", "--background", "b.npz"), "--background"),
        (("--source", "y", "--freeze-background"), "--freeze-background"),
    ],
)
def test_what_running_together_cannot_do_is_wrong_usage(
    run: Command, more: tuple[str, ...], option: str
) -> None:
    code, out, err = run("run", "edge", "--source", "x", "--together", *more)
    assert (code, out) == (2, "")
    assert f"{option}: no effect here" in " ".join(err.replace("│", "").split())


def test_together_on_the_cpu_names_the_way_to_a_bundle_that_can(
    run: Command, tiny_bundle: Bundle, sources: list[Path]
) -> None:
    code, _out, err = run("run", tiny_bundle.path, *named("--source", sources), "--together")
    assert code == 1
    assert "leave out --together" in err
    assert "--target gpu" in err


def test_together_runs_the_networks_once_for_all(
    run: Command, sources: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch)
    bundle = plan_bundle(tmp_path / "made", network=True, most=2).path
    command = ("run", bundle, *named("--source", sources), "--graphs", "off")
    code, out, err = run(*command, "--together", *named("--mask", [tmp_path / "ma", tmp_path / "mb"]))
    assert code == 0, err
    together = world.trt.enqueued
    assert len(out.splitlines()) == 2
    assert [len(masks_of(tmp_path / name)) for name in ("ma", "mb")] == [4, 4]
    assert run(*command)[0] == 0
    assert world.trt.enqueued == 3 * together
    assert (world.cuda.held, world.cuda.violations) == (0, [])
