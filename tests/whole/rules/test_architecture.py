"""docs/architecture.md names files and names that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
LATER = {"edgebs/appliance/", "edgebs/archive/"}
"""Places that are kept free."""
PATHS = sorted(set(re.findall(r"`((?:edgebs|engines|calib|bench|export|tests)/[\w/.]*)", TEXT)) - LATER)


@pytest.mark.parametrize("path", PATHS)
def test_the_path_is_there(path: str) -> None:
    assert (ROOT / path.partition(":")[0]).exists()


NAMES = {
    "edgebs/pipeline.py": ("Pipeline", "HostRunner"),
    "edgebs/cues/cue.py": ("Cue",),
    "edgebs/backends/__init__.py": ("Backend", "open_backend"),
    "edgebs/bundle/kinds.py": ("Runtime",),
    "engines/__init__.py": ("Target",),
    "export/models/__init__.py": ("ModelFacts",),
    "export/job/__init__.py": ("Job",),
    "export/job/request.py": ("ExportRequest",),
    "bench/parity.py": ("Reference",),
}


@pytest.mark.parametrize(("file", "name"), [(file, name) for file, names in NAMES.items() for name in names])
def test_the_name_is_defined_there(file: str, name: str) -> None:
    assert name in TEXT
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def test_the_four_files_of_a_frame_hand_on_in_that_order() -> None:
    opened = (ROOT / "edgebs" / "pipeline.py").read_text(encoding="utf-8")
    assert "from edgebs.video.open import" in opened
    assert "from edgebs.cues.cue import" in opened
    cues = [file.read_text(encoding="utf-8") for file in (ROOT / "edgebs" / "cues").glob("*.py")]
    assert any(".infer(" in text for text in cues)
