"""Checkpoints that TensorFlow wrote give the numbers that it gives; those that do not fit are named."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edgebs.errors import MissingDependency, WeightsError
from export.job.export import export_bundles
from export.job.request import ExportRequest
from export.models.authors_weights import crossnet_names, import_crossnet, selflow_names
from export.models.build import build_networks
from export.models.request import ModelRequest
from export.models.weights import weights_description, weights_of
from export.networks.crossnet import CrossNet
from export.networks.selflow import SelFlow

QUIET = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "OMP_NUM_THREADS": "2"}
# TensorFlow is imported once for all cases, and outside this process, where its warnings would be errors.
RUNNER = """
import contextlib, io, json, resource, sys
from edgebs.cli import main
results, most = {}, resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for name, arguments, most_bytes in json.loads(sys.argv[1]):
    output = io.StringIO()
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes or most, most))
    sys.argv = ["edgebs", "import-weights", *arguments]
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code
    results[name] = [code, output.getvalue()]
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
print(json.dumps(results))
"""
FULL_DISK_BYTES = 100_000


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """The folder that tf_networks.py fills."""
    folder = tmp_path_factory.mktemp("checkpoints")
    script = Path(__file__).parents[2] / "fakes" / "networks" / "tf_networks.py"
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False, env=QUIET
    )
    assert done.returncode == 0, done.stderr
    return folder


def copied(folder, name, as_name):
    for ending in ("index", "data-00000-of-00001"):
        shutil.copy(folder / f"{name}.{ending}", folder / f"{as_name}.{ending}")
    return folder / as_name


def damage(folder):
    """Copies of the small checkpoint that are cut off or changed."""
    cut = copied(folder, "crossnet", "cut").with_name("cut.data-00000-of-00001")
    os.truncate(cut, cut.stat().st_size // 2)
    cut_index = copied(folder, "crossnet", "cut-index").with_name("cut-index.index")
    os.truncate(cut_index, cut_index.stat().st_size // 2)
    changed = copied(folder, "crossnet", "changed").with_name("changed.data-00000-of-00001")
    with changed.open("r+b") as file:
        file.seek(changed.stat().st_size // 2)
        file.write(bytes(byte ^ 0xFF for byte in range(256)) * 400)


@pytest.fixture(scope="module")
def imports(checkpoints):
    """Exit code and output of `edgebs import-weights` for each case."""
    damage(checkpoints)
    out = checkpoints / "out"
    cases = [
        ("crossnet", ["crossnet", "crossnet", "--json"], None),
        ("activated", ["crossnet", "crossnet.index", "--activated-skips"], None),
        ("selflow", ["selflow", "selflow"], None),
        ("standardised", ["selflow", "selflow", "--standardise"], None),
        ("replaced", ["crossnet", "crossnet", "--force"], None),
        ("cut", ["crossnet", "cut"], None),
        ("cut-index", ["crossnet", "cut-index"], None),
        ("changed", ["crossnet", "changed"], None),
        ("unfit", ["crossnet", "unfit"], None),
        ("diverged", ["crossnet", "diverged"], None),
        ("other", ["crossnet", "selflow"], None),
        ("another", ["selflow", "crossnet"], None),
        ("full-disk", ["crossnet", "crossnet"], FULL_DISK_BYTES),
        ("wrong-option", ["crossnet", "crossnet", "--standardise"], None),
    ]
    out.mkdir()
    (out / "replaced.safetensors").write_text("replace me")
    commands = [
        (
            name,
            [network, str(checkpoints / source), "--out", str(out / f"{name}.safetensors"), *options],
            size,
        )
        for name, (network, source, *options), size in cases
    ]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, json.dumps(commands)],
        capture_output=True, text=True, check=False, env=QUIET, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def imported(checkpoints, imports):
    """The folder of what was imported."""
    wanted = ("crossnet", "activated", "selflow", "standardised", "replaced")
    assert [(name, imports[name]) for name in wanted if imports[name][0] != 0] == []
    return checkpoints / "out"


def message_of(imports, name):
    code, text = imports[name]
    assert code == 1
    assert "Traceback" not in text
    return " ".join(text.split())


def nchw(array):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, 3, 1)))


def bgr(array):
    return torch.from_numpy(np.ascontiguousarray(array[..., ::-1]))


@pytest.mark.parametrize(("name", "computed"), [("crossnet", "plain"), ("activated", "activated")])
@torch.no_grad()
def test_crossnet_gives_the_probability_that_tensorflow_gives(checkpoints, imported, name, computed):
    theirs = np.load(checkpoints / "crossnet.npz")
    file = imported / f"{name}.safetensors"
    graph = build_networks(ModelRequest(weights=str(file), max_magnitude=20.0))["segment"]
    ours = graph(bgr(theirs["frame"]), nchw(theirs["magnitude"])).numpy()
    assert theirs[computed].std() > 0.1
    assert np.abs(theirs["plain"] - theirs["activated"]).max() > 0.1
    assert np.abs(ours - theirs[computed]).max() < 1e-5


@torch.no_grad()
def test_selflow_gives_the_flows_that_tensorflow_gives(checkpoints, imported):
    theirs = np.load(checkpoints / "selflow.npz")
    request = ModelRequest(width=1, flow="selflow", flow_weights=str(imported / "selflow.safetensors"))
    network = build_networks(request)["cue"].network
    flows = network(*(nchw(theirs[name]) / 255 for name in ("x0", "x1", "x2")))
    for ours, name in zip(flows, ("forward", "backward"), strict=True):
        assert np.linalg.norm(theirs[name], axis=3).mean() > 0.5
        assert np.linalg.norm(ours.numpy() - np.moveaxis(theirs[name], 3, 1), axis=1).mean() < 0.01


@pytest.mark.parametrize(("name", "computed"), [("selflow", "to_past"), ("standardised", "standard")])
@torch.no_grad()
def test_the_cue_is_the_length_of_tensorflows_flow_to_the_past(checkpoints, imported, name, computed):
    theirs = np.load(checkpoints / "selflow.npz")
    file = imported / f"{name}.safetensors"
    graph = build_networks(ModelRequest(width=1, flow="selflow", flow_weights=str(file), intervals=(1,)))[
        "cue"
    ]
    cue = graph(bgr(theirs["x1"]), bgr(theirs["x0"]))[:, 0].numpy()
    assert np.abs(cue - np.linalg.norm(theirs[computed], axis=3)).mean() < 0.01


def test_the_warp_makes_a_difference_that_these_tests_would_see(checkpoints, imported):
    theirs = np.load(checkpoints / "selflow.npz")
    file = str(imported / "selflow.safetensors")
    request = ModelRequest(width=1, flow="selflow", flow_weights=file, intervals=(1,), warp="grid_sample")
    with torch.no_grad():
        cue = build_networks(request)["cue"](bgr(theirs["x1"]), bgr(theirs["x0"]))[:, 0].numpy()
    assert np.abs(cue - np.linalg.norm(theirs["to_past"], axis=3)).mean() > 0.02


def test_every_variable_is_counted_and_the_header_says_the_form(imported, imports):
    answer = json.loads(imports["crossnet"][1])
    # 134 variables; two slots of Adam for each, its two powers, and the step.
    assert (answer["variables"], answer["of_training"]) == (134, 2 * 134 + 3)
    assert weights_description(imported / "crossnet.safetensors") == {
        "network": "crossnet", "width": 4, "norm": "layer", "intervals": 3, "activated_skips": False,
        "imported": {"checkpoint": "crossnet"},
    }  # fmt: skip
    assert weights_description(imported / "standardised.safetensors") == {
        "network": "selflow", "warp": "published", "standardise": True, "imported": {"checkpoint": "selflow"},
    }  # fmt: skip


def test_the_tables_of_names_cover_every_tensor_of_the_networks():
    with torch.device("meta"):
        assert set(crossnet_names()) == set(weights_of(CrossNet(4, "layer")))
        assert set(selflow_names()) == set(weights_of(SelFlow()))
    for names in (crossnet_names(), selflow_names()):
        assert len(set(names.values())) == len(names)


def test_export_takes_the_file_as_it_is(imported, tmp_path):
    file = imported / "crossnet.safetensors"
    model = ModelRequest(weights=str(file))
    (bundle,) = export_bundles(ExportRequest(model=model, out=tmp_path, parity_frames=4))
    described = bundle.manifest.networks["segment"].description
    assert (described["width"], described["norm"]) == (4, "layer")
    assert bundle.manifest.parity["passed"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cut", ["cut, variable 'generator/", "cannot be read", "Copy or download the checkpoint again"]),
        ("cut-index", ["cut-index cannot be read"]),
        ("changed", ["changed, variable 'generator/", "cannot be read"]),
        (
            "unfit",
            [
                "1 missing: generator/fusion3/biases",
                "1 unknown: discriminator/w",
                "2 misshapen: generator/g_bn_d1/gamma [5] where [32] is needed",
                "generator/g_bn_d2/gamma of float64 where float32 is needed",
            ],
        ),
        ("diverged", ["variable 'generator/g_d8/biases' holds NaN"]),
        ("other", ["none of crossnet", "edgebs import-weights selflow"]),
        ("another", ["98 missing", "134 unknown", "and 126 more", "edgebs import-weights crossnet"]),
        ("full-disk", ["full-disk", "File too large"]),
    ],
)
def test_what_cannot_be_imported_is_named_and_nothing_is_written(checkpoints, imports, name, words):
    text = message_of(imports, name)
    assert [word for word in words if word not in text] == []
    assert not (checkpoints / "out" / f"{name}.safetensors").exists()


def test_only_whole_files_lie_where_the_imports_wrote(checkpoints, imports):
    good = [name for name, (code, _) in imports.items() if code == 0]
    assert len(good) == 5
    assert sorted(path.name for path in (checkpoints / "out").iterdir()) == sorted(
        f"{name}.safetensors" for name in good
    )


def test_an_option_of_the_other_network_is_wrong_usage(imports):
    code, text = imports["wrong-option"]
    assert code == 2
    assert "only SelFlow's images are ever standardised" in " ".join(text.replace("│", " ").split())


def refused(checkpoint, out):
    with pytest.raises(WeightsError) as error:
        import_crossnet(checkpoint, out)
    assert not out.exists()
    return str(error.value)


def test_a_missing_part_is_named(checkpoints, tmp_path):
    for ending in ("index", "data-00000-of-00002"):
        shutil.copy(checkpoints / "crossnet.index", tmp_path / f"model.{ending}")
    out = tmp_path / "out.safetensors"
    assert "lacks model.data-00001-of-00002" in refused(tmp_path / "model", out)
    (tmp_path / "model.data-00000-of-00002").unlink()
    assert "lacks model.data-00000-of-00001" in refused(tmp_path / "model", out)


def test_what_is_no_checkpoint_of_format_v2_is_told_apart(checkpoints, tmp_path):
    out = tmp_path / "out.safetensors"
    assert "of format V1" in refused(checkpoints / "version1", out)
    (tmp_path / "notes.txt").write_text("no weights")
    assert "notes.txt is no TensorFlow checkpoint" in refused(tmp_path / "notes.txt", out)
    (tmp_path / "empty").touch()
    assert "empty is no TensorFlow checkpoint" in refused(tmp_path / "empty", out)
    assert "there is no absent.index" in refused(tmp_path / "absent", out)
    assert "holds 0 checkpoints (none)" in refused(tmp_path, out)
    for name in ("a", "b"):
        (tmp_path / f"{name}.index").touch()
    assert "holds 2 checkpoints (a, b). Name one" in refused(tmp_path, out)


def test_a_file_that_is_there_is_kept(checkpoints, tmp_path):
    out = tmp_path / "out.safetensors"
    out.write_text("keep me")
    with pytest.raises(WeightsError, match="exists already"):
        import_crossnet(checkpoints / "crossnet", out)
    assert out.read_text() == "keep me"


def test_without_tensorflow_the_extra_is_named(checkpoints, monkeypatch, tmp_path):
    monkeypatch.setattr("edgebs.machine.extras.find_spec", lambda _name: None)
    with pytest.raises(MissingDependency, match=r"pip install 'edgebs\[tf\]'"):
        import_crossnet(checkpoints / "crossnet", tmp_path / "out.safetensors")
    assert list(tmp_path.iterdir()) == []
