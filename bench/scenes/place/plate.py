"""Empty scenes: streets, rooms, lawns, shores, photographs.

A plate never holds foreground. Parked cars, statues and people on posters belong to it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from bench.scenes.bank import PictureBank
from bench.scenes.draw import Patch
from bench.scenes.place.painter import Occluder, Painter, Plate, Tone, View
from edgebs.tensors import Array


def add_clutter(p: Painter, plate: Plate) -> None:
    """Parked cars, boxes, furniture, shelves, statues and posters: they never move, and are no foreground."""
    feet = np.sort(p.rng.uniform(0.3, 1.05, int(p.rng.integers(0, 7)))).tolist()
    for foot in feet:
        y, x = foot * p.h, p.rng.uniform(-0.05, 1.05) * p.w
        metre = plate.view.metre(y) * p.rng.uniform(0.8, 1.25)
        metre = min(metre, 0.6 * p.h)
        kind = p.rng.random()
        if kind < 0.3 and not plate.is_indoor:
            metre = min(metre, 0.3 * p.h)
            p.image = _contact(p, x, y, 2.0 * metre)
            p.stamp(p.one("vehicle"), (x, y), metre)
        elif kind < 0.55:
            p.stamp(p.one("thing"), (x, y), metre * p.rng.uniform(0.8, 2.5))
        elif kind < 0.6:  # a statue: a person's outline in one grey
            metre = min(metre, 0.3 * p.h)
            before = p.image.copy()
            p.stamp(p.one("person"), (x, y), metre, "stand")
            p.image = cv2.addWeighted(p.image, 0.6, cv2.blur(before, (5, 5)), 0.4, p.rng.uniform(-20, 20))
        elif kind < 0.75:
            _shelf(p, x, y, metre)
        else:
            p.box(x, y - p.rng.uniform(0.3, 1.5) * metre, p.rng.uniform(0.3, 2) * metre, 1.2 * metre)


def _contact(p: Painter, x: float, y: float, reach: float) -> Array:
    shade = np.full((p.h, p.w), 255, np.uint8)
    size = (max(int(reach), 1), max(int(0.12 * reach), 1))
    cv2.ellipse(shade, (int(x), int(y)), size, 0, 0, 360, float(p.rng.uniform(90, 200)), -1)
    shade = cv2.blur(shade, (5, 5))
    return np.asarray(cv2.multiply(p.image, cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR), scale=1 / 255))


def _shelf(p: Painter, x: float, y: float, metre: float) -> None:
    wide, high = p.rng.uniform(0.6, 2) * metre, p.rng.uniform(0.6, 2) * metre
    p.box(x, y - high, wide, high, p.tone(20, 120))
    rows, columns = int(p.rng.integers(2, 5)), int(p.rng.integers(2, 7))
    for row in range(rows):
        for column in range(columns):
            x0, y0 = x + (column + 0.1) * wide / columns, y - high + (row + 0.2) * high / rows
            corner = (int(x0 + 0.8 * wide / columns), int(y0 + 0.7 * high / rows))
            cv2.rectangle(p.image, (int(x0), int(y0)), corner, p.tone(), -1)


def add_posts(p: Painter, plate: Plate) -> None:
    """Poles, trunks, fences, hedges and counters in front: they hide who passes behind."""
    if not p.chance(0.5):
        return
    for _ in range(int(p.rng.integers(1, 4))):
        y, x = p.rng.uniform(0.5, 1.15) * p.h, p.rng.uniform(0, p.w)
        metre = min(plate.view.metre(y), 0.9 * p.h)
        kind = p.rng.random()
        mask: Patch | None
        if kind < 0.55:
            thick = float(np.clip(p.rng.uniform(0.08, 0.45) * metre, 1.2, 0.2 * p.w))
            top = y - p.rng.uniform(1.5, 6.0) * metre
            lean = p.rng.uniform(-0.05, 0.05) * (y - top)
            mask = p.area(
                [(x, y), (x + thick, y), (x + thick + lean, top), (x + lean, top)], p.tone(20, 190), 0.5
            )
        elif kind < 0.7:
            mask = _fence(p, y, metre)
        else:
            wide, high = p.rng.uniform(0.5, 3.0) * metre, p.rng.uniform(0.4, 1.2) * metre
            mask = p.box(x, y - high, wide, high)
        if mask is not None and min(mask.pixels.shape) > 0:
            plate.occluders.append(Occluder(mask, y))


def _fence(p: Painter, y: float, metre: float) -> Patch | None:
    high, pitch = p.rng.uniform(0.6, 1.3) * metre, max(p.rng.uniform(0.1, 0.5) * metre, 4.0)
    thick, tone = max(0.12 * pitch, 1.0), p.tone(20, 220)
    x0, x1 = sorted(p.rng.uniform(-0.2, 1.2, 2).tolist())
    whole = np.zeros((p.h, p.w), np.uint8)
    bars = [((x, y), (x, y - high)) for x in np.arange(x0 * p.w, x1 * p.w, pitch).tolist()]
    bars += [((x0 * p.w, row), (x1 * p.w, row)) for row in (y - high, y - 0.2 * high)]
    for a, b in bars:
        bar = p.line(a, b, thick, tone)
        if bar is not None:
            h, w = bar.pixels.shape
            box = whole[bar.y : bar.y + h, bar.x : bar.x + w]
            cv2.max(box, bar.pixels, box)
    return Patch(0, 0, whole) if whole.any() else None


def random_view(rng: np.random.Generator, size: tuple[int, int]) -> View:
    """People between 6 pixels and more than the picture's height on its lower half."""
    h = size[0]
    person = float(np.exp(rng.uniform(math.log(6), math.log(1.3 * h))))
    horizon = rng.uniform(-0.1, 0.35) * h if rng.random() < 0.6 else rng.uniform(-3.0, -0.1) * h
    return View(horizon, person / 1.7 / (0.75 * h - horizon))


