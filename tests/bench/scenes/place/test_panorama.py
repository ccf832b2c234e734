"""Views of a panorama whose colours say where they are."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.scenes.place import panorama
from bench.scenes.place.panorama import VIEWS, exposed, main, view_of, write_views
from edgebs.errors import SourceError
from edgebs.tensors import Array


def compass(width: int = 720, height: int = 360) -> Array:
    """Channels: longitude and latitude in degrees (to the right, downwards), and nothing."""
    longitude = (np.arange(width, dtype=np.float32) + 0.5) / width * 360 - 180
    latitude = (np.arange(height, dtype=np.float32) + 0.5) / height * 180 - 90
    shape = (height, width)
    return np.dstack(
        [np.broadcast_to(longitude, shape), np.broadcast_to(latitude[:, None], shape), np.zeros(shape)]
    ).astype(np.float32)


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (60, 0), (0, 20), (-90, -30)])
def test_the_middle_of_a_view_looks_where_it_was_pointed(yaw: float, pitch: float) -> None:
    view = view_of(compass(), math.radians(90), math.radians(yaw), math.radians(pitch), (101, 101))
    assert view[50, 50, :2] == pytest.approx([yaw, -pitch], abs=0.6)


def test_the_field_of_view_is_that_of_the_width() -> None:
    view = view_of(compass(), math.radians(90), 0.0, 0.0, (101, 201))
    # The outermost pixels lie half a pixel inside.
    assert view[50, 0, 0] == pytest.approx(-44.85, abs=0.6)
    assert view[50, -1, 0] == pytest.approx(44.85, abs=0.6)


def test_exposure_brings_the_median_to_the_key() -> None:
    light = np.full((8, 8, 3), 40.0, np.float32)
    light[0] = 1e4
    picture = exposed(light, 0.25)
    assert picture[4, 4, 0] == round(255 * 0.25 ** (1 / 2.2))
    assert picture[0, 0, 0] == 255


def test_views_are_written_and_light_without_a_place_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("city", "studio"):
        (tmp_path / f"{name}.exr").touch()
    monkeypatch.setattr(panorama, "read_panorama", lambda _file: np.abs(compass(64, 32)) + 1)
    files = write_views(tmp_path, tmp_path / "out")
    assert [file.name for file in files] == [f"city-{n:02d}.png" for n in range(VIEWS)]
    assert cv2.imread(str(files[0])).shape == (384, 512, 3)
    before = files[3].read_bytes()
    main([str(tmp_path), str(tmp_path / "out")])
    assert files[3].read_bytes() == before
    assert capsys.readouterr().out == f"{VIEWS} pictures in {tmp_path / 'out'}\n"
    with pytest.raises(SourceError, match=r"holds no .exr file"):
        write_views(tmp_path / "out", tmp_path)
