"""calib/int8/accuracy.py: layers go back to floating point until a score holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes.networks import onnx_toys

from calib.int8 import int8_from_fp32
from calib.int8.accuracy import AccuracyControl, layers_in_floating_point
from edgebs.errors import ExportError
from edgebs.tensors import Array

FEEDS = onnx_toys.feeds("segmenter", 6)


def nearness(expected: Sequence[Array], seen: list[int] | None = None):
    """1 less the relative error of the outputs."""

    def score(indices: Sequence[int], outputs: Sequence[Array]) -> float:
        if seen is not None:
            seen.append(len(indices))
        errors = [
            np.abs(output - expected[index]).mean() / expected[index].std()
            for index, output in zip(indices, outputs, strict=True)
        ]
        return 1.0 - float(np.mean(errors))

    return score


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_toys.export("segmenter", tmp_path_factory.mktemp("toy") / "toy.onnx")


@pytest.fixture(scope="module")
def expected(fp32: Path) -> list[Array]:
    return [onnx_toys.run(fp32, feed) for feed in FEEDS]


def made(fp32: Path, file: Path, control: AccuracyControl | None, signed: bool = True) -> float:
    int8_from_fp32(fp32, file, FEEDS, signed=signed, control=control)
    outputs = [onnx_toys.run(file, feed) for feed in FEEDS]
    return nearness([onnx_toys.run(fp32, feed) for feed in FEEDS])(range(len(FEEDS)), outputs)


@pytest.mark.parametrize("signed", [True, False])
def test_layers_go_back_until_the_score_holds(
    signed: bool, fp32: Path, expected: list[Array], tmp_path: Path
) -> None:
    plain = made(fp32, tmp_path / "plain.onnx", None, signed)
    drop = (1 - plain) / 2
    control = AccuracyControl(feeds=FEEDS, score=nearness(expected), max_drop=drop)
    controlled = made(fp32, tmp_path / "controlled.onnx", control, signed)
    # For CPUs the first convolutions never leave floating point (decision 10).
    first = [] if signed else ["/frame/Conv", "/cue/Conv"]
    assert layers_in_floating_point(tmp_path / "plain.onnx") == first
    given_back = set(layers_in_floating_point(tmp_path / "controlled.onnx")) - set(first)
    assert 0 < len(given_back) < 5
    assert controlled > plain


def test_a_score_that_holds_changes_nothing(fp32: Path, expected: list[Array], tmp_path: Path) -> None:
    control = AccuracyControl(feeds=FEEDS, score=nearness(expected), max_drop=0.9)
    made(fp32, tmp_path / "controlled.onnx", control)
    made(fp32, tmp_path / "plain.onnx", None)
    assert (tmp_path / "controlled.onnx").read_bytes() == (tmp_path / "plain.onnx").read_bytes()


def test_no_more_layers_go_back_than_allowed(fp32: Path, expected: list[Array], tmp_path: Path) -> None:
    control = AccuracyControl(feeds=FEEDS, score=nearness(expected), max_drop=0.0, most_layers=1)
    made(fp32, tmp_path / "controlled.onnx", control)
    assert len(layers_in_floating_point(tmp_path / "controlled.onnx")) <= 2  # one group of quantisers


def test_a_score_that_fails_is_an_error_that_says_why(fp32: Path, tmp_path: Path) -> None:
    def broken(indices: Sequence[int], outputs: Sequence[Array]) -> float:
        raise RuntimeError(f"no truth for sample {indices[0]} of {len(outputs)}")

    control = AccuracyControl(feeds=FEEDS, score=broken, max_drop=0.1)
    with pytest.raises(ExportError, match=r"cannot be scored: no truth for sample 0"):
        made(fp32, tmp_path / "controlled.onnx", control)
    assert list(tmp_path.iterdir()) == []
