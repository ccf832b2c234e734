"""export/feeds/judges.py: what judges layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.networks import onnx_toys
from fakes.networks.backends import SIZE, fake_manifest, fake_pipeline
from fakes.networks.toy_onnx import unary
from fakes.video.scored import write_cdnet

from bench.parity import INT8_DELTA_F
from bench.scored import FOREGROUND
from edgebs.tensors import Array
from export.feeds.judges import Case, control_by_cue_masks, control_by_masks, control_by_truth, scored_cases

TRUTH = np.zeros((4, 4), np.uint8)
TRUTH[:2] = FOREGROUND


def probability(rows: int) -> Array:
    """Foreground in the first rows."""
    made = np.zeros((1, 4, 4), np.float32)
    made[:, :rows] = 0.9
    return made


def case(truth: Array = TRUTH) -> Case:
    return Case({}, truth, np.ones((4, 4), bool))


def test_the_score_is_f_over_the_pixels_of_all_cases() -> None:
    control = control_by_truth([case(), case()], 0.5)
    assert control.score([0, 1], [probability(2), probability(2)]) == 1.0
    # 8 + 4 right of 16, none wrong: F = 2 * 12 / (2 * 12 + 4)
    assert control.score([0, 1], [probability(2), probability(1)]) == pytest.approx(24 / 28)
    assert control.max_drop < INT8_DELTA_F


def test_nothing_to_find_and_nothing_said_is_right() -> None:
    control = control_by_truth([case(np.zeros((4, 4), np.uint8))], 0.5)
    assert control.score([0], [probability(0)]) == 1.0
    assert control.score([0], [probability(1)]) == 0.0


def test_labelled_frames_are_spread_over_the_sequences_and_have_the_history_before_them(
    tmp_path: Path,
) -> None:
    write_cdnet(tmp_path / "a", frames=9)
    write_cdnet(tmp_path / "b", frames=9)
    pipeline = fake_pipeline()
    cases = scored_cases(pipeline, tmp_path, count=6)
    assert [int(each.feed["frame"][0, 0, 0, 0]) for each in cases] == [1, 4, 7, 1, 4, 7]
    assert cases[0].feed["frame"].shape == (1, *SIZE, 3)
    assert (cases[0].truth == FOREGROUND).sum() == 16
    seen = pipeline._cue.seen  # type: ignore[attr-defined]
    assert seen == list(range(1, 8))  # of the last sequence, whose history began anew


def test_masks_are_compared_with_those_of_the_original(tmp_path: Path) -> None:
    network = onnx_toys.export("segmenter", tmp_path / "toy.onnx")
    feeds = onnx_toys.feeds("segmenter", 3)
    outputs = [onnx_toys.run(network, feed) for feed in feeds]
    size = outputs[0].shape[1:]
    middle = float(np.median(np.concatenate(outputs)))
    control = control_by_masks(feeds, network, fake_manifest(size=size, threshold=middle))
    assert control.score([0, 1, 2], outputs) == 1.0
    assert control.score([0], [np.ones_like(outputs[0])]) == pytest.approx(
        (outputs[0] > middle).mean(), abs=0.01
    )
    assert control.score([1], [np.zeros_like(outputs[1])]) == 0.0


def test_a_cue_network_is_judged_by_the_masks_behind_it(tmp_path: Path) -> None:
    segment = onnx_toys.export("segmenter", tmp_path / "segment.onnx")
    feeds = onnx_toys.feeds("segmenter", 2)
    # A cue network that passes its input on.
    cue = unary(tmp_path / "cue.onnx", "Identity", feeds[0]["cue"].shape)
    outputs = [onnx_toys.run(segment, feed) for feed in feeds]
    middle = float(np.median(np.concatenate(outputs)))
    manifest = fake_manifest(size=outputs[0].shape[1:], threshold=middle)
    control = control_by_cue_masks([{"x": feed["cue"]} for feed in feeds], feeds, cue, segment, manifest)
    assert control.score([0, 1], [feed["cue"] for feed in feeds]) == 1.0
    assert control.score([0], [feeds[0]["cue"] + 3]) < 1.0
