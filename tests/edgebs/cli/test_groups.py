"""How plans run on a GPU, from the command line to where they are opened; on a fake GPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes.gpu.cuda import Status
from fakes.gpu.device_bundle import plan_bundle
from fakes.gpu.device_scenarios import World
from fakes.gpu.tensorrt import FakeTensorRT
from fakes.process.command import Command
from fakes.video.scored import write_cdnet

from edgebs.errors import BackendError
from edgebs.nvidia import DeviceOptions, Graphs
from edgebs.nvidia import load as device_loading
from edgebs.nvidia.tensorrt import make_logger
from edgebs.nvidia.tensorrt.engine import open_runtime

CHOSEN = ("--device", "1", "--no-overlap", "--graphs", "off", "--host-code")
COMMANDS = [("run", "--source", "x"), ("eval", "--data", "x"), ("bench", "--fps"), ("parity",)]
MEANT = DeviceOptions(device=1, overlap=False, graphs=Graphs.OFF, host_code=True)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path, monkeypatch)
    world.cuda.devices = 2
    return world


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return plan_bundle(tmp_path / "made", network=True).path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[DeviceOptions]:
    """The options of every path that is opened on the device."""
    seen: list[DeviceOptions] = []
    open_it = device_loading.open_device_path

    def open_device_path(bundle: Any, options: DeviceOptions, host_cue: Any, **more: Any) -> Any:
        seen.append(options)
        return open_it(bundle, options, host_cue, **more)

    monkeypatch.setattr(device_loading, "open_device_path", open_device_path)
    return seen


def test_run_runs_as_it_was_told(
    run: Command, world: World, bundle: Path, opened: list[DeviceOptions], street_video: Path
) -> None:
    code, _out, err = run("run", bundle, "--source", street_video, "--frames", "4", *CHOSEN)
    assert code == 0, err
    assert opened == [MEANT]
    assert set(world.cuda.current) == {1}
    assert world.trt.host_code == [True, True]
    assert (world.cuda.held, world.cuda.violations) == (0, [])


def test_without_an_option_all_is_as_in_python(
    run: Command, world: World, bundle: Path, opened: list[DeviceOptions], street_video: Path
) -> None:
    assert run("run", bundle, "--source", street_video, "--frames", "4")[0] == 0
    assert opened == [DeviceOptions()]
    assert world.trt.host_code == [False, False]


def test_eval_scores_as_it_was_told(
    run: Command, world: World, bundle: Path, opened: list[DeviceOptions], tmp_path: Path
) -> None:
    write_cdnet(tmp_path / "data/a", levels=(5, 200, 6, 201))
    code, _out, err = run("eval", bundle, "edge", "--data", tmp_path / "data", *CHOSEN)
    assert code == 0, err
    assert opened == [MEANT]
    assert set(world.cuda.current) == {1}


@pytest.mark.usefixtures("world")
def test_bench_measures_watches_and_weighs_the_gpu_that_it_was_told(
    run: Command,
    bundle: Path,
    opened: list[DeviceOptions],
    street_video: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched: list[int] = []
    weighed: list[DeviceOptions] = []

    def no_reader(index: int, _pci_bus_id: str) -> Any:
        watched.append(index)
        raise BackendError("no NVML")

    def no_process(*arguments: Any) -> float:
        weighed.append(arguments[-1])
        return 1.0

    monkeypatch.setattr("bench.gpu.NvmlReader", no_reader)
    monkeypatch.setattr("bench.speed.fps.peak_rss_mb", no_process)
    options = ("--fps", "--source", street_video, "--frames", "5", "--repeats", "1", "--baseline", "none")
    code, _out, err = run("bench", bundle, *options, *CHOSEN)
    assert code == 0, err
    timed = DeviceOptions(device=1, overlap=False, graphs=Graphs.OFF, host_code=True, timed=True)
    assert (opened, weighed, watched) == ([timed], [timed], [1])


def test_parity_compares_what_runs_as_it_was_told(
    run: Command, world: World, bundle: Path, opened: list[DeviceOptions], street_video: Path
) -> None:
    code, _out, err = run("parity", bundle, "--source", street_video, "--frames", "1", *CHOSEN)
    assert code == 1  # the fake's networks have no PyTorch beside them
    assert "'fake'" in err
    assert opened == [MEANT]
    assert world.cuda.held == 0


def test_the_lean_package_loads_plans_where_it_was_chosen(
    run: Command, world: World, bundle: Path, street_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lean = FakeTensorRT(world.cuda)
    monkeypatch.setitem(sys.modules, "tensorrt_lean", lean)
    code, _out, err = run("run", bundle, "--source", street_video, "--frames", "2", "--lean")
    assert code == 0, err
    assert (len(lean.host_code), len(world.trt.host_code)) == (2, 0)


def test_a_lean_library_loads_plans_where_it_was_chosen(
    run: Command, world: World, bundle: Path, street_video: Path, tmp_path: Path
) -> None:
    command = ("run", bundle, "--source", street_video, "--frames", "2", "--lean-runtime")
    library = tmp_path / "libnvinfer_lean.so.10"
    code, _out, err = run(*command, library)
    assert code == 1
    assert str(library) in err
    library.write_bytes(b"code")
    assert run(*command, library)[0] == 0
    assert world.trt.lean == [str(library)] * 2
    assert world.trt.orphans == 0


def test_graphs_that_are_required_and_cannot_be_captured_are_an_error(
    run: Command, world: World, bundle: Path, street_video: Path
) -> None:
    world.cuda.fails["cudaStreamEndCapture"] = Status.cudaErrorStreamCaptureInvalidated
    command = ("run", bundle, "--source", street_video, "--frames", "2")
    assert run(*command)[0] == 0
    code, _out, err = run(*command, "--graphs", "required")
    assert code == 1
    assert "cudaErrorStreamCaptureInvalidated" in err


def test_layers_are_those_of_the_gpu_and_runtime_that_were_chosen(
    run: Command, world: World, bundle: Path, tmp_path: Path
) -> None:
    library = tmp_path / "libnvinfer_lean.so.10"
    library.write_bytes(b"code")
    options = ("--device", "1", "--host-code", "--lean-runtime", library)
    code, out, err = run("inspect", bundle, "--layers", "--json", *options)
    assert code == 0, err
    assert [layer["name"] for layer in json.loads(out)["segment"]] == ["compute", "bring"]
    assert set(world.cuda.current) == {1}
    assert world.trt.lean == [str(library)] * 2
    assert world.trt.orphans == 0
    assert world.trt.host_code == [True, True]


def test_inspect_refuses_them_where_it_loads_nothing(run: Command, bundle: Path) -> None:
    for command in (("inspect", bundle), ("inspect", "edge", "--layers")):
        code, _out, err = run(*command, "--device", "1")
        assert code == 2
        assert "--device: no effect here" in err
    assert "No such option" in run("inspect", bundle, "--no-overlap")[2]


@pytest.mark.usefixtures("world")
def test_a_gpu_that_is_not_there_is_named(run: Command, bundle: Path, street_video: Path) -> None:
    code, _out, err = run("run", bundle, "--source", street_video, "--device", "2")
    assert code == 1
    assert "there are 2, and 2 was asked for" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--lean", "--lean-runtime", "x.so"), "choose one lean runtime"),
        (("--device", "-1"), "--device"),
        (("--device", "first"), "--device"),
        (("--graphs", "sometimes"), "required"),
    ],
)
@pytest.mark.parametrize(
    "command", [("run", "--source", "x"), ("eval", "--data", "x"), ("bench", "--fps"), ("parity",)]
)
def test_what_cannot_be_meant_is_wrong_usage(
    run: Command, bundle: Path, command: tuple[str, ...], options: tuple[str, ...], said: str
) -> None:
    code, out, err = run(*command, bundle, *options)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize("option", [("--lean",), ("--lean-runtime", "x.so")])
@pytest.mark.parametrize("command", [*COMMANDS, ("inspect", "--layers")])
def test_a_lean_runtime_is_refused_for_plans_of_tensorrt_rtx(
    run: Command, bundle: Path, command: tuple[str, ...], option: tuple[str, ...]
) -> None:
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tensorrt"', '"tensorrt_rtx"'))
    code, out, err = run(*command, bundle, *option)
    assert (code, out) == (2, "")
    said = " ".join(err.replace("│", "").split())
    assert f"{option[0]}: no effect here: TensorRT-RTX alone loads the plans" in said


@pytest.mark.parametrize("option", [("--device", "0"), ("--no-overlap",), ("--graphs", "auto"), ("--lean",)])
@pytest.mark.parametrize(
    "command", [("run", "--source", "x"), ("eval", "--data", "x"), ("bench", "--fps"), ("parity",)]
)
def test_on_the_cpu_they_are_refused_because_they_do_nothing(
    run: Command, command: tuple[str, ...], option: tuple[str, ...]
) -> None:
    code, out, err = run(*command, "edge", *option)
    assert (code, out) == (2, "")
    assert f"{option[0]}: no effect here" in " ".join(err.replace("│", "").split())


@pytest.mark.parametrize("command", [("run", "--source", "x"), ("bench", "--fps"), ("eval", "--data", "x")])
def test_cpu_threads_are_refused_where_every_network_runs_on_a_gpu(
    run: Command, bundle: Path, command: tuple[str, ...]
) -> None:
    code, out, err = run(*command, bundle, "--threads", "2")
    assert (code, out) == (2, "")
    assert "--threads: no effect here" in " ".join(err.replace("│", "").split())


def test_a_lean_library_is_for_tensorrt_alone_in_a_mixture_of_bundles(world: World, tmp_path: Path) -> None:
    library = tmp_path / "libnvinfer_lean.so.10"
    library.write_bytes(b"code")
    options = DeviceOptions(lean_runtime=library)
    logger = make_logger(world.trt)
    for module, loaded in (("tensorrt_rtx", []), ("tensorrt", [str(library)])):
        open_runtime(world.trt, logger, module, options)
        assert world.trt.lean == loaded
