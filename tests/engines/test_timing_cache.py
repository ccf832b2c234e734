"""engines/timing_cache.py: measured kernels between builds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.gpu.builder import Config, FakeBuilder, TimingCache

from edgebs.nvidia import cuda
from engines.timing_cache import TimingCache as Stored
from engines.timing_cache import power_mode, timing_facts

FACTS = {"tensorrt": "10.3.0.30", "gpu": "Orin"}


def config(*entries: str) -> Config:
    made = Config(FakeBuilder("10.3.0.30", []))
    made.timing = TimingCache(";".join(entries).encode())
    return made


def test_everything_that_changes_times_changes_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def facts(module: str = "tensorrt", version: str = "10.3.0.30", mode: str = "0000", **gpu: Any) -> Path:
        device = {"name": "Orin", "compute_capability": "8.7", "driver": "12.6", "memory_bytes": 1, **gpu}
        monkeypatch.setattr(cuda, "device_facts", lambda: cuda.DeviceFacts(**device))
        status = tmp_path / "var/lib/nvpmodel/status"
        status.parent.mkdir(parents=True, exist_ok=True)
        status.write_text(f"pmode:{mode}\n")
        return Stored(timing_facts(module, version, tmp_path), tmp_path).path

    changed = [
        facts(),
        facts(module="tensorrt_other"),
        facts(version="10.13.0.1"),
        facts(mode="0003"),
        facts(name="Orin Nano"),
        facts(compute_capability="11.0"),
        facts(driver="13.0"),
        facts(memory_bytes=2),
    ]
    assert len(set(changed)) == len(changed)
    assert facts() == changed[0]


def test_two_builds_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    store = Stored(FACTS, tmp_path)
    store.keep(config("conv 3.1"))
    store.keep(config("pool 0.2"))
    fresh = config()
    store.give(fresh)
    assert fresh.timing is not None
    assert fresh.timing.entries == {"conv 3.1", "pool 0.2"}
    assert [path.suffix for path in tmp_path.iterdir()] == [".timing"]


@pytest.mark.parametrize("blob", ["other version", "other device"])
def test_a_cache_that_tensorrt_refuses_is_replaced_by_an_empty_one(
    blob: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Blob:
        def combine(self, *_: object) -> bool:
            return True

        def serialize(self) -> bytes:
            return blob.encode()

    store = Stored(FACTS, tmp_path)
    foreign = config()
    foreign.timing = Blob()  # type: ignore[assignment]
    store.keep(foreign)
    fresh = config("stale")
    store.give(fresh)
    assert fresh.timing is not None
    assert fresh.timing.entries == set()
    assert "does not fit this TensorRT" in caplog.text


def test_a_damaged_cache_is_not_handed_to_tensorrt(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Stored(FACTS, tmp_path)
    store.keep(config("conv 3.1"))
    content = bytearray(store.path.read_bytes())
    content[-1] ^= 1
    store.path.write_bytes(content)
    fresh = config("stale")
    store.give(fresh)
    assert fresh.timing is not None
    assert fresh.timing.entries == set()
    assert "is damaged" in caplog.text


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    Stored(FACTS, tmp_path / "file" / "folder").keep(config("conv 3.1"))
    assert "timing cache not kept" in caplog.text


def test_the_power_mode_is_the_jetsons(tmp_path: Path) -> None:
    assert power_mode(tmp_path) == ""
    status = tmp_path / "var/lib/nvpmodel/status"
    status.parent.mkdir(parents=True)
    status.write_text("pmode:0002\n")
    assert power_mode(tmp_path) == "0002"
