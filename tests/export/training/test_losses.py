import math

import pytest
import torch

from export.training.losses import CsFocalOptions, bce_dice, cs_focal_l1, target_and_valid

LOG2 = math.log(2)


def masks(foreground, valid=None):
    target = torch.tensor(foreground, dtype=torch.bool)
    return target, torch.ones_like(target) if valid is None else torch.tensor(valid, dtype=torch.bool)


def test_labels_of_cdnet_become_foreground_and_counted_pixels():
    target, valid = target_and_valid(torch.tensor([[[0, 50, 85, 170, 255]]], dtype=torch.uint8))
    assert target.tolist() == [[[False, False, False, False, True]]]
    assert valid.tolist() == [[[True, True, False, False, True]]]


def test_cs_focal_l1_by_hand():
    # One image, one of four pixels foreground: S = 1/3, beta = 0.25 * min(3, 50) = 0.75; all p = 1/2.
    losses = cs_focal_l1(torch.zeros(1, 2, 2), *masks([[[True, False], [False, False]]]))
    focal = (0.75 * 0.75 * LOG2 + 3 * 0.25 * LOG2) / 4
    assert losses["cs_focal"].item() == pytest.approx(focal)
    assert losses["l1"].item() == pytest.approx(0.5)
    assert losses["loss"].item() == pytest.approx(0.8 * focal + 0.2 * 0.5)


def test_beta_is_limited_and_belongs_to_each_image():
    # 1 of 100 pixels: 1/S = 99 is cut to 50, beta = 12.5; the other image half: 1/S = 1, beta = 0.25.
    target = torch.zeros(2, 10, 10, dtype=torch.bool)
    target[0, 0, 0] = True
    target[1, :5] = True
    losses = cs_focal_l1(torch.zeros(2, 10, 10), target, torch.ones_like(target))
    foreground = 0.75 * LOG2 * (12.5 * 1 + 0.25 * 50)
    assert losses["cs_focal"].item() == pytest.approx((foreground + 0.25 * LOG2 * 149) / 200)


def test_gamma_takes_weight_from_what_is_right():
    logit = torch.full((1, 1, 2), math.log(3))  # p = 3/4
    losses = cs_focal_l1(logit, *masks([[[True, False]]]), CsFocalOptions(gamma=2.0))
    # beta = 0.25 * min(1, 50)
    right = 0.25 * 0.75 * (1 / 4) ** 2 * -math.log(3 / 4)
    wrong = 0.25 * (3 / 4) ** 2 * -math.log(1 / 4)
    assert losses["cs_focal"].item() == pytest.approx((right + wrong) / 2)


@pytest.mark.parametrize(("logit", "beta"), [(0.1, 0.75), (-0.1, 1.0)])
def test_the_published_code_applies_beta_only_above_a_dice_of_095(logit, beta):
    """With everything called foreground except what is not, Dice is 1; with the signs turned it is 0."""
    target, valid = masks([[[True, False], [False, False]]])
    logits = torch.where(target, logit, -logit)
    losses = cs_focal_l1(logits, target, valid, CsFocalOptions(beta_above_dice=0.95))
    missed, false = math.log1p(math.exp(-logit)), math.log1p(math.exp(-logit))
    expected = (beta * 0.75 * missed + 3 * 0.25 * false) / 4
    assert losses["cs_focal"].item() == pytest.approx(expected)


def test_bce_dice_by_hand():
    losses = bce_dice(torch.zeros(1, 2, 2), *masks([[[True, False], [False, False]]]))
    assert losses["bce"].item() == pytest.approx((2 * LOG2 + 3 * LOG2) / 4)
    assert losses["dice"].item() == pytest.approx(1 - (2 * 0.5 + 1) / (2 + 1 + 1))
    assert losses["loss"].item() == pytest.approx(losses["bce"].item() + 0.5 * losses["dice"].item())


def test_pixels_near_an_outline_weigh_more():
    row = [True] * 3 + [False] * 9
    logit = torch.zeros(1, 1, 12)
    plain = bce_dice(logit, *masks([[row]]), foreground_weight=1.0)["bce"].item()
    outlined = bce_dice(logit, *masks([[row]]), foreground_weight=1.0, outline_weight=3.0)["bce"].item()
    near = 3 + 4  # the foreground, and as many pixels of background as the square reaches
    assert outlined / plain == pytest.approx((12 + 2 * near) / 12)
    assert outlined == pytest.approx(LOG2 * (12 + 2 * near) / 12)


@pytest.mark.parametrize("loss", [cs_focal_l1, bce_dice])
def test_pixels_that_do_not_count_change_nothing(loss):
    target, valid = masks([[[True, False, True]]], [[[True, True, False]]])
    small = loss(torch.tensor([[[0.3, -0.2]]]), target[..., :2], valid[..., :2])
    for ignored in (-9.0, 9.0):
        logit = torch.tensor([[[0.3, -0.2, ignored]]], requires_grad=True)
        losses = loss(logit, target, valid)
        assert losses["loss"].item() == pytest.approx(small["loss"].item())
        losses["loss"].backward()
        assert logit.grad[0, 0, 2] == 0


@pytest.mark.parametrize("loss", [cs_focal_l1, bce_dice])
@pytest.mark.parametrize("foreground", [True, False])
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("level", [0.0, 200.0, -200.0])
def test_every_loss_and_its_gradient_are_finite_for_masks_that_are_empty_or_full(
    loss, foreground, counted, level
):
    logit = torch.full((2, 4, 4), level, requires_grad=True)
    shape = torch.ones(2, 4, 4, dtype=torch.bool)
    losses = loss(logit, shape & foreground, shape & counted)
    losses["loss"].backward()
    assert all(math.isfinite(value.item()) for value in losses.values())
    assert torch.isfinite(logit.grad).all()


@pytest.mark.parametrize("loss", [cs_focal_l1, bce_dice])
def test_gradients_agree_with_differences(loss):
    torch.manual_seed(1)
    logit = torch.randn(2, 3, 3)
    target, valid = torch.rand(2, 3, 3) > 0.6, torch.rand(2, 3, 3) > 0.2
    exact = logit.clone().requires_grad_()
    loss(exact, target, valid)["loss"].backward()
    step = 1e-2  # the losses compute in float32
    for place in ((0, 0, 0), (1, 2, 1), (0, 1, 2)):
        shifted = [logit.clone(), logit.clone()]
        shifted[0][place] += step
        shifted[1][place] -= step
        up, down = (loss(x, target, valid)["loss"].item() for x in shifted)
        assert exact.grad[place].item() == pytest.approx((up - down) / (2 * step), abs=1e-4)
