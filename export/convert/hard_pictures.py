"""Pictures that real scenes seldom hold and cameras do: every network must stay finite on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from edgebs.errors import ExportError
from edgebs.tensors import Array, Frame
from export.convert import open_session

Picture = Callable[[tuple[int, ...], int], Frame]
"""From a shape that ends with (H, W, 3), and the number of the input."""


def _even(level: int) -> Picture:
    return lambda shape, _number: np.full(shape, level, np.uint8)


def _noise(shape: tuple[int, ...], number: int) -> Frame:
    return np.random.default_rng(number).integers(0, 256, shape).astype(np.uint8)


def _same_noise(shape: tuple[int, ...], _number: int) -> Frame:
    return _noise(shape, 0)


def _saturated(shape: tuple[int, ...], number: int) -> Frame:
    return np.where(_noise(shape, number) < 128, 0, 255).astype(np.uint8)


def _half_even(shape: tuple[int, ...], number: int) -> Frame:
    picture = _noise(shape, number)
    picture[..., : shape[-2] // 2, :] = 128
    return picture


PICTURES: Mapping[str, Picture] = {
    "black frames": _even(0),
    "white frames": _even(255),
    "frames of one even grey": _even(128),
    "two identical frames": _same_noise,
    "frames with an even area": _half_even,
    "saturated noise": _saturated,
}
"""Kinds, as error messages name them."""
NOTHING_MOVES = frozenset(PICTURES) - {"frames with an even area", "saturated noise"}
"""Kinds whose cue is 0."""


def require_finite(file: Path, like: Mapping[str, Array], what: str, repair: str) -> None:
    """Raise ExportError naming the kind of pictures on which an ONNX network gives NaN or infinity.

    like: real inputs of the network: uint8 tensors (..., H, W, 3) are replaced by the pictures, `cue` by 0
    where nothing moves and by its own largest values on noise; other tensors are the state of a background
    and stay. what: the network in the message. repair: its last sentence.
    """
    session = open_session(file)
    for kind, picture in PICTURES.items():
        feed = {
            name: _input(name, values, kind, picture, number)
            for number, (name, values) in enumerate(like.items())
        }
        for result in session.run(None, feed):
            if not np.isfinite(result).all():
                raise ExportError(
                    f"{what} gives NaN or infinity on {kind}. Cameras give such pictures (a covered lens, "
                    f"fog, a picture that stands still), and NaN counts as background. {repair}"
                )


def _input(name: str, values: Array, kind: str, picture: Picture, number: int) -> Array:
    if values.dtype == np.uint8:
        return picture(values.shape, number)
    if name != "cue":
        return values
    if kind in NOTHING_MOVES:
        return np.zeros_like(values)
    extremes: Array = np.where(_noise(values.shape, number) < 128, values.min(), values.max())
    return extremes.astype(values.dtype)
