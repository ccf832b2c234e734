"""One object that moves through a training scene: its way, its clothes and its pose at any time."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import cv2
import numpy as np

from bench.scenes.actors.people import WALK_PHASES
from bench.scenes.actors.sprites import Actor, Sprite
from bench.scenes.draw import Matrix
from bench.scenes.motion import FOREVER, Timetable
from bench.scenes.place.painter import View
from edgebs.tensors import Array

MOVED_PX = 1.5
"""What has moved by less cannot be told from what stands."""
FORGOTTEN = 0.75
"""Who has stood for this share of the time has become the background of those who watch."""


class Evidence(Enum):
    """Whether a watcher can know that something is no scenery."""

    NONE = "it has not moved since"
    FAINT = "it has moved, but stood for nearly all of the time"
    CLEAR = "it moves, or has moved lately"


class Pose(NamedTuple):
    """One object at one time, in plate pixels."""

    look: str
    """Which of the actor's cycles or states."""
    phase: int
    """Which picture of it."""
    foot: tuple[float, float]
    """Column and row of the point on the ground."""
    metre: float
    """Pixels per metre."""
    lean: float
    """Columns per row upwards."""
    velocity: tuple[float, float]
    """Pixels per second."""
    is_mirrored: bool
    """Faces to the left."""
    is_foreground: bool


@dataclass(frozen=True, slots=True)
class Costume:
    """How a sprite is recoloured: a linear map of its premultiplied colours, or another texture."""

    matrix: Array
    """(4, 4) float32."""
    texture: Array | None = None
    """(h, w, 3) uint8, laid over the sprite's own shades."""

    def dress(self, pixels: Array) -> Array:
        """`pixels` (h, w, 4) in other colours."""
        if self.texture is not None:
            h, w = pixels.shape[:2]
            grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGRA2GRAY), cv2.COLOR_GRAY2BGR)
            alpha = cv2.extractChannel(pixels, 3)
            cloth = cv2.resize(self.texture, (w, h), interpolation=cv2.INTER_LINEAR)
            cloth = cv2.multiply(cloth, cv2.cvtColor(alpha, cv2.COLOR_GRAY2BGR), scale=1 / 255)
            mixed = cv2.addWeighted(cloth, 0.85, grey, 0.15, 0.0)
            pixels = cv2.merge([*cv2.split(mixed), alpha])
        return np.asarray(cv2.transform(pixels, self.matrix))


