import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.main import get_command

from bench.scenes import bank as varied_bank
from bench.scenes.clip import Clip, ClipOptions
from edgebs.cli import app, main
from edgebs.cues import open_cue
from export.models.build import module_from_description
from export.models.request import ModelRequest
from export.models.weights import load_weights, weights_description
from export.training import samples
from export.training.tasks import TASKS

SMALL = ("--width", "1", "--batch", "2", "--validation", "1", "--workers", "0", "--threads", "1")


@dataclass
class StreetSample:
    frame: np.ndarray
    cue: np.ndarray
    labels: np.ndarray


def street_samples(settings, seed, index, size, _bank, _overexposed, *, settled):
    """A rendered street in place of the scenes that take seconds to set up."""
    assert settled == 0
    scene = Clip(ClipOptions(size=size, frames=3, seed=(seed + index) % 1000))
    cue = open_cue(settings, size, None)
    samples = []
    for t in range(3):
        frame = scene.frame(t)
        output = cue.update(frame.image, frame.captured_s)
        samples.append(StreetSample(frame.image, output.tensors["cue"][0].copy(), frame.mask))
    return samples


@pytest.fixture
def train(monkeypatch, capsys):
    from export.training.samples import scenes

    monkeypatch.setattr(scenes, "sequence_samples", street_samples)
    monkeypatch.setattr(samples, "picture_bank", lambda _images: None)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["edgebs", "train", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return stopped.value.code, said.out, said.err

    return run


def test_crossnet_trains_and_export_can_read_what_it_leaves(train, tmp_path):
    code, out, err = train("crossnet", "--out", tmp_path / "run", "--steps", 3, *SMALL, "--json")
    assert code == 0, err
    result = json.loads(out)
    assert (result["steps"], result["samples"], result["model"]) == (3, 6, "crossnet")
    described = weights_description(tmp_path / "run" / "best.safetensors")
    assert (described["network"], described["width"], described["intervals"]) == ("crossnet", 1, 3)
    graph = module_from_description(described)
    load_weights(graph.network, tmp_path / "run" / "best.safetensors")
    record = json.loads((tmp_path / "run" / "training.json").read_text(encoding="utf-8"))
    assert record["commands"] == [f"edgebs train crossnet --out {tmp_path / 'run'} --steps 3 "
                                  f"{' '.join(SMALL)} --json"]  # fmt: skip


def test_the_record_names_the_photographs_and_what_is_missing_is_said(train, tmp_path, monkeypatch):
    arguments = ("crossnet", "--out", tmp_path / "run", "--steps", 1, *SMALL)
    code, _, err = train(*arguments)
    assert code == 0, err
    assert "photographs" not in err
    there = json.loads((tmp_path / "run" / "training.json").read_text(encoding="utf-8"))["photographs"]
    assert there == list(varied_bank.PictureBank.open().sources)
    monkeypatch.setattr(varied_bank, "_sources", lambda _images: there[1:])
    code, _, err = train(*arguments, "--resume")
    assert code == 0, err
    assert f"without the photographs {there[0]}, and differ" in err
    assert "pip install 'edgebs[train]'" in err
    assert "the photographs are not those that this run began with" in err


def test_a_folder_without_pictures_is_one_line(train, tmp_path):
    code, _, err = train("crossnet", "--out", tmp_path / "run", "--steps", 1, "--images", tmp_path, *SMALL)
    assert code == 1
    assert err.startswith(f"edgebs: error: {tmp_path} holds no pictures.")


def test_without_json_the_files_are_listed(train, tmp_path):
    code, out, _ = train("crossnet", "--out", tmp_path / "run", "--steps", 1, *SMALL)
    assert code == 0
    assert [line.rpartition("/")[2] for line in out.splitlines()] == [
        "last.pt", "best.safetensors", "final.safetensors", "curves.csv", "curves.png", "training.json",
    ]  # fmt: skip


def write_sequence(folder):
    rng = np.random.default_rng(0)
    for kind in ("input", "groundtruth"):
        (folder / kind).mkdir(parents=True)
    for t in range(1, 5):
        frame, truth = rng.integers(0, 90, (256, 256, 3)).astype(np.uint8), np.zeros((256, 256), np.uint8)
        frame[40:90, 20 * t : 20 * t + 50], truth[40:90, 20 * t : 20 * t + 50] = 220, 255
        cv2.imwrite(str(folder / "input" / f"in{t:06d}.png"), frame)
        cv2.imwrite(str(folder / "groundtruth" / f"gt{t:06d}.png"), truth)


def test_rendered_and_scored_samples_mix_and_the_fold_is_validated_apart(train, tmp_path):
    for name in ("a", "b", "c"):
        write_sequence(tmp_path / "data" / name)
    data = ("--data", tmp_path / "data", "--mix", "rendered=0.5,data=0.5", "--fold", "1/3", "--share", 0.5)
    code, _, err = train("crossnet", "--out", tmp_path / "run", "--steps", 2, *SMALL, *data)
    assert code == 0, err
    assert "rendered_F" in err
    assert "held_F" in err
    record = json.loads((tmp_path / "run" / "training.json").read_text(encoding="utf-8"))
    assert record["settings"]["mix"] == 0.5
    assert record["settings"]["data"].startswith("data-")


def test_with_data_alone_the_fold_alone_is_validated(train, tmp_path):
    for name in ("a", "b"):
        write_sequence(tmp_path / "data" / name)
    data = ("--data", tmp_path / "data", "--mix", "data=1", "--fold", "2/2")
    code, _, err = train("crossnet", "--out", tmp_path / "run", "--steps", 1, *SMALL, *data)
    assert code == 0, err
    assert "held_F" not in err  # the F is that of the fold


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("selflow", "--steps", 1), "unknown model 'selflow'"),
        (("crossnet",), "this training would never end: give --steps, --minutes or both"),
        (("crossnet", "--steps", 1, "--size", "200x200"), "200x200"),
        (("crossnet", "--steps", 1, "--loss", "mse"), "--loss must be bce-dice or outlines or shadows"),
        (("crossnet", "--steps", 1, "--precision", "fp8"), "--precision must be bf16 or fp32, got fp8"),
        (("crossnet", "--steps", 1, "--device", "tpu"), "--device must be auto or cpu or cuda, got tpu"),
        (("crossnet", "--steps", 1, "--lr", "-1"), "--lr"),
        (("crossnet", "--steps", 1, "--lr", "nan"), "--lr"),
        (("crossnet", "--steps", 1, "--overexposed", "nan"), "--overexposed"),
        (("crossnet", "--steps", 1, "--settled", 1.5), "--settled"),
        (("crossnet", "--steps", 1, "--settled", 0.5), "crossnet cannot tell who came to stay"),
        (("crossnet", "--steps", 1, "--mix", "data=1"), "--mix must be left out, or used with --data"),
    ],
)
def test_wrong_usage_is_one_clear_message_and_exit_code_2(train, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = train(*arguments, "--out", "run", *SMALL)
    assert code == 2, err
    assert said in err
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("crossnet", "--steps", 1, "--weights", "no.safetensors"), "no weights at no.safetensors"),
        (("crossnet", "--steps", 1, "--data", "nowhere"), "nowhere"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_1(train, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = train(*arguments, "--out", "run", *SMALL)
    assert code == 1, err
    assert err.startswith("edgebs: error: ")
    assert said in err
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--fold", "1/3"),
        ("--share", "0.5"),
        ("--data", ".", "--fold", "first"),
        ("--data", ".", "--fold", "¹/³"),
        ("--data-size", "big"),
        ("--size", "²x²"),
        ("--nominal-fps", "inf"),
        ("--max-magnitude", "nan"),
    ],
)
def test_wrong_usage_is_exit_code_2(train, tmp_path, arguments):
    assert train("crossnet", "--out", tmp_path / "run", "--steps", 1, *arguments)[0] == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [("--loss", "bce-dice"), ("--width", 64), ("--norm", "batch"), ("--max-magnitude", 20),
     ("--nominal-fps", 25), ("--dis-preset", "fine"), ("--mix", "data=1"), ("--overexposed", 0.3),
     ("--settled", 0.0), ("--data", "."), ("--share", 1.0), ("--fold", "1/3"), ("--data-size", "64x64")],
)  # fmt: skip
def test_options_without_effect_on_flow_are_wrong_usage_even_with_their_default(
    train, tmp_path, option, value
):
    code, _, err = train("flow", "--out", tmp_path / "run", "--steps", 1, option, value)
    assert code == 2
    assert f"Invalid value for {option}: no effect here" in err
    assert not (tmp_path / "run").exists()


