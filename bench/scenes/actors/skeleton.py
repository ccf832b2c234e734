"""A skeleton that walks, and the map that lays a sprite along a bone."""

from __future__ import annotations

import math

import numpy as np

from edgebs.tensors import Array

Point = tuple[float, float]


def segment_matrix(a: Point, b: Point, start: float, column: float, rows: float, widen: float) -> Array:
    """The affine map that lays a sprite's axis from image point `a` to `b`.

    The axis runs down column `column` from row `start` over `rows` rows; `widen` is image pixels per sprite
    pixel across it.
    """
    ex, ey = (b[0] - a[0]) / rows, (b[1] - a[1]) / rows
    norm = math.hypot(ex, ey) or 1e-9
    ax, ay = ey / norm * widen, -ex / norm * widen
    return np.array(
        [[ax, ex, a[0] - ax * column - ex * start], [ay, ey, a[1] - ay * column - ey * start]], np.float64
    )


Joint = tuple[float, float, float]
"""Metres (forward, up, to the left) from the point on the ground under the person."""


# Index of each sprite; limbs come in pairs, the one nearer to the camera first.
THIGH, SHIN, FOOT, UPPER_ARM, FOREARM, TORSO, HEAD, HAIR, BAG = 0, 2, 4, 6, 8, 10, 11, 12, 13

_LENGTHS = {
    THIGH: 0.235,
    SHIN: 0.235,
    FOOT: 0.09,
    UPPER_ARM: 0.16,
    FOREARM: 0.165,
    TORSO: 0.215,
    HEAD: 0.05,
    HAIR: 0.022,
    BAG: 0.12,
}
"""Of each bone, as shares of the height."""


def skeleton(
    height: float, turn: float, vigour: float, idle: float, heading: Point, has_bag: bool
) -> list[tuple[int, Joint, Joint]]:
    """(part, joint, joint) of every bone, from back to front.

    turn: radians of the stride; vigour: 0 standing to 1 walking; heading: cosine and sine, sine > 0 is away.
    """
    far = 1.0 if heading[0] >= 0 else -1.0  # the left side is the far one when walking to the right
    legs = {side: _leg(turn + (0.0 if side > 0 else math.pi), vigour) for side in (far, -far)}
    hip = 0.022 - min(ankle[1] for _, ankle, _ in legs.values())  # the lower foot stands on the ground
    lean = 0.02 * vigour + idle
    bones: list[tuple[int, Joint, Joint]] = []
    for nth, side in ((1, far), (0, -far)):
        left = 0.045 * side
        knee, ankle, toe = ((f, hip + up, left) for f, up in legs[side])
        leg = [(FOOT + nth, ankle, toe), (SHIN + nth, knee, ankle), (THIGH + nth, (0.0, hip, left), knee)]
        arm = _arm(turn + (math.pi if side > 0 else 0.0), vigour, (lean, hip + 0.285, 0.105 * side), nth)
        trunk = _trunk(hip, lean, heading, has_bag) if side == -far else []
        bones += arm + leg if side == far else leg + trunk + arm
    return [(part, _times(a, height), _times(b, height)) for part, a, b in bones]


def _leg(turn: float, vigour: float) -> tuple[Point, Point, Point]:
    """Knee, ankle and toe as (forward, up) from the hip, in body heights."""
    thigh = 0.44 * vigour * math.sin(turn) + 0.03
    shin = thigh - 0.05 - vigour * (0.1 + 0.95 * max(math.cos(turn), 0.0) ** 2)
    knee = _swing((0.0, 0.0), thigh, _LENGTHS[THIGH])
    ankle = _swing(knee, shin, _LENGTHS[SHIN])
    return (
        knee,
        ankle,
        _swing(ankle, math.pi / 2 + 0.7 * min(shin, 0.0) + 0.3 * max(thigh - 0.05, 0.0), _LENGTHS[FOOT]),
    )


def _arm(turn: float, vigour: float, shoulder: Joint, nth: int) -> list[tuple[int, Joint, Joint]]:
    angle = 0.5 * vigour * math.sin(turn) - 0.03
    elbow = _swing((shoulder[0], shoulder[1]), angle, _LENGTHS[UPPER_ARM])
    bend = angle + 0.15 + vigour * (0.25 + 0.2 * math.sin(turn))
    hand = _swing(elbow, bend, _LENGTHS[FOREARM])
    left = shoulder[2]
    return [
        (FOREARM + nth, (*elbow, left * 1.1), (*hand, left)),
        (UPPER_ARM + nth, shoulder, (*elbow, left * 1.1)),
    ]


def _trunk(hip: float, lean: float, heading: Point, has_bag: bool) -> list[tuple[int, Joint, Joint]]:
    chest = (lean, hip + 0.235, 0.0)
    torso = (TORSO, chest, (0.0, chest[1] - _LENGTHS[TORSO], 0.0))
    crown = hip + 0.435
    head = (HEAD, (lean * 1.3, crown, 0.0), (lean * 1.3 + 0.006, crown - _LENGTHS[HEAD], 0.0))
    # Hair covers the head when seen from the back and leaves the face free from the front.
    top = crown + 0.018 - 0.03 * max(heading[1], 0.0)
    hair = (HAIR, (lean * 1.3 - 0.016, top, 0.0), (lean * 1.3 - 0.02, top - _LENGTHS[HAIR], 0.0))
    back = (lean - 0.095, chest[1] + 0.02, 0.0)
    bag = [(BAG, back, (back[0] - 0.01, back[1] - _LENGTHS[BAG], 0.0))] if has_bag else []
    return [torso, head, hair, *bag] if heading[1] > 0.3 else [*bag, torso, head, hair]


def _swing(joint: Point, angle: float, length: float) -> Point:
    """The end of a bone that hangs from `joint`, `angle` radians forward of straight down."""
    return joint[0] + length * math.sin(angle), joint[1] - length * math.cos(angle)


def _times(joint: Joint, height: float) -> Joint:
    return joint[0] * height, joint[1] * height, joint[2] * height
