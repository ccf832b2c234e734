import json
import shutil

import pytest
from fakes.process import cpu_texts
from fakes.process.command import Command
from fakes.video.scored import write_cdnet

from edgebs.bundle import rewrite_manifest
from edgebs.bundle.manifest import CleanupSettings
from edgebs.loading import load_bundle


@pytest.fixture
def run(monkeypatch, capsys):
    return Command(monkeypatch, capsys)


def test_version(run):
    assert run("--version") == (0, "0.1.0\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("export", "crossnet", "--out", "x", "--precision", "int8"),
            "edgebs calibrate VIDEO --out calibration",
        ),
        (("export", "crossnet", "--out", "x", "--weights", "no.safetensors"), "no.safetensors"),
        (("run", "no-bundle", "--source", "no-video.mp4"), "no-video.mp4"),
        (("inspect", "no-bundle"), "neither a bundle folder nor a shipped model"),
        (("parity", "no-bundle"), "neither a bundle folder nor a shipped model"),
        (("calibrate", "no-video.mp4", "--out", "x"), "no-video.mp4"),
        (("eval", "no-bundle", "--data", "."), "neither a bundle folder nor a shipped model"),
        (("eval", ".", "--data", "nowhere"), "nowhere is no folder"),
        (("eval", ".", "--data", "."), "no scored sequence below ."),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_1(run, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert code == 1, err
    assert said in err
    assert err.startswith("edgebs: error: ")
    assert "Traceback" not in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("edge", "--width", "8"), "edge does not take --width"),
        (("edge", "--maps", "3"), "leave --maps out"),
        (("edge", "--flow-precision", "fp16"), "leave --flow-precision out"),
        (("edge", "--batch", "4"), "are of TensorRT plans"),
        (("edge", "--size", "0x0"), "both sides must be pixels from 1"),
        (("edge", "--size", "64x9999999"), "both sides must be pixels from 1"),
        (("edge", "--intervals", "0"), "at least 1"),
    ],
)
def test_options_that_a_model_does_not_take_are_wrong_usage(run, tmp_path, options, said):
    code, out, err = run("export", *options, "--out", tmp_path)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "resnet", "--out", "x"), "unknown model 'resnet'; known: crossnet"),
        (("export", "crossnet", "--out", "x", "--flow", "raft"), "unknown flow 'raft'; known: dis, selflow"),
        (("export", "crossnet", "--out", "x", "--target", "tpu"), "unknown target 'tpu'; known: cpu"),
        (
            ("export", "crossnet", "--out", "x", "--precision", "fp8"),
            "unknown precision 'fp8'; known: fp32, fp16, int8",
        ),
        (("export", "crossnet", "--out", "x", "--size", "250x256"), "256"),
        (("export", "crossnet", "--out", "x", "--norm", "group"), "group"),
        (
            ("export", "crossnet", "--out", "x", "--dis-preset", "slow"),
            "unknown DIS preset 'slow'; known: ultrafast",
        ),
        (("export", "crossnet", "--out", "x", "--max-magnitude", "0"), "above 0, got 0"),
        (("calibrate", "x", "--out", "x", "--nominal-fps", "0"), "above 0, got 0"),
        (("eval", ".", "--data", ".", "--against", "mog2,vibe"), "unknown baseline 'vibe'; known: mog2, knn"),
    ],
)
def test_an_option_that_cannot_have_its_value_is_named_with_exit_code_2(
    run, tmp_path, monkeypatch, arguments, said
):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert code == 2, err
    assert said in err
    assert "Traceback" not in err
    assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("export",),
        ("export", "crossnet"),
        ("export", "crossnet", "--out", "x", "--size", "big"),
        ("export", "crossnet", "--out", "x", "--intervals", "1,zero"),
        ("export", "crossnet", "--out", "x", "--intervals", "0"),
        ("export", "crossnet", "--out", "x", "--compute", "f64"),
        ("bench", "x"),
        ("eval", "x"),
        ("eval", "x", "--data", "x", "--layout", "coco"),
        ("eval", "x", "--data", "x", "--threshold", "2"),
        ("eval", "x", "--data", "x", "--threshold", "nan"),
        ("run", "x", "--source", "x", "--threshold", "nan"),
        ("export", "crossnet", "--out", "x", "--threshold", "nan"),
        ("export", "crossnet", "--out", "x", "--nominal-fps", "inf"),
        ("export", "crossnet", "--out", "x", "--max-magnitude", "nan"),
        ("export", "crossnet", "--out", "x", "--size", "²x²"),
        ("calibrate", "x", "--out", "x", "--nominal-fps", "nan"),
        ("bench", "--fps", "--baseline", "tensorflow"),
        ("no-such-command",),
    ],
)
def test_wrong_usage_is_exit_code_2(run, arguments):
    code, out, err = run(*arguments)
    assert code == 2
    assert "Usage" in err
    assert out == ""


