import csv
import json
import math
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import psutil
import pytest
import torch
from fakes.networks.toy_task import draw_and_die, no_bar, toy_options, toy_task
from fakes.process.waiting import WATCHDOG_S, wait_until

from edgebs.errors import ExportError, SinkError, WeightsError
from export.models.weights import load_weights, weights_description, weights_sha256
from export.training import Schedule
from export.training.loop import train
from export.training.record import load_checkpoint

ROOT = Path(__file__).parents[3]
HERE = ROOT / "tests"


def run(out, task=None, say=lambda _text: None, **options):
    task = task or toy_task()
    return train(task, toy_options(out, **options), say=say, bar=no_bar), task


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run: its folder, result and hash of the weights."""
    out = tmp_path_factory.mktemp("whole") / "run"
    result, task = run(out)
    return out, result, weights_sha256(task.graph.network)


def rows_of(out):
    with (out / "curves.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_training_lowers_the_loss_and_says_what_it_did(whole):
    out, result, _ = whole
    losses = [float(row["loss"]) for row in rows_of(out) if row["loss"]]
    assert losses[-1] < 0.7 * losses[0]
    assert (result["steps"], result["samples"], result["interrupted"]) == (60, 480, False)
    assert result["best"]["F"] > 0.8
    json.dumps(result)


def test_the_curves_have_every_stretch_and_every_validation(whole):
    rows = rows_of(whole[0])
    assert [int(row["step"]) for row in rows if row["loss"]] == list(range(5, 61, 5))
    assert [int(row["step"]) for row in rows if row["validation_F"]] == [20, 40, 60]
    shares = [
        sum(float(row[f"{part}_share"]) for part in ("data", "forward", "backward")) for row in rows[:3]
    ]
    assert shares == pytest.approx([1, 1, 1], abs=1e-4)
    assert cv2.imread(str(whole[0] / "curves.png")).shape == (720, 960, 3)


def test_the_record_tells_how_to_do_it_again(whole):
    record = json.loads((whole[0] / "training.json").read_text(encoding="utf-8"))
    assert record["settings"]["seed"] == 0
    assert record["schedule"]["steps"] == 60
    assert (record["step"], record["samples"], record["finished"]) == (60, 480, True)
    assert len(record["commands"]) == 1
    assert record["machine"]["cpu"]
    assert record["torch"] == torch.__version__


def test_best_and_final_are_moving_averages_with_the_description_inside(whole):
    out, result, raw = whole
    task = toy_task()
    load_weights(task.graph.network, out / "final.safetensors")
    assert weights_sha256(task.graph.network) != raw
    described = weights_description(out / "final.safetensors")
    assert described["network"] == "toy"
    assert described["training"] == {"samples": 480, "seed": 0, "step": 60}
    assert weights_description(out / "best.safetensors")["training"]["step"] == result["best"]["step"]
    ema = load_checkpoint(out / "last.pt").ema
    for name, tensor in task.graph.network.state_dict().items():
        if tensor.is_floating_point():
            assert torch.equal(tensor, ema[name])


def test_the_weights_of_each_validated_step_are_kept_where_asked(tmp_path):
    run(tmp_path, steps=50, keep_validated=True)
    kept = sorted(file.name for file in tmp_path.glob("step-*"))
    assert kept == ["step-20.safetensors", "step-40.safetensors", "step-50.safetensors"]
    assert weights_description(tmp_path / kept[0])["training"]["step"] == 20
    assert (tmp_path / kept[2]).read_bytes() == (tmp_path / "final.safetensors").read_bytes()
    run(tmp_path, steps=20, force=True)
    assert not list(tmp_path.glob("step-*"))


def test_weights_say_the_cue_that_they_were_trained_with_and_settings_stay_as_they_were(tmp_path):
    task = toy_task()
    plain = task.settings
    task.settings = lambda: {**plain(), "cue": {"max_magnitude": 10.0}}
    run(tmp_path, task, steps=5)
    assert weights_description(tmp_path / "final.safetensors")["cue"] == {"max_magnitude": 10.0}
    record = json.loads((tmp_path / "training.json").read_text(encoding="utf-8"))
    assert record["settings"]["network"] == {"network": "toy"}


def test_the_same_run_gives_the_same_bits(whole, tmp_path):
    _, task = run(tmp_path, toy_task(workers=2))
    assert weights_sha256(task.graph.network) == whole[2]


def test_a_run_stopped_in_between_goes_on_to_the_same_bits(whole, tmp_path):
    task = toy_task()
    evaluate = task.evaluate

    def stop_at_step_20(module, validation):
        os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(module, validation)

    task.evaluate = stop_at_step_20
    result, _ = run(tmp_path, task)
    assert result["interrupted"]
    assert result["steps"] == 20
    assert not (tmp_path / "final.safetensors").exists()
    said = []
    result, task = run(tmp_path, resume=True, say=said.append)
    assert said[0].startswith("going on from step 20")
    assert not result["interrupted"]
    assert weights_sha256(task.graph.network) == whole[2]
    assert [row["step"] for row in rows_of(tmp_path)] == [row["step"] for row in rows_of(whole[0])]
    assert len(json.loads((tmp_path / "training.json").read_text(encoding="utf-8"))["commands"]) == 2


def program(out):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}
    return subprocess.Popen(
        [sys.executable, str(HERE / "fakes" / "networks" / "toy_task.py"), str(out)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def has_step(out, step):
    file = out / "training.json"
    return file.is_file() and json.loads(file.read_text(encoding="utf-8"))["step"] >= step


def test_after_kill_9_no_process_stays_and_resume_gives_the_same_bits(whole, tmp_path):
    process = program(tmp_path)
    wait_until(lambda: has_step(tmp_path, 10))
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    process.kill()
    process.communicate()
    assert load_checkpoint(tmp_path / "last.pt").step < 60
    result, task = run(tmp_path, resume=True)
    assert result["steps"] == 60
    assert weights_sha256(task.graph.network) == whole[2]
    _, alive = psutil.wait_procs(children, timeout=WATCHDOG_S)
    assert alive == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_keeps_it_and_leaves_no_process(tmp_path, number):
    process = program(tmp_path)
    wait_until(lambda: has_step(tmp_path, 10))
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    said, _ = process.communicate(timeout=WATCHDOG_S)
    assert process.returncode == 0, said
    assert "interrupted" in said
    assert load_checkpoint(tmp_path / "last.pt").step == int(said.split()[-1])
    _, alive = psutil.wait_procs(children, timeout=WATCHDOG_S)
    assert alive == []


def poisoned(task, step, on_gradient):
    """Makes one step's loss, or only its gradient, not a number."""
    plain, calls = task.loss, []

    def loss(output, batch):
        if torch.is_grad_enabled():
            calls.append(None)
            if len(calls) == step and on_gradient:
                output.register_hook(lambda gradient: gradient * float("nan"))
        losses = plain(output, batch)
        if torch.is_grad_enabled() and len(calls) == step and not on_gradient:
            losses["loss"] = losses["loss"] * float("nan")
        return losses

    task.loss = loss
    return task


