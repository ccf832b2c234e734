"""edgebs/files/cache.py: files that the next run may use, and can do without."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from edgebs.errors import SinkError
from edgebs.files.cache import (
    file_digest,
    kept_folder,
    key_of,
    prune,
    read_sealed,
    seal_of,
    write_sealed,
    write_whole,
)


def test_the_folder_follows_xdg_and_else_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert kept_folder("openvino") == tmp_path / "xdg" / "edgebs" / "openvino"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kept_folder("openvino") == tmp_path / ".cache" / "edgebs" / "openvino"


def test_without_a_home_nothing_is_kept_and_that_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    file = kept_folder("tensorrt") / "one.timing"
    assert read_sealed(file, "timing cache") == b""
    with pytest.raises(SinkError, match="cannot be written"):
        write_sealed(file, b"kernels")


def test_a_key_changes_with_facts_and_content_and_not_with_their_order() -> None:
    keys = {
        key_of({"a": 1, "b": 2}),
        key_of({"a": 1, "b": 3}),
        key_of({"a": 1}),
        key_of({"a": 1, "b": 2}, b"x"),
    }
    assert len(keys) == 4
    assert key_of({"b": 2, "a": 1}) in keys


def test_keys_are_those_under_which_earlier_versions_kept_their_files() -> None:
    facts = {"tensorrt": "10.3.0.30", "gpu": "Orin"}
    before = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    assert key_of(facts) == before
    key = hashlib.sha256(b"network")
    key.update(json.dumps({"file": "a.onnx"}).encode())
    assert key_of({"file": Path("a.onnx")}, b"network") == key.hexdigest()


def test_what_was_sealed_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.timing"
    write_sealed(file, b"kernels")
    assert read_sealed(file, "timing cache") == b"kernels"
    assert file.read_bytes() == hashlib.sha256(b"kernels").digest() + b"kernels"
    assert read_sealed(tmp_path / "none", "timing cache") == b""


@pytest.mark.parametrize("content", [b"short", bytes(40), seal_of(b"kernels") + b"kernel"])
def test_a_broken_seal_is_a_warning_and_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "a").write_bytes(content)
    assert read_sealed(tmp_path / "a", "timing cache") == b""
    assert f"timing cache {tmp_path / 'a'} is damaged" in caplog.text


def test_what_cannot_be_written_is_a_sink_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file" / "a", tmp_path / ("a" * 300)):
        with pytest.raises(SinkError, match="cannot be written: "):
            write_whole(path, b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_digest_of_a_beginning_is_that_of_these_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000  # more than two blocks
    (tmp_path / "a").write_bytes(content)
    assert file_digest(tmp_path / "a") == hashlib.sha256(content).digest()
    for size in (0, 5, (1 << 20) + 1):
        assert file_digest(tmp_path / "a", size) == hashlib.sha256(content[:size]).digest()


def test_pruning_goes_by_last_use_and_spares_the_newest_and_other_kinds(tmp_path: Path) -> None:
    ages = {"newest.blob": 0, "oldest.timing": 1} | {f"{age}.blob": age for age in (5, 9, 2, 7, 3, 8, 4, 6)}
    for name, age in ages.items():
        (tmp_path / name).write_bytes(bytes(1000))
        os.utime(tmp_path / name, (age, age))
    prune(tmp_path / "newest.blob", 4500)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"newest.blob", "oldest.timing", "7.blob", "8.blob", "9.blob"}
    prune(tmp_path / "newest.blob", 10)
    assert {path.name for path in tmp_path.iterdir()} == {"newest.blob", "oldest.timing"}


def test_a_file_that_cannot_be_removed_stays_and_the_next_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, name in enumerate(("stuck.blob", "old.blob", "newest.blob")):
        (tmp_path / name).write_bytes(bytes(1000))
        os.utime(tmp_path / name, (age, age))
    unlink = Path.unlink

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path.stem == "stuck":
            raise PermissionError("in use")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    prune(tmp_path / "newest.blob", 2000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["newest.blob", "stuck.blob"]