@dataclass(slots=True)
class Mover:
    """One object that moves, moved, or will move."""

    actor: Actor
    costume: Costume
    table: Timetable
    place: tuple[float, float]
    """Foot at distance 0, plate pixels."""
    heading: tuple[float, float]
    """Pixels per distance: 1 in size."""
    view: View | None
    """The ground that it walks on; None keeps its size."""
    metre: float
    """Pixels per metre at distance 0."""
    window: tuple[float, float] = (-FOREVER, FOREVER)
    """Seconds between which it may be seen."""
    foreground_from: float = -FOREVER
    """Before this time it stood there as part of the scene."""
    sits: bool = False
    is_floating: bool = False
    """Does not stand on the ground: no contact shadow, bobs."""
    carried: tuple[Mover, float, float] | None = None
    """Owner, and the seconds from and until which it goes with the owner."""
    offset: tuple[float, float] = (0.0, 0.0)
    """Metres from the owner's foot."""
    weave: tuple[float, float] = (0.0, 1.0)
    """Pixels to both sides of its way, and pixels of way for one radian."""
    sway: tuple[float, float, float] = (0.0, 1.0, 0.0)
    """Size (columns per row), radians per second and phase of the swaying of who stands."""
    dressed: dict[tuple[str, int, int], Array] = field(default_factory=dict)

    def pixels(self, look: str, phase: int, mip: int) -> Array:
        """The recoloured picture in the given size."""
        key = (look, phase, mip)
        found = self.dressed.get(key)
        if found is None:
            found = self.dressed[key] = self.costume.dress(self.actor.poses[look][phase].mips[mip])
        return found

    def sprite(self, pose: Pose) -> Sprite:
        """The picture of a pose, not recoloured."""
        return self.actor.poses[pose.look][pose.phase]

    def pose(self, seconds: float) -> Pose:
        """Where and how it is."""
        if self.carried is not None:
            return self._carried_pose(seconds, *self.carried)
        distance, speed = self.table.at(seconds)
        x, y = self.place[0] + self.heading[0] * distance, self.place[1] + self.heading[1] * distance
        if self.weave[0]:
            y += self.weave[0] * math.sin(distance / self.weave[1])
        metre = self.metre
        if self.view is not None and self.heading[1] != 0.0:
            # Towards the horizon nothing gets smaller than a quarter, so that rows stay below it.
            metre *= min(max(self.view.metre(y) / self.view.metre(self.place[1]), 0.25), 4.0)
        look, phase = self._look(seconds, distance, speed, metre)
        lean = self.sway[0] * math.sin(self.sway[1] * seconds + self.sway[2]) if speed == 0 else 0.0
        if self.is_floating:
            y += 0.15 * metre * math.sin(self.sway[1] * 2 * seconds + self.sway[2])
        velocity = (self.heading[0] * speed, self.heading[1] * speed)
        is_mirrored = (self.heading[0] < 0) != (speed < 0)
        is_foreground = seconds >= self.foreground_from
        return Pose(look, phase, (x, y), metre, lean, velocity, is_mirrored, is_foreground)

    def still_since(self, seconds: float) -> float:
        """When it stopped; `seconds` itself while it moves, -FOREVER where it never did."""
        if self.carried is not None:
            owner, since, until = self.carried
            if seconds <= since:
                return -FOREVER
            return owner.still_since(seconds) if seconds < until else owner.still_since(until)
        times, distances = self.table.times, self.table.distances
        nth = min(max(bisect_right(times, seconds) - 1, 0), len(times) - 2)
        return times[nth] if distances[nth] == distances[nth + 1] else seconds

    def evidence(self, seconds: float, since: float) -> Evidence:
        """What shows an observer since `since` that this is no part of the scenery."""
        if self.window[0] <= since:
            (x0, y0), (x1, y1) = self.pose(since).foot, self.pose(seconds).foot
            (x2, y2) = self.pose((since + seconds) / 2).foot
            if max(math.hypot(x1 - x0, y1 - y0), math.hypot(x2 - x0, y2 - y0)) < MOVED_PX:
                return Evidence.NONE
        still_s = seconds - max(self.still_since(seconds), since)
        return Evidence.FAINT if still_s > FORGOTTEN * (seconds - since) else Evidence.CLEAR

    def _look(self, seconds: float, distance: float, speed: float, metre: float) -> tuple[str, int]:
        poses = self.actor.poses
        if speed == 0 and "stand" in poses:
            if self.sits:
                return "sit", int(seconds * 0.11 + self.sway[2]) % 2
            return "stand", int(seconds * 0.07 * self.sway[1] + self.sway[2]) % len(poses["stand"])
        look = "front" if "front" in poses and abs(self.heading[0]) < 0.55 else "walk"
        count = len(poses[look])
        if count == 1:
            return look, 0
        stride = (0.82 if count == WALK_PHASES else 1.2) * self.actor.height * metre
        return look, math.floor(distance / stride * count + self.sway[2]) % count

    def _carried_pose(self, seconds: float, owner: Mover, since: float, until: float) -> Pose:
        with_owner = owner.pose(min(max(seconds, since), until))
        x = with_owner.foot[0] + self.offset[0] * with_owner.metre
        is_carried = since < seconds < until
        up = self.offset[1] * with_owner.metre if is_carried else 0.0
        velocity = with_owner.velocity if is_carried else (0.0, 0.0)
        foot = (x, with_owner.foot[1] + 0.5 - up)
        return Pose(
            "walk",
            0,
            foot,
            with_owner.metre * self.metre,
            0.0,
            velocity,
            with_owner.is_mirrored,
            seconds >= self.foreground_from,
        )


class Placed(NamedTuple):
    """A mover at one instant, in image pixels."""

    mover: Mover
    pose: Pose
    matrix: Matrix
    """From the sprite's largest size."""
    foot: tuple[float, float]
    """Column and row of the point on the ground."""
    scale: float
    """Image pixels per sprite pixel."""
    sprite_key: tuple[str, int, int]
    """Look, phase and size of the picture."""
