"""Photographs for training scenes from panoramas: views as a camera on a wall would have them.

    apt-get download blender-data && dpkg -x blender-data_*.deb there
    python -m bench.scenes.place.panorama there/usr/share/blender/datafiles/studiolights/world pictures

Debian's blender-data holds eight panoramas of HDRI Haven by Greg Zaal, all CC0, 1024x512, with true light:
the exposure of each view is chosen here. Reading them needs the package OpenEXR.
"""

from __future__ import annotations

import argparse
import importlib
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgebs.errors import MissingDependency, SinkError, SourceError
from edgebs.files import atomic_file
from edgebs.machine.console import errors_in_one_line, print_line
from edgebs.tensors import Array, Frame

VIEWS = 24
"""Of each panorama."""
SIZE = (384, 512)
NO_PLACES = ("studio",)
"""Panoramas of light alone."""
SEED = 7
GAMMA = 2.2


def view_of(panorama: Array, field: float, yaw: float, pitch: float, size: tuple[int, int] = SIZE) -> Array:
    """What a camera in the middle of a panorama sees, (h, w, 3) float32.

    panorama: (H, W, 3) float32, equirectangular: its columns go once around, its rows from zenith to nadir.
    field: of view from left to right, in radians; yaw: to the right of the middle column; pitch: upwards.
    """
    h, w = size
    focal = w / 2 / math.tan(field / 2)
    x, y = np.meshgrid(np.arange(w) - (w - 1) / 2, np.arange(h) - (h - 1) / 2)
    # Turned up about the axis to the right: y points down.
    ahead = focal * math.cos(pitch) + y * math.sin(pitch)
    down = y * math.cos(pitch) - focal * math.sin(pitch)
    longitude = np.arctan2(x, ahead) + yaw
    latitude = np.arctan2(down, np.hypot(x, ahead))
    height, width = panorama.shape[:2]
    columns = ((longitude / (2 * math.pi) + 0.5) % 1 * width - 0.5).astype(np.float32)
    rows = ((latitude / math.pi + 0.5) * height - 0.5).astype(np.float32)
    return np.asarray(cv2.remap(panorama, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))


def exposed(view: Array, key: float) -> Frame:
    """(h, w, 3) uint8 of light: its median grey becomes `key` of the brightest, before the gamma."""
    gain = key / max(float(np.median(view.mean(axis=2))), 1e-4)
    return np.asarray(np.rint(255 * np.clip(view * gain, 0, 1) ** (1 / GAMMA)), np.uint8)


def read_panorama(file: Path) -> Array:
    """(H, W, 3) float32 BGR of an .exr file. Raises MissingDependency without OpenEXR, SourceError."""
    try:
        openexr = importlib.import_module("OpenEXR")
    except ImportError as cause:
        raise MissingDependency("reading panoramas needs OpenEXR: pip install OpenEXR") from cause
    try:
        channels = openexr.File(str(file)).channels()
        rgb = channels["RGB"].pixels if "RGB" in channels else np.dstack([channels[c].pixels for c in "RGB"])
    except (RuntimeError, KeyError, OSError) as cause:
        raise SourceError(f"{file} is no panorama that OpenEXR reads ({cause}). Leave it out.") from cause
    return np.ascontiguousarray(rgb[..., ::-1], np.float32)


def write_views(folder: Path, out: Path) -> list[Path]:
    """Write `VIEWS` views of each panorama in `folder` as .png files, the same at each run; returns them.

    Raises SourceError where there is no panorama, SinkError.
    """
    files = [file for file in sorted(folder.glob("*.exr")) if file.stem not in NO_PLACES]
    if not files:
        raise SourceError(
            f"{folder} holds no .exr file. Unpack blender-data, and name its studiolights/world."
        )
    rng = np.random.default_rng(SEED)
    written = []
    for file in files:
        panorama = read_panorama(file)
        for number in range(VIEWS):
            field, yaw = math.radians(rng.uniform(70, 110)), rng.uniform(0, 2 * math.pi)
            pitch, key = math.radians(rng.uniform(-30, 5)), rng.uniform(0.12, 0.4)
            written.append(
                _written(
                    out, f"{file.stem}-{number:02d}.png", exposed(view_of(panorama, field, yaw, pitch), key)
                )
            )
    return written


def _written(out: Path, name: str, picture: Frame) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise SinkError(f"{out} cannot be made a folder ({cause}). Choose another one.") from cause
    with atomic_file(out / name, SinkError) as temporary:
        temporary.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return out / name


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the .exr files are")
    parser.add_argument("out", type=Path, help="folder for the pictures")
    given = parser.parse_args(arguments)
    with errors_in_one_line():
        print_line(f"{len(write_views(given.folder, given.out))} pictures in {given.out}")


if __name__ == "__main__":
    main()
