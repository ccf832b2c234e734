"""Views of one large texture, as a camera that moves over it would see them; and settings of the cue."""

from __future__ import annotations

import cv2
import numpy as np

from edgebs.bundle.manifest import CueSettings
from edgebs.tensors import Frame

SIZE = (128, 160)


def settings(**changes: object) -> CueSettings:
    values: dict[str, object] = {
        "kind": "hop-background", "provider": "dis", "intervals": (1, 5, 10), "max_magnitude": 20.0,
        "nominal_fps": 25.0, "preset": "fine",
    }  # fmt: skip
    return CueSettings(**{**values, **changes})  # type: ignore[arg-type]


def texture(seed: int = 0, size: tuple[int, int] = (256, 320)) -> Frame:
    rng = np.random.default_rng(seed)
    picture = rng.uniform(0, 255, (*size, 3)).astype(np.float32)
    picture = cv2.GaussianBlur(picture, (0, 0), 2.5)
    picture = (picture - picture.mean()) * 5 + 128
    return np.clip(picture, 0, 255).astype(np.uint8)


def view(picture: Frame, right: float, down: float, size: tuple[int, int] = SIZE) -> Frame:
    matrix = np.array([[1.0, 0, right - 40], [0, 1, down - 40]])
    return np.asarray(cv2.warpAffine(picture, matrix, size[::-1]), np.uint8)
