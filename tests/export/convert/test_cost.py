"""Costs against hand-computed ones."""

import pytest
import torch
from torch import nn

from export.convert.cost import gflop, parameters


def test_a_multiply_add_counts_as_two() -> None:
    conv = nn.Conv2d(2, 3, 3, padding=1)
    # 8 x 8 positions, 3 outputs, 2 inputs x 9 taps.
    assert gflop(conv, torch.zeros(1, 2, 8, 8)) == pytest.approx(2 * 64 * 3 * 18 / 1e9)


def test_a_transposed_convolution_costs_each_input_pixel_all_its_taps() -> None:
    conv = nn.ConvTranspose2d(2, 3, 3, stride=2)
    assert gflop(conv, torch.zeros(1, 2, 8, 8)) == pytest.approx(2 * 64 * 2 * 3 * 9 / 1e9)


def test_parameters_count_weights_and_biases_but_no_running_statistics() -> None:
    assert parameters(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))) == 2 * 3 * 9 + 3 + 3 + 3
