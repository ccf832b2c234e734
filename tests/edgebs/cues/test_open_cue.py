"""Which cue a manifest opens."""

from __future__ import annotations

from edgebs import cues
from edgebs.bundle.kinds import CUE_KINDS


def test_every_kind_of_cue_that_a_manifest_may_name_can_be_opened() -> None:
    assert set(cues._OPENERS) == set(CUE_KINDS)
