import numpy as np
import pytest
import torch
from fakes.networks.toy_task import toy_task

from export.training.task import tensors_from
from export.training.tasks.segmentation import BINS, scores


def test_the_logit_is_what_the_graph_puts_into_its_sigmoid():
    task = toy_task()
    task.graph.eval()
    batch = tensors_from(task.validation()[0], "cpu")
    logit = task.forward(task.graph, batch)
    assert torch.equal(torch.sigmoid(logit), task.graph(batch["frame"], batch["cue"]))


def test_validation_is_the_same_every_time_and_unlike_training():
    first, second = toy_task().validation(), toy_task(workers=1).validation()
    assert len(first) == 1  # 4 sequences, 2 samples of each
    assert first[0]["frame"].shape[0] == 8
    assert all(np.array_equal(first[0][name], second[0][name]) for name in first[0])
    trained = next(toy_task().batches(0, 8, 0))
    assert not np.array_equal(trained["labels"], first[0]["labels"])


def test_scores_by_hand():
    counts = np.zeros((2, BINS), np.int64)
    counts[0, 10], counts[0, 150], counts[1, 120], counts[1, 199] = 70, 10, 5, 15
    found = scores(counts)
    assert found["Pr"] == pytest.approx(20 / 30)
    assert found["Re"] == 1.0
    assert found["F"] == pytest.approx(2 * 20 / (2 * 20 + 10))
    # Above bin 150 no background is left: 15 found, 5 missed.
    assert found["best_F"] == pytest.approx(2 * 15 / (2 * 15 + 5))
    assert found["threshold"] == pytest.approx(151 / BINS)


def test_scores_without_foreground_are_zero_and_finite():
    counts = np.zeros((2, BINS), np.int64)
    counts[0, 3] = 50
    assert scores(counts)["F"] == 0.0


def test_unknown_pixels_are_not_scored():
    task = toy_task()
    task.graph.eval()
    batch = {name: array.copy() for name, array in task.validation()[0].items()}
    with torch.no_grad():
        before = task.evaluate(task.graph, [batch])
        batch["labels"][batch["labels"] == 170] = 85
        assert task.evaluate(task.graph, [batch]) == before
        batch["labels"][batch["labels"] == 85] = 255
        assert task.evaluate(task.graph, [batch]) != before


def test_float16_is_widened_and_other_arrays_are_not_copied():
    frame, cue = np.zeros((1, 2, 2, 3), np.uint8), np.ones((1, 1, 2, 2), np.float16)
    tensors = tensors_from({"frame": frame, "cue": cue}, "cpu")
    assert tensors["cue"].dtype == torch.float32
    assert tensors["frame"].data_ptr() == frame.ctypes.data
