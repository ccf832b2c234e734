"""A rendered street with exact masks and exact flow, for demo, tests and training.

Everything is a sprite with an affine pose that is a closed form of time: any frame can be rendered alone,
and the flow between two frames is the one pose after the inverse of the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.scenes.street.backdrop import Street, paint_plate, random_street
from bench.scenes.street.compositor import Canvas, Light, Patch, Sensor, Sun, draw_figure, flow_between
from bench.scenes.street.motion import Path as Way
from bench.scenes.street.motion import random_sway, stop_and_go
from bench.scenes.street.people import Figure, Person, walker
from bench.scenes.street.things import (
    SHAPES,
    Car,
    Prop,
    bin_and_bench,
    grow_tree,
    lamp_post,
    paint_car,
    traffic_light,
)
from bench.scenes.textures import SPRITE_SCALE
from edgebs.errors import SinkError
from edgebs.files import atomic_file, library_path
from edgebs.tensors import Array, Frame

RED_S = 11.0
"""Seconds that the cars stand at the crossing."""


_STANDING_M = 7.2
"""From bumper to bumper of cars that stand, metres."""


_FOLLOW_S = 1.3
"""Seconds between a car's move and the next one's."""


def cast(
    rng: np.random.Generator,
    size: tuple[int, int],
    margin: int,
    *,
    people: int,
    cars: int,
    wind: float,
    shadows: float,
) -> tuple[Array, list[Figure], Sun]:
    """The plate, everything that is drawn over it, and the sun."""
    street = random_street(rng, size)
    sun = Sun(rng.uniform(-0.9, 0.9), rng.uniform(0.14, 0.34))
    figures = _furniture(rng, street, wind)
    plate = paint_plate(rng, street, size, margin)
    plate = _shaded(plate, figures, sun, margin, 0.8 * shadows)
    cycle = _cycle_seconds(street, cars)
    phase = rng.uniform(0, cycle)  # when in the lights' cycle the video begins
    figures += _cars(rng, street, cars, cycle, phase)
    for nth in range(people):
        crosses = nth % 3 == 2
        figures.append(
            _crosser(rng, street, cycle, phase) if crosses else _stroller(rng, street, nth % 2 == 0)
        )
    return plate, figures, sun


def _shaded(plate: Array, figures: list[Figure], sun: Sun, margin: int, strength: float) -> Array:
    """The plate with the shadows of what stands still."""
    height, width = plate.shape[:2]
    canvas = Canvas(plate, 0, (0.0, 0.0), (height, width))
    for figure in figures:
        patch = draw_figure(figure.sprites, figure.pose(0.0, 0), (margin, margin), (height, width))
        if patch is not None:
            canvas.cast_shadow(patch, sun, strength)
    return np.rint(plate * (1 - canvas.dark[..., None])).astype(np.uint8)


def _furniture(rng: np.random.Generator, street: Street, wind: float) -> list[Figure]:
    near, far = street.road
    kerb, back = near - 0.5, far + 0.7
    half = street.half_width(kerb)
    things: list[Figure] = [lamp_post(street, street.zebra + rng.choice([-1, 1]) * rng.uniform(3.5, 5), kerb)]
    things.append(traffic_light(street, street.zebra - 2.9, kerb + 0.1))
    side = rng.choice([-1.0, 1.0])
    things += grow_tree(rng, street, side * rng.uniform(0.6, 0.95) * half, street.lawn - 0.3, wind)
    wide = street.half_width(back)
    for x in np.arange(-wide + rng.uniform(0, 3), wide, rng.uniform(7, 10)):
        if abs(x - street.zebra) > 3:
            things += grow_tree(rng, street, float(x), back, wind)
    things.append(bin_and_bench(rng, street, -side * rng.uniform(0.2, 0.7) * half, street.lawn + 0.15))
    things.append(_parked(rng, street, side))
    return things


def _parked(rng: np.random.Generator, street: Street, side: float) -> Prop:
    """A parked car at the far kerb: it looks like foreground and is not."""
    z = street.road[1] - 1.95
    density = street.scale(z) * SPRITE_SCALE
    shape = SHAPES[rng.integers(0, len(SHAPES))]
    x = street.zebra + side * rng.uniform(6, 9)
    track = stop_and_go(1000, 1, [], 1)
    car = Car(street, shape, track, z, x, -1.0, 0.0, 0.0, density, paint_car(rng, shape, density))
    pose = car.pose(0.0, 0)
    return Prop("parked car", z, pose.layers, pose.foot, car.sprites)


_BRAKE = 2.6
"""Metres per second squared."""


def _cycle_seconds(street: Street, cars: int) -> float:
    """Seconds between two red lights: time for all cars of a lane to drive on, and for people to cross."""
    per_lane = (cars + 1) // 2
    road = per_lane * _STANDING_M + 2 * street.half_width(street.road[1]) + 14
    return max(26.0, RED_S + 4 + road / 6 + per_lane * _FOLLOW_S)


def _cars(rng: np.random.Generator, street: Street, cars: int, cycle: float, phase: float) -> list[Figure]:
    near, far = street.road
    figures: list[Figure] = []
    for lane in (0, 1):
        direction = 1.0 if lane == 0 else -1.0
        z = near + (far - near) * (0.2 if lane == 0 else 0.53)
        speed = rng.uniform(6, 9)
        length = speed * (cycle - RED_S - speed / _BRAKE)
        ramp = speed * speed / _BRAKE
        track = stop_and_go(length, speed, [(ramp, RED_S)], _BRAKE)
        start = street.zebra - direction * (3.2 + ramp)
        density = street.scale(z) * SPRITE_SCALE
        # The leader stands `ramp` metres into its lap; that moment begins the red light.
        red = track.times[2]
        for nth in range((cars + 1 - lane) // 2):
            shape = SHAPES[rng.integers(0, len(SHAPES))]
            delay = nth * _FOLLOW_S - phase - red
            behind = nth * _STANDING_M
            sprites = paint_car(rng, shape, density)
            figures.append(Car(street, shape, track, z, start, direction, delay, behind, density, sprites))
    return figures


def _stroller(rng: np.random.Generator, street: Street, is_near: bool) -> Person:
    """Walks along one pavement and pauses once on the way."""
    low, high = (
        (street.lawn + 0.5, street.road[0] - 0.9) if is_near else (street.road[1] + 1.2, street.houses - 0.6)
    )
    z = rng.uniform(low, high)
    half = street.half_width(z) + 0.9
    ends = (-half, half) if rng.random() < 0.5 else (half, -half)
    path = Way(((ends[0], z), (ends[1], z + rng.uniform(-0.2, 0.2))))
    cruise = rng.uniform(0.9, 1.6)
    stop = path.length * rng.uniform(0.25, 0.75)
    track = stop_and_go(path.length, cruise, [(stop, rng.uniform(1.5, 4.5))], 2.2)
    return walker(rng, street, path, track, cruise, rng.uniform(0, track.period))


def _crosser(rng: np.random.Generator, street: Street, cycle: float, phase: float) -> Person:
    """Comes along one pavement, waits for the red light, crosses on the zebra and walks off."""
    near, far = street.road
    x = street.zebra + rng.uniform(-1.1, 1.1)
    sides = [(near - rng.uniform(1.0, 1.6), near - 0.4), (far + rng.uniform(1.2, 2.0), far + 0.4)]
    if rng.random() < 0.5:
        sides.reverse()
    (z_in, wait), (z_out, _) = sides
    left, right = rng.choice([-1.0, 1.0], 2)
    path = Way(
        (
            (left * (street.half_width(z_in) + 1), z_in),
            (x, z_in),
            (x, z_out),
            (right * (street.half_width(z_out) + 1), z_out),
        )
    )
    cruise = max(rng.uniform(1.15, 1.5), (path.length + 2) / (cycle - 5))
    until_kerb = abs(path.points[1][0] - path.points[0][0]) + abs(wait - z_in)
    pause = cycle - path.length / cruise - cruise / 2.2
    track = stop_and_go(path.length, cruise, [(until_kerb, pause)], 2.2)
    go = track.times[3]
    return walker(rng, street, path, track, cruise, phase + go - rng.uniform(0.8, 2.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneOptions:
    """What to render. The same options give the same bytes."""

    size: tuple[int, int] = (360, 640)
    """(height, width) in pixels, each at least 16."""
    frames: int = 250
    """Length of the video, at least 1."""
    fps: float = 25.0
    """Frames per second, above 0."""
    seed: int = 0
    """Chooses street, people, cars and their timing; at least 0."""
    n_people: int = 7
    """People on the pavements; every third crosses the road."""
    n_cars: int = 4
    """Cars on the two lanes together."""
    jitter_px: float = 0.5
    """The camera shakes by up to this many pixels each way; 0 is a fixed camera."""
    pan_px: float = 0.0
    """The camera swings slowly to both sides by this many pixels."""
    noise: float = 2.5
    """Standard deviation of the sensor noise at middle grey, in grey levels."""
    light_change: float = 0.25
    """Share of the light that a passing cloud takes, 0 to 0.9; a slow drift goes with it."""
    wind: float = 1.0
    """Strength of the wind in the trees; 0 is still."""
    shadows: float = 0.45
    """Share of the light that a cast shadow takes, 0 to 0.95."""

    def __post_init__(self) -> None:
        """Raise ValueError naming the option that is out of range."""
        checks = {
            "size": (
                len(self.size) == 2 and all(side >= 16 for side in self.size),
                "two sides of at least 16",
            ),
            "frames": (self.frames >= 1, "at least 1"),
            "fps": (0 < self.fps < math.inf, "above 0"),
            "seed": (self.seed >= 0, "at least 0"),
            "n_people": (self.n_people >= 0, "at least 0"),
            "n_cars": (self.n_cars >= 0, "at least 0"),
            "jitter_px": (0 <= self.jitter_px <= 64, "0 to 64"),
            "pan_px": (0 <= self.pan_px <= 1000, "0 to 1000"),
            "noise": (0 <= self.noise <= 100, "0 to 100"),
            "light_change": (0 <= self.light_change <= 0.9, "0 to 0.9"),
            "wind": (0 <= self.wind <= 10, "0 to 10"),
            "shadows": (0 <= self.shadows <= 0.95, "0 to 0.95"),
        }
        for name, (holds, wanted) in checks.items():
            if not holds:
                raise ValueError(f"scene option {name} must be {wanted}, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class SceneFrame:
    """One rendered frame and its truth. The arrays belong to the caller."""

    image: Frame
    mask: Array
    """(H, W) uint8, 255 where people and cars cover at least half of the pixel, else 0."""
    background: Frame
    """The same instant without people, cars, their shadows and noise; trees, light, shake as in `image`."""
    index: int
    captured_s: float


@dataclass(frozen=True, slots=True)
class SceneFlow:
    """Where the points of one frame are in another."""

    flow: Array
    """(2, H, W) float32, displacement in pixels, x first."""
    visible: Array
    """(H, W) bool: the point is inside the other frame and nothing hides it there."""


@dataclass(frozen=True, slots=True)
class ObjectState:
    """One person or car at one time."""

    number: int
    """Index among the scene's people and cars."""
    lap: int
    """Rises each time the object leaves the street and comes in again."""
    kind: str
    """`person` or `car`."""
    foot: tuple[float, float]
    """Column and row of the point on the ground, without camera shake."""
    z: float
    """Depth in metres."""
    speed: float
    """Metres per second; exactly 0 while it stands."""


