"""Files and folders of a sequence by their names, in any case, and those that nothing uses."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from edgebs.errors import SourceError

NAMED_AT_MOST = 3
_LIMITS = re.compile(r"(?<![a-z])(roi|region|temporal|range|scored)|roi(?![a-z])")
"""What a file is called that limits what is scored: ROI_2.png, TemporalRoi.csv, region.bmp, mask_roi.png."""


def named(folder: Path, entries: Iterable[str], name: str) -> str | None:
    """The one of `entries` that is called `name` in some case; None where none is.

    entries: names in `folder`. Raises SourceError where several are, naming them.
    """
    found = sorted(entry for entry in entries if entry.casefold() == name.casefold())
    if len(found) > 1:
        raise SourceError(
            f"{folder} holds {' and '.join(found)}, which differ in case only: it cannot be known which one "
            "is meant. Rename or remove one."
        )
    return found[0] if found else None


def first_named(folder: Path, entries: Collection[str], names: Iterable[str]) -> str | None:
    """The first of `names` that is among `entries`, in any case. Raises SourceError as `named` does."""
    return next(iter(all_named(folder, entries, names)), None)


def all_named(folder: Path, entries: Collection[str], names: Iterable[str]) -> Iterator[str]:
    """Those of `entries` that are called one of `names`, in any case, in the order of `names`."""
    for name in names:
        if (entry := named(folder, entries, name)) is not None:
            yield entry


def looks_like_limits(name: str) -> bool:
    """Whether a file is called like a region of interest or a range of frames."""
    return _LIMITS.search(name.lower()) is not None


def unused_notes(folder: Path, used: Collection[Path]) -> tuple[str, ...]:
    """A note on what looks like a region or range in `folder` and is not among `used`."""
    unused = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry not in used and not entry.name.startswith(".") and looks_like_limits(entry.name)
    )
    if not unused:
        return ()
    more = f" and {len(unused) - NAMED_AT_MOST} more" if len(unused) > NAMED_AT_MOST else ""
    names = ", ".join(unused[:NAMED_AT_MOST]) + more
    return (f"{names} in {folder.name}/ looks like a region or a range of frames, and is not used",)
