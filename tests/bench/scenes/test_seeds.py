"""bench/scenes/__init__.py: what is judged on rendered scenes was not trained or calibrated on them."""

import re
from collections import Counter
from pathlib import Path

from bench import scenes as seeds

ROOT = Path(__file__).parents[3]
RESERVED = {name: value for name, value in vars(seeds).items() if name.isupper()}


def test_every_purpose_has_its_own_seed_except_the_documented_pair():
    shared = {value for value, uses in Counter(RESERVED.values()).items() if uses > 1}
    assert {name for name, value in RESERVED.items() if value in shared} == {"LAYERS", "FLOW_CHECK"}


def test_trainings_are_below_all_of_them():
    assert min(RESERVED.values()) == seeds.FIRST_RESERVED


def test_they_are_declared_nowhere_else():
    number = re.compile(r"\b2_000_000_0(?!00)\d\d\b")
    files = [
        file for folder in ("bench", "calib", "edgebs", "export") for file in ROOT.glob(f"{folder}/**/*.py")
    ]
    assert [file.name for file in files if number.search(file.read_text())] == ["__init__.py"]