class StreetScene:
    """A street, rendered frame by frame. Frames may be taken in any order."""

    def __init__(self, options: SceneOptions | None = None) -> None:
        """Build the plate and all that is on it: some 30 ms for 128x128, 200 ms for 640x360."""
        self.options = options or SceneOptions()
        o = self.options
        rng = np.random.default_rng((o.seed, 0x57EE7))
        self._shake = (
            random_sway(rng, 0.6, 6.0, 4),
            random_sway(rng, 0.6, 6.0, 4),
            random_sway(rng, 0.05, 0.11),
        )
        self._light = Light(rng, o.light_change)
        self._sensor = Sensor(rng, o.size, o.noise, o.seed)
        self._margin = math.ceil(o.jitter_px + o.pan_px) + 2 if o.jitter_px or o.pan_px else 0
        self._plate, self._figures, self._sun = cast(
            rng, o.size, self._margin, people=o.n_people, cars=o.n_cars, wind=o.wind, shadows=o.shadows
        )

    def __len__(self) -> int:
        """Number of frames."""
        return self.options.frames

    def __iter__(self) -> Iterator[SceneFrame]:
        """All frames in order."""
        return (self.frame(t) for t in range(len(self)))

    def frame(self, t: int) -> SceneFrame:
        """Frame `t`, counted from 0. Raises IndexError outside 0 .. len - 1."""
        seconds = self._seconds(t)
        canvas = Canvas(self._plate, self._margin, self._shift(seconds), self.options.size)
        for figure, patch in self._patches(seconds):
            canvas.add(figure, patch, self._sun, self.options.shadows)
        image, background, mask = canvas.finish(self._light.gain(seconds, self.options.size))
        return SceneFrame(self._sensor.expose(image, t), mask, background, t, seconds)

    def flow(self, t0: int, t1: int) -> Array:
        """(2, H, W) float32: how far each surface point of frame `t0` moves until frame `t1`, x first."""
        return self.motion(t0, t1).flow

    def motion(self, t0: int, t1: int) -> SceneFlow:
        """The flow from frame `t0` to frame `t1`, and which points can be seen in both."""
        first, second = self._seconds(t0), self._seconds(t1)
        shifts = self._shift(first), self._shift(second)
        flow, visible = flow_between(self._figures, (first, second), shifts, self.options.size)
        return SceneFlow(flow, visible)

    def objects(self, t: int) -> list[ObjectState]:
        """All people and cars at frame `t`, on or off the picture."""
        seconds = self._seconds(t)
        states: list[ObjectState] = []
        for figure in self._figures:
            if figure.is_foreground:
                lap = figure.lap(seconds)
                pose = figure.pose(seconds, lap)
                speed = figure.speed(seconds)
                states.append(ObjectState(len(states), lap, figure.kind, pose.foot, pose.z, speed))
        return states

    def _seconds(self, t: int) -> float:
        if not 0 <= t < len(self):
            raise IndexError(f"frame {t} is outside the scene: it has frames 0 to {len(self) - 1}")
        return t / self.options.fps

    def _shift(self, seconds: float) -> tuple[float, float]:
        o = self.options
        x, y, pan = (sway.at(seconds) for sway in self._shake)
        return o.jitter_px * x + o.pan_px * pan, o.jitter_px * y

    def _patches(self, seconds: float) -> list[tuple[Figure, Patch]]:
        """What is in the picture, the farthest first."""
        shift = self._shift(seconds)
        drawn = []
        for figure in self._figures:
            pose = figure.pose(seconds, figure.lap(seconds))
            patch = draw_figure(figure.sprites, pose, shift, self.options.size)
            if patch is not None:
                drawn.append((pose.z, figure, patch))
        drawn.sort(key=lambda item: -item[0])
        return [(figure, patch) for _, figure, patch in drawn]


