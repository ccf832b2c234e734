"""Shared by all tests: the fakes are importable, GPU tests cannot pass by skipping where one is required."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection_modifyitems(items):
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    from edgebs.cuda import device_count

    found = device_count()
    if found.count or os.environ.get("EDGEBS_REQUIRE_GPU") == "1":
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason=f"no NVIDIA GPU: {found.reason}"))
