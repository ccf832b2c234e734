"""The bank of pictures: cheap to send, read from the cache, clear about a bad folder."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.scenes import bank as varied_bank
from bench.scenes.actors import sprites as varied_sprites
from bench.scenes.actors.sprites import load_actors
from bench.scenes.bank import PictureBank
from bench.scenes.scene import Scene
from bench.scenes.sheet import main
from edgebs.errors import SourceError


def picture(folder: Path, name: str = "one.png") -> Path:
    folder.mkdir(exist_ok=True)
    image = np.random.default_rng(0).integers(0, 256, (90, 700, 3), np.uint8)
    assert cv2.imwrite(str(folder / name), image)
    return folder


def test_a_filled_bank_pickles_as_a_name() -> None:
    bank = PictureBank.open()
    assert len(bank.actors["person"]) == 80
    again = pickle.loads(sent := pickle.dumps(bank))  # noqa: S301 - our own bytes
    assert len(sent) < 500
    assert again.sources == bank.sources


def test_sprites_are_the_same_drawn_and_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(varied_sprites, "_COUNTS", dict.fromkeys(varied_sprites._COUNTS, 2))
    drawn, cached = load_actors(), load_actors()
    assert [file.name for file in tmp_path.glob("edgebs/*/*")]
    for kind, actors in drawn.items():
        assert len(actors) == 2
        for one, other in zip(actors, cached[kind], strict=True):
            assert (one.density, one.height) == (other.density, other.height)
            for look, sprites in one.poses.items():
                for a, b in zip(sprites, other.poses[look], strict=True):
                    assert a.foot == b.foot
                    assert all(np.array_equal(x, y) for x, y in zip(a.mips, b.mips, strict=True))


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(varied_sprites, "_COUNTS", dict.fromkeys(varied_sprites._COUNTS, 1))
    assert len(load_actors()["animal"]) == 1


def test_the_users_pictures_come_first(tmp_path: Path) -> None:
    bank = PictureBank.open(picture(tmp_path / "mine"))
    assert bank.sources[0].endswith("one.png")
    assert bank.photos[0].shape == (66, 512, 3)
    assert Scene(1, (64, 64), bank).frame(0.0).image.shape == (64, 64, 3)


def test_a_package_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PictureBank.open()
    assert whole.missing == ()
    find_spec = varied_bank.importlib.util.find_spec
    monkeypatch.setattr(
        varied_bank.importlib.util, "find_spec", lambda name: None if name == "sklearn" else find_spec(name)
    )
    varied_bank._sources.cache_clear()
    assert whole.missing == ("sklearn datasets/images/china.jpg", "sklearn datasets/images/flower.jpg")
    assert all(source.startswith("skimage") for source in whole.sources)
    varied_bank._sources.cache_clear()


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(SourceError, match=r"holds no pictures\. Name a folder"):
            PictureBank.open(folder)


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"bad\.jpg is not a picture"):
        _ = PictureBank.open(tmp_path).photos


def test_the_contact_sheet_is_written(tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    main(["--sheet", str(file), "--scenes", "3", "--side", "48", "--columns", "2", "--with", "jpeg"])
    sheet = cv2.imread(str(file))
    assert sheet is not None
    assert sheet.shape == (2 * (48 + 13), 2 * 8 * 48, 3)
