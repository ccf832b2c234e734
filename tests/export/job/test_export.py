"""From the request to bundles that load, run and prove themselves, at width 4."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import edgebs
from bench.parity import bundle_parity
from calib.frames.make import make_calibration_set
from edgebs.errors import (
    BundleError,
    CalibrationError,
    EngineMismatch,
    ExportError,
    MissingDependency,
    ParityError,
    WeightsError,
)
from edgebs.loading import load_bundle
from engines import BuildOptions, LeanRuntime
from export.convert.cost import parameters
from export.job import Job
from export.job.export import export_bundles
from export.job.request import ExportRequest
from export.models.build import build_networks, module_from_description
from export.models.reference import TorchReference
from export.models.request import FLOWS, MODELS, ModelRequest
from export.models.weights import save_weights

WIDTH = 4


def request(out, **changes):
    model = {"width": WIDTH, **changes.pop("model", {})}
    return ExportRequest(
        model=ModelRequest(**model), out=out, parity_frames=changes.pop("frames", 4), **changes
    )


@pytest.fixture(scope="module")
def calibration(street_video, tmp_path_factory):
    out = tmp_path_factory.mktemp("calibration") / "set"
    make_calibration_set([street_video], out, frames=8)
    return out


@pytest.fixture
def few_samples(monkeypatch):
    """For tests that do not judge INT8: a sample of SelFlow's cue takes a second."""
    monkeypatch.setattr("export.job.CALIBRATION_SAMPLES", 2)


@pytest.fixture(scope="module")
def bundles(calibration, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles")
    wanted = request(out, precisions=("fp32", "fp16", "int8"), calibration=calibration)
    return {bundle.manifest.precision: bundle for bundle in export_bundles(wanted)}


def test_one_bundle_a_precision_and_nothing_else_is_left(bundles):
    folder = bundles["fp32"].path.parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "crossnet-dis-cpu-fp16",
        "crossnet-dis-cpu-fp32",
        "crossnet-dis-cpu-int8",
    ]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_every_bundle_loads_and_runs(bundles, precision, street_video):
    with edgebs.load(bundles[precision].path) as pipeline:
        results = list(pipeline.run(street_video, frames=3))
    assert [result.mask.shape for result in results] == [(120, 160)] * 3
    assert all(set(np.unique(result.mask)) <= {0, 255} for result in results)
    assert all(0 <= result.probability.min() <= result.probability.max() <= 1 for result in results)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_parity_gates_hold_and_are_kept_in_the_bundle(bundles, precision):
    parity = load_bundle(bundles[precision].path).manifest.parity
    assert parity["passed"]
    assert parity["enforced"]
    assert set(parity["networks"]["segment"]) >= {"max_abs", "mean_abs", "cosine"}
    assert set(parity["pipeline"]) >= {"mask_iou", "flip_rate"}


def test_an_untrained_int8_bundle_is_reported_with_its_calibration(bundles, calibration):
    parity, facts = bundles["int8"].manifest.parity, bundles["int8"].manifest.calibration
    assert not parity["enforced"]
    assert parity["networks"]["segment"]["cosine"] > 0.9
    assert facts["hash"] == json.loads((calibration / "calibration.json").read_text())["hash"]
    assert bundles["fp32"].manifest.calibration is None


def test_int8_is_smaller_and_fp16_in_between(bundles):
    size = {name: bundle.manifest.files["segment.onnx"]["bytes"] for name, bundle in bundles.items()}
    assert size["int8"] < 0.45 * size["fp32"]
    assert size["fp16"] < 0.6 * size["fp32"]


def test_parity_of_a_bundle_alone_rebuilds_the_network_from_the_manifest(bundles, street_video):
    result = bundle_parity(bundles["fp32"].path, TorchReference(), source=street_video, frames=3)
    assert result["passed"]
    assert result["frames"] == 3