def test_weights_say_which_cue_they_were_trained_with(train, tmp_path):
    options = ("--intervals", "2,4", "--max-magnitude", 10, "--nominal-fps", 30, "--dis-preset", "medium")
    code, _, err = train("crossnet", "--out", tmp_path / "run", "--steps", 1, *options, *SMALL)
    assert code == 0, err
    file = tmp_path / "run" / "best.safetensors"
    cue = {"kind": "hop", "provider": "dis", "intervals": [2, 4], "max_magnitude": 10.0,
           "nominal_fps": 30.0, "preset": "medium"}  # fmt: skip
    assert weights_description(file)["cue"] == cue
    assert ModelRequest(width=1, weights=str(file)).cue.to_json() == cue


def test_a_run_is_replaced_only_by_force(train, tmp_path):
    arguments = ("crossnet", "--out", tmp_path / "run", "--steps", 1, *SMALL)
    assert train(*arguments)[0] == 0
    code, _, err = train(*arguments)
    assert code == 1
    assert "holds a run already" in err
    assert train(*arguments, "--force")[0] == 0


BLOCK = "import sys\nfor name in ('torch', 'cv2', 'onnx', 'safetensors'): sys.modules[name] = None\n"
RUN = "from edgebs.cli import main; main()"


def blocked(*arguments):
    return subprocess.run(
        [sys.executable, "-c", BLOCK + RUN, "train", *arguments], capture_output=True, text=True, check=False
    )


def test_help_needs_no_extra_and_training_names_the_one_it_needs():
    assert blocked("--help").returncode == 0
    done = blocked("crossnet", "--out", "run", "--steps", "1")
    assert done.returncode == 1
    assert "pip install 'edgebs[export]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_guide_names_only_options_that_there_are():
    guide = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    command = get_command(app).commands["train"]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    named = set(re.findall(r"--[a-z][a-z-]*", guide))
    assert named <= known | {"--weights", "--flow", "--flow-weights"}
    assert {"--steps", "--resume", "--replay", "--data", "--fold", "--overexposed"} <= named
    assert set(TASKS) <= set(re.findall(r"`([\w-]+)`", guide))
