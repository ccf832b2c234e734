import pytest
import torch

from edgebs.errors import ExportError, WeightsError
from export.models.request import ModelRequest
from export.models.weights import save_weights
from export.training import LoopOptions, Schedule, TrainRequest
from export.training.samples import as_it_is, flipped_and_tinted, mirrored_only
from export.training.samples.mixture import DataOptions
from export.training.stream import Feed
from export.training.tasks import task_for
from export.training.tasks.flow import flow_graph


def request(tmp_path, model, **changes):
    loop = LoopOptions(out=tmp_path, schedule=Schedule(steps=1))
    return TrainRequest(model=model, loop=loop, feed=Feed(workers=0), **changes)


@pytest.mark.parametrize(
    ("model", "augment", "expected"),
    [
        (ModelRequest(width=1), True, flipped_and_tinted),
        (ModelRequest(width=1), False, as_it_is),
        # Edge's cue holds the background's colours: those of the frame alone may not change.
        (ModelRequest(model="edge", weights="random", size=(64, 64)), True, mirrored_only),
    ],
)
def test_samples_are_changed_only_where_cue_and_labels_stay_true(tmp_path, model, augment, expected):
    assert task_for(request(tmp_path, model, augment=augment))._augment is expected


def test_training_starts_from_batch_norms_that_do_nothing(tmp_path):
    network = task_for(request(tmp_path, ModelRequest(width=1))).graph.network
    norm = next(layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d))
    assert torch.equal(norm.running_var, torch.ones_like(norm.running_var))


def test_the_settings_of_a_run_hold_what_decides_it(tmp_path):
    settings = task_for(request(tmp_path, ModelRequest(width=1), loss="cs-focal")).settings()
    assert settings["loss"] == "cs-focal"
    assert settings["size"] == [256, 256]
    assert settings["cue"]["intervals"] == [1, 5, 10]
    assert "data" not in settings


@pytest.mark.parametrize("size", [(300, 256), (320, 512)])
def test_a_fold_is_validated_whole_so_its_size_must_suit_the_network(tmp_path, size):
    data = {"root": tmp_path, "size": size}
    request(tmp_path, ModelRequest(width=1), data=DataOptions(**data))
    with pytest.raises(ExportError, match=r"--data-size must suit the network where there is a --fold: "):
        request(tmp_path, ModelRequest(width=1), data=DataOptions(**data, fold=(1, 2)))


@pytest.mark.parametrize("minutes", [float("nan"), float("inf"), -1.0])
def test_minutes_between_checkpoints_are_a_number(tmp_path, minutes):
    with pytest.raises(ExportError, match="--save-minutes must be at least 0"):
        LoopOptions(out=tmp_path, schedule=Schedule(steps=1), save_minutes=minutes)


def test_a_flow_network_cannot_make_the_cue(tmp_path):
    with pytest.raises(ExportError, match="flow dis, not selflow"):
        task_for(request(tmp_path, ModelRequest(width=1, flow="selflow")))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"network": "edge", "widths": [8, 8]}, "holds weights of edge, and flow-net is wanted"),
        ({"network": "flow-net", "widths": [8, 8]}, "cannot be built .FlowNet needs 4 widths"),
        ({"network": "flow-net", "widths": "wide"}, "header of .* is damaged"),
    ],
)
def test_flow_starts_from_weights_of_flow_alone(tmp_path, header, said):
    save_weights(torch.nn.Conv2d(1, 1, 1), tmp_path / "start.safetensors", header)
    with pytest.raises(WeightsError, match=said):
        flow_graph(str(tmp_path / "start.safetensors"), 0)
