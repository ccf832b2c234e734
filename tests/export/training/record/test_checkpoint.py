import pytest
import torch

from edgebs.errors import SinkError, WeightsError
from export.training.record import Checkpoint, load_checkpoint, save_checkpoint

CHECKPOINT = Checkpoint(
    settings={"batch": 8, "betas": [0.9, 0.999]},
    step=12,
    elapsed_s=3.5,
    best_score=0.25,
    best_step=10,
    ema_updates=12,
    network={"0.weight": torch.arange(4.0)},
    ema={"0.weight": torch.ones(4)},
    optimiser={"state": {0: {"step": torch.tensor(12.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    save_checkpoint(CHECKPOINT, tmp_path / "last.pt")
    loaded = load_checkpoint(tmp_path / "last.pt")
    for name in ("settings", "step", "elapsed_s", "best_score", "best_step", "ema_updates"):
        assert getattr(loaded, name) == getattr(CHECKPOINT, name)
    assert torch.equal(loaded.network["0.weight"], CHECKPOINT.network["0.weight"])
    assert torch.equal(loaded.ema["0.weight"], CHECKPOINT.ema["0.weight"])
    assert loaded.optimiser["param_groups"] == CHECKPOINT.optimiser["param_groups"]


@pytest.mark.parametrize(
    "damage", [lambda data: data[:50], lambda _data: b"no checkpoint", lambda _data: b""]
)
def test_a_damaged_checkpoint_is_one_clear_error(tmp_path, damage):
    file = tmp_path / "last.pt"
    save_checkpoint(CHECKPOINT, file)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(WeightsError, match=r"last.pt is no checkpoint that can be read"):
        load_checkpoint(file)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    file = tmp_path / "last.pt"
    torch.save({"format": 1, "settings": pytest.raises}, file)
    with pytest.raises(WeightsError, match="no checkpoint that can be read"):
        load_checkpoint(file)


def test_another_format_is_refused_by_number(tmp_path):
    file = tmp_path / "last.pt"
    torch.save({"format": 99}, file)
    with pytest.raises(WeightsError, match="checkpoint format 99, this edgebs reads 1"):
        load_checkpoint(file)


def test_no_checkpoint_names_the_path(tmp_path):
    with pytest.raises(WeightsError, match=r"no checkpoint at .*none.pt"):
        load_checkpoint(tmp_path / "none.pt")


def test_a_place_that_cannot_be_written_is_a_sink_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match="cannot be written"):
        save_checkpoint(CHECKPOINT, tmp_path / "file" / "last.pt")