def scene_video(
    options: SceneOptions, path: str | Path, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Write the scene as `path` (.mp4: MPEG-4, .avi: motion JPEG) and return it.

    Written under a temporary name and renamed. `progress` is called with (frames done, frames in all). Raises
    SinkError if the video cannot be written.
    """
    target = Path(path)
    codecs = {".mp4": "mp4v", ".avi": "MJPG"}
    if target.suffix.lower() not in codecs:
        raise SinkError(f"{target}: a scene is written as .mp4 or .avi; give a name that ends so")
    height, width = options.size
    codec = cv2.VideoWriter.fourcc(*codecs[target.suffix.lower()])
    with atomic_file(target, SinkError) as partial, library_path(partial, SinkError) as named:
        writer = cv2.VideoWriter(str(named), codec, options.fps, (width, height))
        try:
            if not writer.isOpened():
                raise SinkError(
                    f"{target}: OpenCV cannot open a video file there; check folder and permissions"
                )
            for frame in StreetScene(options):
                writer.write(frame.image)
                if progress is not None:
                    progress(frame.index + 1, options.frames)
        finally:
            writer.release()
        if not partial.is_file() or partial.stat().st_size == 0:
            raise SinkError(f"{target}: OpenCV wrote no video; check the space left on the disk")
    return target