def make_plate(
    rng: np.random.Generator, bank: PictureBank, size: tuple[int, int], view: View, layout: str = ""
) -> Plate:
    """An empty scene of `size` (h, w), some 2 ms for 144x144. layout: its kind; "" for any."""
    painter = Painter(rng, bank, size)
    any_layout = str(rng.choice(_NAMES, p=_SHARES))
    layout = layout or any_layout
    plate = Plate(painter.image, view, layout == "room")
    _LAYOUTS[layout](painter, plate)
    if layout != "photo" or painter.chance(0.4):
        add_clutter(painter, plate)
    add_posts(painter, plate)
    image = _shaded(rng, bank, painter.image)
    plate.image = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)
    plate.image[..., 3] = 0
    return plate


def _ground(p: Painter, plate: Plate, top: float, tone: Tone, contrast: float) -> None:
    """A textured plane in perspective from row `top` down."""
    y0 = max(int(top), 0)
    if y0 >= p.h - 1:
        return
    tile = p.bank.tiles[int(p.rng.integers(0, len(p.bank.tiles)))]
    metre = float(np.exp(p.rng.uniform(math.log(10), math.log(70))))  # texture pixels per metre
    k = metre / plate.view.grade
    # At most two texture pixels to one of the image in the middle, or the far ground turns to noise.
    k = min(k, 2.0 * max((y0 + p.h) / 2 - plate.view.horizon, 4.0))
    horizon = min(plate.view.horizon, y0 - 1.5)
    slant = p.rng.uniform(-0.6, 0.6)
    v = k * max(y0 - horizon, 4.0) * 2
    matrix = np.array([[k, slant * k, -k * p.w / 2], [0, -4.0, v], [0, 1, -horizon]])
    lift = np.array([[1, 0, 0], [0, 1, y0], [0, 0, 1]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    plane = cv2.warpPerspective(
        tile, matrix @ lift, (p.w, p.h - y0), flags=flags, borderMode=cv2.BORDER_REFLECT
    )
    p.image[y0:] = p.toned(plane, tone, contrast)


def _street(p: Painter, plate: Plate) -> None:
    base = p.rng.uniform(0.12, 0.55) * p.h
    base = max(base, plate.view.horizon + 0.06 * p.h)
    sky = p.tone(120, 240)
    p.image[:] = p.surface(p.h, p.w, sky, 0.15)
    x = -p.rng.uniform(0, 0.3) * p.w
    while x < p.w:
        wide = p.rng.uniform(0.15, 0.7) * p.w
        if p.chance(0.85):
            _facade(p, x, base - p.rng.uniform(0.3, 1.2) * max(base, 0.2 * p.h), wide, base)
        x += wide
    _ground(p, plate, base, p.tone(50, 190, 0.4), p.rng.uniform(0.2, 1.0))
    for _ in range(int(p.rng.integers(0, 3))):  # pavements and kerbs, in bands or towards the horizon
        row = p.rng.uniform(base, p.h)
        if p.chance(0.5):
            p.box(0, row, p.w, p.rng.uniform(0.03, 0.3) * p.h, p.tone(50, 200, 0.3))
            p.line((0, row), (p.w, row), max(0.012 * p.h, 1), p.tone(90, 230, 0.1))
        else:
            _ray(p, plate, base)
    if p.chance(0.6):
        _lane_marks(p, plate, base)


def _facade(p: Painter, x: float, y: float, w: float, base: float) -> None:
    wall = p.tone(40, 220)
    p.box(x, y, w, base - y + 1, wall)
    pitch_x, pitch_y = p.rng.uniform(0.07, 0.25) * p.w, p.rng.uniform(0.07, 0.22) * p.h
    share_x, share_y = p.rng.uniform(0.35, 0.75, 2)
    glass = p.tone(20, 150)
    rows, columns = min(int((base - y) / pitch_y), 6), min(int(w / pitch_x), 7)
    for row in range(rows):
        for column in range(columns):
            x0, y0 = x + (column + 0.25) * pitch_x, y + (row + 0.25) * pitch_y
            shade = p.rng.uniform(0.7, 1.4)
            cv2.rectangle(
                p.image,
                (int(x0), int(y0)),
                (int(x0 + share_x * pitch_x), int(y0 + share_y * pitch_y)),
                tuple(min(c * shade, 250.0) for c in glass),
                -1,
            )


def _ray(p: Painter, plate: Plate, base: float) -> None:
    """A strip that runs towards the horizon."""
    far, near = p.rng.uniform(0, p.w), p.rng.uniform(-0.5, 1.5) * p.w
    wide = p.rng.uniform(0.1, 0.9) * p.w
    narrow = wide * max(base - plate.view.horizon, 1.0) / max(p.h - plate.view.horizon, 2.0)
    p.area([(far, base), (far + narrow, base), (near + wide, p.h), (near, p.h)], p.tone(40, 180, 0.3))


def _lane_marks(p: Painter, plate: Plate, base: float) -> None:
    white = p.tone(170, 250, 0.2)
    far = (p.rng.uniform(0.1, 0.9) * p.w, max(plate.view.horizon, base - 0.3 * p.h))
    for _ in range(int(p.rng.integers(1, 4))):
        near = (p.rng.uniform(-0.3, 1.3) * p.w, float(p.h))
        dashes = p.rng.uniform(3, 9) if p.chance(0.6) else 1
        for nth in range(int(dashes)):
            s0, s1 = ((nth + part) / dashes for part in (0.0, 0.5 if dashes > 1 else 1.0))
            a, b = ((near[0] + (far[0] - near[0]) * s, near[1] + (far[1] - near[1]) * s) for s in (s0, s1))
            if b[1] > base:
                p.line(a, b, max(0.02 * p.h * (1 - s0), 0.7), white)


def _room(p: Painter, plate: Plate) -> None:
    base = max(p.rng.uniform(0.25, 0.7) * p.h, plate.view.horizon + 0.08 * p.h)
    p.image[:] = p.surface(p.h, p.w, p.tone(80, 225, 0.5), p.rng.uniform(0.05, 0.4))
    _ground(p, plate, base, p.tone(50, 200, 0.6), p.rng.uniform(0.1, 0.8))
    for left in (True, False):
        if p.chance(0.5):
            wide = p.rng.uniform(0.1, 0.4) * p.w
            x0, x1 = (0.0, wide) if left else (float(p.w), p.w - wide)
            p.area(
                [(x0, 0), (x1, -1), (x1, base), (x0, base + p.rng.uniform(0.2, 0.8) * p.h)],
                p.tone(60, 220, 0.5),
                0.3,
            )
    p.line((0, base), (p.w, base), max(0.015 * p.h, 1), p.tone(30, 230, 0.3))
    for _ in range(int(p.rng.integers(1, 6))):  # doors, windows, posters, boards, screens
        w, h = p.rng.uniform(0.06, 0.3) * p.w, p.rng.uniform(0.1, 0.6) * base
        x, y = p.rng.uniform(0, p.w - w), p.rng.uniform(0.02 * p.h, max(base - h, 0.03 * p.h))
        y = base - h if p.chance(0.3) else y
        p.box(x - 1.5, y - 1.5, w + 3, h + 3, p.tone(), 0.1)
        mask = p.box(x, y, w, h)
        if mask is not None and p.chance(0.35):
            p.put(p.photo(*mask.pixels.shape), mask)
        elif p.chance(0.3):
            p.stamp(p.one("person"), (x + w / 2, y + h), h / 1.8, "stand")
    for _ in range(int(p.rng.integers(0, 4))):
        x, y = p.rng.uniform(0, p.w), p.rng.uniform(0, 0.12 * p.h)
        p.line((x, y), (x + p.rng.uniform(0.05, 0.3) * p.w, y), 0.02 * p.h, (250.0, 252.0, 250.0))
        plate.lamps.append((x, y, 0.1 * p.h))


def _lawn(p: Painter, plate: Plate) -> None:
    base = max(p.rng.uniform(0.15, 0.6) * p.h, plate.view.horizon + 0.04 * p.h)
    p.image[:] = p.surface(p.h, p.w, p.tone(130, 245, 0.6), 0.2)
    if p.chance(0.8):  # a row of trees behind
        crowns = np.zeros((p.h, p.w), np.uint8)
        for _ in range(int(p.rng.integers(4, 12))):
            radius = p.rng.uniform(0.06, 0.3) * p.h
            x, y = p.rng.uniform(0, p.w), base - p.rng.uniform(0.2, 1.0) * radius
            cv2.ellipse(
                crowns,
                (int(x), int(y)),
                (int(radius) + 1, int(radius * p.rng.uniform(0.6, 1.4)) + 1),
                0,
                0,
                360,
                255.0,
                -1,
            )
        crowns = _ragged(p, crowns)
        crowns[int(base) :] = 0
        p.put(p.toned(_leaves(p), _green(p), p.rng.uniform(0.7, 1.5)), Patch(0, 0, crowns))
        plate.soft.append(crowns)
    _ground(p, plate, base, _green(p) if p.chance(0.75) else p.tone(90, 200), p.rng.uniform(0.4, 1.2))
    grass = np.zeros((p.h, p.w), np.uint8)
    grass[int(base) :] = 255
    plate.soft.append(grass)
    for _ in range(int(p.rng.integers(0, 3))):
        _ray(p, plate, base)


def _shore(p: Painter, plate: Plate) -> None:
    _lawn(p, plate)
    top = p.rng.uniform(0.3, 0.8) * p.h
    low = p.h if p.chance(0.6) else p.rng.uniform(top + 0.1 * p.h, 1.1 * p.h)
    slope = p.rng.uniform(-0.1, 0.1) * p.h
    b, g, r = p.tone(60, 190)
    ripple = cv2.resize(p.texture(max(p.h // 2, 4), max(p.w // 6, 4)), (p.w, p.h))
    mask = p.polygon([(0, top), (p.w, top + slope), (p.w, low + slope), (0, low)])
    if mask is not None:
        h, w = mask.pixels.shape
        p.put(
            p.toned(ripple[mask.y : mask.y + h, mask.x : mask.x + w], (min(b + 15, 250.0), g, r), 0.8), mask
        )
        water = np.zeros((p.h, p.w), np.uint8)
        water[mask.y : mask.y + h, mask.x : mask.x + w] = mask.pixels
        plate.soft.insert(0, water)


def _overhead(p: Painter, plate: Plate) -> None:  # noqa: ARG001 - one signature for all layouts
    p.image[:] = p.surface(p.h, p.w, p.tone(40, 210), p.rng.uniform(0.1, 0.9))
    for _ in range(int(p.rng.integers(0, 6))):
        if p.chance(0.5):
            a, b = p.rng.uniform(-0.2, 1.2, (2, 2)) * (p.w, p.h)
            p.line(tuple(a.tolist()), tuple(b.tolist()), p.rng.uniform(0.005, 0.2) * p.h, p.tone())
        else:
            x, y, w, h = (p.rng.uniform(-0.2, 1, 4) * (p.w, p.h, p.w, p.h)).tolist()
            p.box(x, y, abs(w), abs(h))


def _photo(p: Painter, plate: Plate) -> None:
    p.image[:] = p.photo(p.h, p.w)
    if p.chance(0.5):
        plate.soft.append(_ragged(p, np.full((p.h, p.w), 128, np.uint8)))


def _collage(p: Painter, plate: Plate) -> None:  # noqa: ARG001 - one signature for all layouts
    p.image[:] = p.surface(p.h, p.w, p.tone(), p.rng.uniform(0.2, 1.3))
    for _ in range(int(p.rng.integers(3, 14))):
        middle = p.rng.uniform(0, 1, 2) * (p.w, p.h)
        turns = np.sort(p.rng.uniform(0, 2 * math.pi, int(p.rng.integers(3, 8))))
        far = p.rng.uniform(0.05, 0.5, (len(turns), 1)) * p.h
        corners = middle + np.stack([np.cos(turns), np.sin(turns)], axis=1) * far
        p.area([(x, y) for x, y in corners.tolist()])


_LAYOUTS = {
    "street": _street,
    "room": _room,
    "lawn": _lawn,
    "shore": _shore,
    "overhead": _overhead,
    "photo": _photo,
    "collage": _collage,
}


_NAMES = tuple(_LAYOUTS)


_SHARES = (0.32, 0.22, 0.12, 0.06, 0.08, 0.12, 0.08)


def _green(p: Painter) -> Tone:
    grey = p.rng.uniform(45, 150)
    lush = p.rng.uniform(0.1, 1.0)
    return grey * (1 - 0.5 * lush), grey * (1 + 0.15 * lush), grey * (1 - 0.25 * lush + 0.3 * p.rng.random())


def _leaves(p: Painter) -> Array:
    """(H, W, 3) uint8 of leaves around middle grey."""
    y, x = p.rng.integers(0, max(512 - p.h, 1)), p.rng.integers(0, max(512 - p.w, 1))
    field_ = p.bank.clouds[int(p.rng.integers(2, 4))][y : y + p.h, x : x + p.w]
    if field_.shape != (p.h, p.w):
        field_ = cv2.resize(field_, (p.w, p.h))
    grey = cv2.convertScaleAbs(field_, alpha=50, beta=128)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))


def _ragged(p: Painter, mask: Array) -> Array:
    """A mask with a leafy edge."""
    leaves = _leaves(p)[..., 0]
    soft = cv2.blur(mask, (9, 9))
    return np.asarray(
        cv2.threshold(cv2.addWeighted(soft, 1.0, leaves, 0.8, -102), 127, 255.0, cv2.THRESH_BINARY)[1]
    )


def _shaded(rng: np.random.Generator, bank: PictureBank, image: Array) -> Array:
    """Uneven light and dirt over everything."""
    h, w = image.shape[:2]
    strength = rng.uniform(0.0, 0.25)
    part = max(int(min(h, w) * rng.uniform(0.4, 1.5)), 8)
    part = min(part, 512)
    y, x = rng.integers(0, 512 - part + 1, 2)
    cloud = cv2.resize(bank.clouds[int(rng.integers(0, 3))][y : y + part, x : x + part], (w, h))
    gain = cv2.convertScaleAbs(cloud, alpha=strength * 128, beta=128)
    return np.asarray(cv2.multiply(image, cv2.cvtColor(gain, cv2.COLOR_GRAY2BGR), scale=1 / 128))