def test_bench_without_any_bundle_names_the_command_that_makes_one(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.speed.fps.shipped_models", dict)
    code, _, err = run("bench", "--fps", "--source", "x")
    assert code == 1
    assert "edgebs export crossnet" in err


def test_models_as_json(run):
    code, out, _ = run("models", "--json")
    listing = json.loads(out)
    assert code == 0
    assert listing["models"]["crossnet"]["parameters"] == 173_173_697
    assert {"crossnet", "edge"} <= set(listing["models"])
    assert set(listing["flows"]) == {"dis", "selflow", "net"}


def test_doctor_as_json(run):
    code, out, _ = run("doctor", "--json")
    report = json.loads(out)
    assert code == 0
    assert {target["target"] for target in report["targets"]} >= {"cpu", "sm75", "gpu"}


def test_eval_prints_the_object_of_the_contract_and_nothing_else(run, tiny_bundle, tmp_path):
    write_cdnet(tmp_path / "a", levels=(5, 200, 6, 201))
    code, out, _ = run(
        "eval", tiny_bundle.path, "--data", tmp_path, "--against", "mog2", "--threshold", "0.4", "--json"
    )
    record = json.loads(out)
    assert code == 0
    assert record["sequences"]["a"]["frames"] == 4
    assert record["bundles"][tiny_bundle.path.name]["threshold"] == 0.4
    assert list(record["peers"]) == ["mog2"]


def test_eval_writes_a_report_and_refuses_to_replace_it(run, tiny_bundle, tmp_path):
    write_cdnet(tmp_path / "a", levels=(5, 200, 6, 201))
    command = ("eval", tiny_bundle.path, "--data", tmp_path, "--report", tmp_path / "report.html")
    code, out, _ = run(*command)
    assert code == 0
    assert "pooled pixels" in out
    assert out.splitlines()[-1] == str(tmp_path / "report.html")
    code, _, err = run(*command)
    assert code == 1
    assert "report.html exists already" in err
    assert run(*command, "--force")[0] == 0


def test_eval_draws_curves_with_their_points_beside_and_keeps_its_own_object(run, tiny_bundle, tmp_path):
    write_cdnet(tmp_path / "data/a", levels=(5, 200, 6, 201))
    command = ("eval", tiny_bundle.path, "--data", tmp_path / "data", "--against", "mog2", "--json")
    plain = json.loads(run(*command)[1])
    code, out, _ = run(*command, "--curves", tmp_path / "c.png")
    record, points = json.loads(out), json.loads((tmp_path / "c.json").read_text())
    assert (code, record.keys()) == (0, plain.keys())
    name = tiny_bundle.path.name
    best, drawn = record["bundles"][name]["sweep"]["best_threshold"], points["bundles"][name]["mean"]
    assert drawn["best_threshold"]["threshold"] == best["threshold"]
    assert drawn["best_threshold"]["F"] == pytest.approx(best["mean_F"], abs=1e-4)
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = run(*command, "--curves", tmp_path / "c.png")
    assert code == 1
    assert "c.png exists already" in err


def test_curves_of_another_ending_are_wrong_usage_before_anything_is_scored(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("eval", "no-bundle", "--data", "nowhere", "--curves", "curves.jpg")
    assert (code, out) == (2, "")
    words = " ".join(err.replace("│", " ").split())
    assert "--curves: a file name that ends with .png is needed, got 'curves.jpg'" in words
    assert list(tmp_path.iterdir()) == []


def test_clean_up_is_switched_off_for_run_and_eval(run, tiny_bundle, street_video, tmp_path):
    copy = shutil.copytree(tiny_bundle.path, tmp_path / "bundle")
    rewrite_manifest(load_bundle(copy), cleanup=CleanupSettings(speck_px=10**6))
    data = write_cdnet(tmp_path / "data/a", levels=(5, 200, 6, 201)).parent
    commands = {
        "run": ("run", copy, "--source", street_video, "--frames", "2", "--threshold", "0", "--json"),
        "eval": ("eval", copy, "--data", data, "--threshold", "0", "--json"),
    }
    said = {
        (name, switch): json.loads(run(*command, *switch)[1])
        for name, command in commands.items()
        for switch in ((), ("--no-cleanup",))
    }
    assert said["run", ()]["foreground_share"] == 0.0
    assert said["run", ("--no-cleanup",)]["foreground_share"] == 1.0
    assert said["eval", ()]["sequences"]["a"]["Re"] == 0.0
    assert said["eval", ("--no-cleanup",)]["sequences"]["a"]["Re"] == 1.0
    assert said["eval", ()]["bundles"]["bundle"]["cleanup"] == {"speck_px": 10**6, "hole_px": 0}


def test_inspect_states_what_this_cpu_does_with_int8(run, tiny_bundle, monkeypatch, tmp_path):
    cpu_texts.use(cpu_texts.AVX2, monkeypatch, tmp_path)
    code, out, _ = run("inspect", tiny_bundle.path, "--json")
    assert code == 0
    assert json.loads(out)["cpu"]["int8"] == "saturating"
    _, out, _ = run("inspect", tiny_bundle.path)
    assert "INT8 on this CPU" in out
    assert "no VNNI" in out


def test_inspect_lists_the_layers_of_each_network(run, tiny_bundle):
    code, out, _ = run("inspect", tiny_bundle.path, "--layers", "--threads", "1", "--json")
    layers = json.loads(out)["segment"]
    assert code == 0
    assert {"name", "kind", "precision", "kernel", "ms"} == set(layers[0])
    assert sum(layer["kind"] == "Convolution" for layer in layers) > 5
    code, out, _ = run("inspect", tiny_bundle.path, "--layers", "--threads", "1")
    assert code == 0
    assert "fp32: " in out