def test_parity_refuses_weights_that_are_not_those_of_the_bundle(bundles, tmp_path):
    manifest = bundles["fp32"].path / "manifest.json"
    copy = tmp_path / "bundle"
    copy.mkdir()
    (copy / "segment.onnx").symlink_to(bundles["fp32"].path / "segment.onnx")
    data = json.loads(manifest.read_text())
    data["weights"]["segment"]["seed"] = 1
    (copy / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(ExportError, match="seed 1 are not those of bundle"):
        bundle_parity(copy, TorchReference(), frames=1)


@pytest.mark.usefixtures("few_samples")
def test_the_whole_paper_pipeline_exports_and_runs(tmp_path, calibration, street_video):
    wanted = request(tmp_path, model={"flow": "selflow"}, precisions=("fp32",), calibration=calibration)
    (bundle,) = export_bundles(wanted)
    assert set(bundle.manifest.networks) == {"segment", "cue"}
    assert bundle.manifest.parity["networks"]["cue"]["max_abs"] < 20e-4
    with edgebs.load(bundle.path) as pipeline:
        results = list(pipeline.run(street_video, frames=3))
    assert len(results) == 3


@pytest.mark.usefixtures("few_samples")
def test_plans_are_written_without_a_gpu_and_say_so_when_loaded(tmp_path, calibration):
    wanted = {"target": "sm75", "precisions": ("fp16", "int8"), "calibration": calibration}
    bundles = export_bundles(request(tmp_path, model={"flow": "selflow"}, frames=2, **wanted))
    for bundle in bundles:
        assert set(bundle.manifest.files) == {"segment.plan", "cue.plan"}
        assert bundle.manifest.build["compute_capability"] == "7.5"
        assert bundle.manifest.parity["checked"].startswith("onnx file of the plan")
        with pytest.raises(EngineMismatch, match=r"built for compute capability 7\.5.*here"):
            load_bundle(bundle.path)
    plan = bundles[0].path / "segment.plan"
    damaged = bytearray(plan.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    plan.write_bytes(damaged)
    with pytest.raises(BundleError, match=r"segment\.plan is damaged or was changed"):
        load_bundle(bundles[0].path)


def test_what_stands_there_is_refused_before_any_work(bundles):
    with pytest.raises(BundleError, match=r"exists already.*--force"):
        export_bundles(request(bundles["fp32"].path.parent))


def test_a_calibration_set_that_lacks_an_interval_is_named(tmp_path, calibration):
    wanted = request(tmp_path, model={"intervals": (1, 7)}, precisions=("int8",), calibration=calibration)
    with pytest.raises(CalibrationError, match=r"needs \[1, 7\].*--intervals 1,7"):
        export_bundles(wanted)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_width_and_with_nan_are_refused(tmp_path):
    graph = build_networks(ModelRequest(width=WIDTH))["segment"]
    file = tmp_path / "weights.safetensors"
    save_weights(graph.network, file)
    with pytest.raises(WeightsError, match="width 4"):
        export_bundles(request(tmp_path / "out", model={"width": 8, "weights": str(file)}))
    next(graph.network.parameters()).data.view(-1)[3] = torch.nan
    save_weights(graph.network, file)
    with pytest.raises(WeightsError, match=r"finite|NaN"):
        export_bundles(request(tmp_path / "out", model={"weights": str(file)}))
    assert not any((tmp_path / "out").glob("*"))


def test_weights_from_a_file_count_as_trained_and_their_bundle_proves_itself(tmp_path):
    file = tmp_path / "weights.safetensors"
    save_weights(build_networks(ModelRequest(width=WIDTH, seed=3))["segment"].network, file)
    (bundle,) = export_bundles(request(tmp_path / "out", model={"weights": str(file)}))
    assert bundle.manifest.trained
    assert bundle_parity(bundle.path, TorchReference(), frames=2)["passed"]


def test_an_unwritable_output_is_a_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="cannot write into"):
        export_bundles(request(tmp_path / "file" / "out"))


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path):
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "from edgebs.cli import main; main()"
    )
    command = ["export", "crossnet", "--width", str(WIDTH), "--out", str(tmp_path / "out")]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "edgebs: error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_network_that_cannot_be_compared_leaves_a_bundle_that_says_so(tmp_path, monkeypatch):
    def overflow(*_):
        raise ParityError("frame 0: the network gives NaN")

    monkeypatch.setattr("export.job.compare", overflow)
    with pytest.raises(ParityError, match="NaN"):
        export_bundles(request(tmp_path))
    parity = load_bundle(tmp_path / "crossnet-dis-cpu-fp32").manifest.parity
    assert (parity["passed"], parity["reason"]) == (False, "frame 0: the network gives NaN")


