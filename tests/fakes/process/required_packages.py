"""A rule for pytest: where EDGEBS_REQUIRE_PACKAGES=1, `pytest.importorskip` fails instead of skipping.

`make test` sets it, so that no standing check can pass because a package is missing. On an appliance, on a
GPU machine and on another Python (`make test-pythons`) such tests are skipped, and the report counts them.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import Any

import pytest

ENVIRONMENT = "EDGEBS_REQUIRE_PACKAGES"


def import_or_fail(modname: str, *_: Any, **__: Any) -> ModuleType:
    """The module. An import that fails is an error of the test that asked for it."""
    try:
        return importlib.import_module(modname)
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{modname} cannot be imported and {ENVIRONMENT}=1 lets no test skip for that ({error}): "
            "pip install -e '.[dev]'",
            name=modname,
        ) from error


def apply() -> None:
    """Put `import_or_fail` in the place of pytest.importorskip where the environment asks for it."""
    if os.environ.get(ENVIRONMENT) == "1":
        pytest.importorskip = import_or_fail  # type: ignore[assignment]
