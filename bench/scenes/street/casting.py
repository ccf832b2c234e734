"""Who and what is on the rendered street: timing, lanes, paths and furniture, drawn from one generator."""

from __future__ import annotations

import numpy as np

from bench.scenes.street.backdrop import Street, paint_plate, random_street
from bench.scenes.street.compositor import Canvas, Sun, draw_figure
from bench.scenes.street.figures import Figure
from bench.scenes.street.furniture import Prop, bin_and_bench, grow_tree, lamp_post, traffic_light
from bench.scenes.street.motion import Path, stop_and_go
from bench.scenes.street.people import Person, walker
from bench.scenes.street.traffic import SHAPES, Car, paint_car
from bench.scenes.textures import SPRITE_SCALE
from edgebs.tensors import Array

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


# --- traffic

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


# --- people


def _stroller(rng: np.random.Generator, street: Street, is_near: bool) -> Person:
    """Walks along one pavement and pauses once on the way."""
    low, high = (
        (street.lawn + 0.5, street.road[0] - 0.9) if is_near else (street.road[1] + 1.2, street.houses - 0.6)
    )
    z = rng.uniform(low, high)
    half = street.half_width(z) + 0.9
    ends = (-half, half) if rng.random() < 0.5 else (half, -half)
    path = Path(((ends[0], z), (ends[1], z + rng.uniform(-0.2, 0.2))))
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
    path = Path(
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