@pytest.mark.usefixtures("few_samples")
@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("asked", ["fp16", "auto"])
def test_an_export_stopped_in_its_parity_leaves_only_what_is_finished(
    tmp_path, monkeypatch, calibration, stop, asked
):
    real = Job.parity

    def stopped(job, manifest, files):
        if manifest.precision == "fp32":
            return real(job, manifest, files)
        raise stop

    monkeypatch.setattr(Job, "parity", stopped)
    with pytest.raises(stop):
        export_bundles(request(tmp_path, precisions=("fp32", asked), calibration=calibration, frames=1))
    assert [path.name for path in tmp_path.iterdir()] == ["crossnet-dis-cpu-fp32"]
    assert load_bundle(tmp_path / "crossnet-dis-cpu-fp32").manifest.parity["passed"]


def test_an_export_stopped_in_its_parity_keeps_the_bundle_that_it_was_to_replace(
    bundles, tmp_path, monkeypatch
):
    first = bundles["fp32"]
    shutil.copytree(first.path, tmp_path / first.path.name)

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Job, "parity", stopped)
    with pytest.raises(KeyboardInterrupt):
        export_bundles(request(tmp_path, force=True, model={"seed": 1}))
    assert load_bundle(tmp_path / first.path.name).manifest == first.manifest


def test_a_process_killed_in_its_parity_leaves_no_bundle(tmp_path):
    code = (
        "import os, signal; from export.job import Job\n"
        "Job.parity = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from edgebs.cli import main; main()"
    )
    command = ["export", "crossnet", "--width", str(WIDTH), "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, check=False)
    assert done.returncode == -9
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []


@pytest.mark.parametrize("force", [False, True])
def test_what_force_would_not_replace_is_refused_without_advising_it(tmp_path, force):
    place = tmp_path / "crossnet-dis-cpu-fp32"
    place.write_text("a file")
    with pytest.raises(BundleError, match="is not a folder, so it is not replaced") as of_file:
        export_bundles(request(tmp_path, force=force))
    place.unlink()
    place.mkdir()
    (place / "thesis.txt").write_text("mine")
    with pytest.raises(BundleError, match="files of something else, so it is not replaced") as of_folder:
        export_bundles(request(tmp_path, force=force))
    assert "--force" not in f"{of_file.value}{of_folder.value}"
    assert (place / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("target", "build", "reason"),
    [
        ("sm75", BuildOptions(version_compatible=LeanRuntime.OUTSIDE), "sm75 cannot be version-compatible"),
        ("rtx", BuildOptions(version_compatible=LeanRuntime.INSIDE), "rtx cannot be version-compatible"),
        ("sm89", BuildOptions(dla_core=0), "sm89 has no DLA"),
        ("cpu", BuildOptions(version_compatible=LeanRuntime.INSIDE), "Leave .*--version-compatible out"),
    ],
)
def test_what_a_target_has_not_is_refused_before_a_network_is_built(tmp_path, target, build, reason):
    with pytest.raises(ExportError, match=reason):
        ExportRequest(target=target, build=build, out=tmp_path)


def test_a_plan_without_its_builder_is_refused_before_pytorch_runs(tmp_path, monkeypatch):
    def built(_):
        raise AssertionError("PyTorch ran")

    monkeypatch.setattr("export.job.build_networks", built)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    for target in ("sm75", "sm120", "rtx"):
        with pytest.raises(MissingDependency, match=r"needs TensorRT-RTX: pip install 'edgebs\[rtx\]'"):
            export_bundles(request(tmp_path / "out", target=target))
    assert not (tmp_path / "out").exists()


def test_bf16_is_for_the_cpu_only(tmp_path):
    with pytest.raises(ExportError, match=r"bf16 is for target cpu"):
        request(tmp_path, target="onnx", compute="bf16", precisions=("fp16",))


def test_what_models_says_is_what_is_built():
    with torch.device("meta"):
        crossnet = module_from_description({"network": "crossnet"})
        selflow = module_from_description({"network": "selflow"})
    assert parameters(crossnet) == MODELS["crossnet"].parameters
    assert parameters(selflow) == FLOWS["selflow"].parameters
