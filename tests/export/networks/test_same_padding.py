"""SAME padding against hand-computed values, and against the definition of a transposed convolution."""

import pytest
import torch

from export.networks import Conv2dSame, ConvTranspose2dSame


@pytest.mark.parametrize(("kernel", "pads"), [(3, (0, 1)), (5, (1, 2)), (7, (2, 3))])
def test_stride_two_pads_as_tensorflow_does(kernel: int, pads: tuple[int, int]) -> None:
    assert Conv2dSame(1, 1, kernel).pads == pads
    assert ConvTranspose2dSame(1, 1, kernel).pads == pads


def test_a_3x3_convolution_of_ones_counts_the_pixels_it_sees() -> None:
    conv = Conv2dSame(1, 1, 3)
    torch.nn.init.ones_(conv.weight)
    torch.nn.init.zeros_(conv.bias)
    # Nothing is padded before, one row and column after: the last window sees 2 of 3 in either direction.
    assert conv(torch.ones(1, 1, 4, 4)).flatten().tolist() == [9, 6, 6, 4]


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_the_transposed_convolution_is_the_gradient_of_the_convolution(kernel: int) -> None:
    conv, transposed = Conv2dSame(2, 3, kernel), ConvTranspose2dSame(3, 2, kernel)
    transposed.weight = conv.weight
    torch.nn.init.zeros_(transposed.bias)
    image = torch.randn(1, 2, 8, 12, requires_grad=True)
    upstream = torch.randn(1, 3, 4, 6)
    (gradient,) = torch.autograd.grad(conv(image), image, upstream)
    torch.testing.assert_close(transposed(upstream), gradient)
