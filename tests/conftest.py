"""Shared by all tests: the fakes are importable, GPU tests cannot pass by skipping where one is required."""

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fakes.process import required_packages
from fakes.process.programs import signals_that_reach_children

required_packages.apply()

# A shell starts background jobs (`make test &`) with Ctrl-C ignored, and what the tests start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    from edgebs.nvidia.cuda import device_count

    found = device_count()
    if found.count or os.environ.get("EDGEBS_REQUIRE_GPU") == "1":
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason=f"no NVIDIA GPU: {found.reason}"))


@pytest.fixture(scope="session", autouse=True)
def _compiled_networks_outside_the_home_folder(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def _signals_reach_children():
    with signals_that_reach_children():
        yield


@pytest.fixture(scope="session")
def street_video(tmp_path_factory):
    """A rendered street of 30 frames, 160x120, as a file."""
    from bench.scenes.clip import ClipOptions, clip_video

    video = tmp_path_factory.mktemp("video") / "street.avi"
    clip_video(ClipOptions(size=(120, 160), frames=30, seed=5), video)
    return video


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory):
    """CrossNet at width 4 with DIS flow for the CPU, FP32, random weights.

    Exported here, or the one that EDGEBS_TINY_BUNDLE names where there is no PyTorch (tests/pythons.py).
    """
    if ready := os.environ.get("EDGEBS_TINY_BUNDLE"):
        from edgebs.loading import load_bundle

        return load_bundle(ready)
    pytest.importorskip("torch")
    from fakes.networks.tiny_bundle import export_tiny_bundle

    return export_tiny_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def _signal_handlers_put_back():
    """What `edgebs.cli.main` installs for its process does not stay in that of the tests."""
    yield
    interrupts = sys.modules.get("edgebs.machine.interrupts")
    if interrupts is not None:
        interrupts.uninstall()
