"""Losses of segmentation: the paper's CS-Focal + L1, and weighted cross entropy + Dice.

All take `logit` (N, H, W) float, `target` (N, H, W) bool and `valid` (N, H, W) bool, the pixels that count,
compute in float32, and are finite for masks without foreground and for batches without a valid pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

FOREGROUND, OUTSIDE, UNKNOWN, SHADOW = 255, 85, 170, 50
"""CDnet's labels; everything but the first three is background."""
OUTLINE_PX = 4
"""Pixels at network size that count as near an outline."""
DICE_OF_BETA = 0.95
"""The published code multiplies by beta only for batches whose Dice is above this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsFocalOptions:
    """Constants of CS-Focal + L1 (IEEE TMM 2023, doi 10.1109/TMM.2023.3266608, Eq. 5 to 8)."""

    alpha: float = 0.75
    """Weight of the foreground; the background has 1 - alpha."""
    gamma: float = 0.0
    """Focus on what is wrong; 0 is plain cross entropy."""
    beta_scale: float = 0.25
    beta_limit: float = 50.0
    """beta = beta_scale * min(background area / foreground area, beta_limit), by image."""
    l1_share: float = 0.2
    """Share of L1 in the sum; CS-Focal has the rest."""
    beta_above_dice: float = 0.0
    """beta counts only where the batch's Dice exceeds this: 0 is the paper, 0.95 the published code."""


def target_and_valid(labels: Tensor) -> tuple[Tensor, Tensor]:
    """CDnet labels (N, H, W) uint8 -> (foreground, counted), both bool."""
    return labels == FOREGROUND, (labels != OUTSIDE) & (labels != UNKNOWN)


def cs_focal_l1(
    logit: Tensor, target: Tensor, valid: Tensor, options: CsFocalOptions | None = None
) -> dict[str, Tensor]:
    """The paper's loss: `loss`, and its parts `cs_focal` and `l1`, means over the valid pixels."""
    o = options or CsFocalOptions()
    logit, count = logit.float(), valid.sum().clamp(min=1)
    probability = torch.sigmoid(logit)
    foreground = target & valid
    beta = _beta(foreground, valid & ~target, o)
    if o.beta_above_dice > 0:
        with torch.no_grad():
            beta = torch.where(_hard_dice(logit, foreground, valid) > o.beta_above_dice, beta, 1.0)
    missed = -functional.logsigmoid(logit) * o.alpha * beta[:, None, None]
    false = -functional.logsigmoid(-logit) * (1 - o.alpha)
    if o.gamma > 0:
        missed, false = missed * (1 - probability) ** o.gamma, false * probability**o.gamma
    focal = (torch.where(target, missed, false) * valid).sum() / count
    l1 = ((probability - target.float()).abs() * valid).sum() / count
    return {"loss": (1 - o.l1_share) * focal + o.l1_share * l1, "cs_focal": focal, "l1": l1}


def bce_dice(
    logit: Tensor,
    target: Tensor,
    valid: Tensor,
    *,
    foreground_weight: float = 2.0,
    outline_weight: float = 1.0,
    dice_share: float = 0.5,
    shadow: Tensor | None = None,
    shadow_weight: float = 3.0,
) -> dict[str, Tensor]:
    """Cross entropy with heavier foreground, plus `dice_share` times soft Dice over the whole batch.

    outline_weight: of pixels within `OUTLINE_PX` of the other kind: there masks of thin and small objects are
    won or lost, and nearly all other pixels are easy. shadow: (N, H, W) bool, pixels that weigh
    `shadow_weight` times as much: half of the errors of roads in low sun are shadows called foreground.
    """
    logit = logit.float()
    truth, counted = target.float(), valid.float()
    weight = counted * (1 + (foreground_weight - 1) * truth)
    if outline_weight != 1.0:
        weight = weight * (1 + (outline_weight - 1) * _outlines(truth))
    if shadow is not None:
        weight = torch.where(shadow, weight * shadow_weight, weight)
    pixels = functional.binary_cross_entropy_with_logits(logit, truth, reduction="none")
    bce = (pixels * weight).sum() / counted.sum().clamp(min=1)
    probability = torch.sigmoid(logit) * counted
    real = truth * counted
    # The 1 keeps it finite, and 0 for a batch without foreground in truth and prediction.
    dice = 1 - (2 * (probability * real).sum() + 1) / (probability.sum() + real.sum() + 1)
    return {"loss": bce + dice_share * dice, "bce": bce, "dice": dice}


def _outlines(truth: Tensor) -> Tensor:
    """(N, H, W) 0 or 1: whether the square of `OUTLINE_PX` around a pixel holds both kinds."""
    found, area = _in_square(truth), _in_square(torch.ones_like(truth[:1]))
    return ((found > 0.5) & (found < area - 0.5)).to(truth.dtype)


def _in_square(counted: Tensor) -> Tensor:
    """Sums over squares, by running sums: exact below 2^24 pixels, a twentieth of the time of a pooling."""
    side = 2 * OUTLINE_PX + 1
    before, after = OUTLINE_PX + 1, OUTLINE_PX
    sums = functional.pad(counted, (before, after, before, after)).cumsum(1).cumsum(2)
    rows = sums[:, side:] - sums[:, :-side]
    return rows[:, :, side:] - rows[:, :, :-side]


def _beta(foreground: Tensor, background: Tensor, options: CsFocalOptions) -> Tensor:
    """(N,): by image, from the areas that are valid."""
    areas = [mask.flatten(1).sum(dim=1).float() for mask in (foreground, background)]
    inverse = areas[1] / areas[0].clamp(min=1)
    limited = torch.where(areas[0] > 0, inverse, torch.inf).clamp(max=options.beta_limit)
    return options.beta_scale * limited


def _hard_dice(logit: Tensor, foreground: Tensor, valid: Tensor) -> Tensor:
    found = (logit > 0) & valid
    total = found.sum() + foreground.sum()
    return torch.where(total > 0, 2.0 * (found & foreground).sum() / total.clamp(min=1), 1.0)