@pytest.mark.parametrize(("on_gradient", "what"), [(False, "loss"), (True, "norm of the gradient")])
def test_what_is_no_number_stops_and_names_step_and_checkpoint(tmp_path, on_gradient, what):
    with pytest.raises(WeightsError, match=rf"the {what} became nan at step 27; .*last.pt, step 20"):
        run(tmp_path, poisoned(toy_task(), 27, on_gradient))
    checkpoint = load_checkpoint(tmp_path / "last.pt")
    assert checkpoint.step == 20
    assert all(torch.isfinite(t).all() for t in checkpoint.network.values() if t.is_floating_point())


def test_what_is_no_number_before_the_first_checkpoint_says_that_there_is_none(tmp_path):
    with pytest.raises(WeightsError, match="at step 3; no checkpoint was written before"):
        run(tmp_path, poisoned(toy_task(), 3, False))


def test_a_disk_that_fills_up_leaves_the_previous_checkpoint(tmp_path):
    task = toy_task()
    evaluate = task.evaluate
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(module, validation):
        # The next checkpoint is written at step 30. Python turns SIGXFSZ into an OSError.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        return evaluate(module, validation)

    task.evaluate = fill_the_disk
    try:
        with pytest.raises(SinkError, match=r"last.pt cannot be written: .* free space or"):
            run(tmp_path, task, save_every=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert load_checkpoint(tmp_path / "last.pt").step == 10
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    result, _ = run(tmp_path, resume=True)
    assert result["steps"] == 60


def test_a_dead_renderer_stops_the_training(tmp_path):
    with pytest.raises(ExportError, match=r"renders sequence \d ended with exit code 7"):
        run(tmp_path, toy_task(draw_and_die, workers=1))


def test_a_run_is_not_replaced_by_mistake(whole):
    out = whole[0]
    with pytest.raises(SinkError, match=r"holds a run already \(last.pt.*--resume.*--force"):
        run(out)


def test_force_starts_anew(tmp_path):
    run(tmp_path, steps=20)
    result, _ = run(tmp_path, steps=10, force=True)
    assert result["steps"] == 10
    assert next(row["step"] for row in rows_of(tmp_path)) == "5"


def test_resume_without_a_checkpoint_starts_anew_and_says_so(tmp_path):
    said = []
    result, _ = run(tmp_path, steps=10, resume=True, say=said.append)
    assert said[0].startswith("no checkpoint in")
    assert result["steps"] == 10


def test_resume_with_other_settings_names_them(whole):
    with pytest.raises(WeightsError, match=r"trained with batch 8, and 4 was asked for: resume with"):
        run(whole[0], resume=True, batch=4)


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    run(tmp_path, steps=20)
    before = rows_of(tmp_path)
    result, _ = run(tmp_path, steps=20, resume=True)
    assert result["steps"] == 20
    assert [row["step"] for row in rows_of(tmp_path)] == [row["step"] for row in before]


def test_a_finished_run_that_is_made_longer_is_not_finished_any_more(tmp_path):
    run(tmp_path, steps=10)
    assert (tmp_path / "final.safetensors").exists()
    seen = []

    def watch(_text):
        seen.append(json.loads((tmp_path / "training.json").read_text(encoding="utf-8"))["finished"])

    task = toy_task()
    plain = task.loss

    def stop_at_step_13(output, batch):
        stop_at_step_13.calls += torch.is_grad_enabled()
        if stop_at_step_13.calls == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(output, batch)

    stop_at_step_13.calls = 0
    task.loss = stop_at_step_13
    result, _ = run(tmp_path, task, steps=20, resume=True, say=watch)
    assert result["interrupted"]
    assert seen == [False]
    assert not (tmp_path / "final.safetensors").exists()
    assert not json.loads((tmp_path / "training.json").read_text(encoding="utf-8"))["finished"]
    # The stretch that was not full when the run was stopped has its row too.
    assert [row["step"] for row in rows_of(tmp_path) if row["loss"]] == ["5", "10", "13"]


def test_the_last_stretch_has_its_row_though_it_is_not_full(tmp_path):
    run(tmp_path, steps=12)
    assert [row["step"] for row in rows_of(tmp_path) if row["loss"]] == ["5", "10", "12"]


def test_minutes_end_a_run_at_the_end_of_the_cosine(tmp_path, monkeypatch):
    task, now = toy_task(), SimpleNamespace(s=1000.0)
    plain = task.loss

    def loss_after_a_second(output, batch):
        now.s += torch.is_grad_enabled()
        return plain(output, batch)

    task.loss = loss_after_a_second
    clock = SimpleNamespace(monotonic=lambda: now.s, perf_counter=lambda: now.s)
    monkeypatch.setattr("export.training.loop.time", clock)
    options = toy_options(tmp_path, log_every=1, validate_every=10_000)
    options = replace(options, schedule=Schedule(minutes=0.2, warm_up_steps=2, peak=1.0))
    result = train(task, options, say=lambda _text: None, bar=no_bar)
    rates = [float(row["learning_rate"]) for row in rows_of(tmp_path) if row["learning_rate"]]
    assert (result["interrupted"], result["steps"]) == (False, 12)
    cosine = [0.5 + 0.5 * math.cos(math.pi * second / 12) for second in range(12)]
    assert rates == pytest.approx([0.5, *cosine[1:]], abs=1e-6)


def test_weights_decay_only_where_they_are_kernels():
    from export.training.loop import adamw

    network = toy_task().graph.network
    groups = adamw(network, 1e-3, (0.9, 0.999), 0.1).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.1, 2), (0.0, 4)]
    assert all(parameter.ndim == 4 for parameter in groups[0]["params"])
