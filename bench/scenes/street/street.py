"""A rendered street with exact masks and exact flow, for demo, tests and training.

Everything is a sprite with an affine pose that is a closed form of time: any frame can be asked for alone,
and the flow between two frames is the one pose after the inverse of the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.scenes.street.casting import cast
from bench.scenes.street.compositor import Canvas, Patch, draw_figure, flow_between
from bench.scenes.street.figures import Figure
from bench.scenes.street.light import Light, Sensor
from bench.scenes.street.motion import random_sway
from edgebs.errors import SinkError
from edgebs.files import atomic_file, library_path
from edgebs.tensors import Array, Frame


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
    """A street, rendered frame by frame. Frames may be asked for in any order."""

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
