"""What the pixels of a mask mean, whatever file holds them: ground truth and regions of interest.

A mask is one grey value a pixel. Files wrap it in colours, palettes, transparency and 16 bits. What can be
decided is unwrapped here, and what cannot is refused with its repair: a mask that is read wrongly gives a
score like any other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from edgebs.errors import SourceError
from edgebs.tensors import Array, Frame
from edgebs.video.picture_file import AS_STORED, JPEG, PNG, decoded, picture_bytes

WHITE = 255


GREY_REPAIR = "Store it as one grey channel of 8 bits without loss (PNG, BMP)."


def mask_values(path: Path) -> Frame:
    """The grey values of a mask as (H, W) uint8. Raises SourceError for what is no mask, or no certain one.

    Masks of the two values 0 and 1 are given as 0 and 255; so are black and one other colour.
    """
    stored = _opaque(path)
    return _spread(stored if stored.ndim == 2 else _grey_from_colours(path, stored))


def region_values(path: Path) -> Frame:
    """A region of interest as (H, W) uint8: as `mask_values`, but colours give their brightness.

    CDnet's ROI.jpg is a photograph in some copies, and whoever reads it must see that. Raises SourceError.
    """
    stored = _opaque(path)
    return _spread(
        stored if stored.ndim == 2 else np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2GRAY), np.uint8)
    )


def mask_colours(path: Path) -> Frame:
    """A mask whose colours have a meaning, as (H, W, 3) uint8 BGR. Raises SourceError."""
    stored = _opaque(path)
    return np.asarray(cv2.cvtColor(stored, cv2.COLOR_GRAY2BGR), np.uint8) if stored.ndim == 2 else stored


def _opaque(path: Path) -> Frame:
    """The picture as (H, W) or (H, W, 3) uint8 BGR; the mask is taken from where it is, colour or alpha."""
    content = picture_bytes(path)
    values = decoded(content, AS_STORED)
    if values is None:
        raise SourceError(
            f"{path} cannot be read as a picture: it is damaged, or this OpenCV has no decoder for it. "
            "Replace the file."
        )
    colour = _eight_bits(path, values)
    stored = decoded(content, cv2.IMREAD_UNCHANGED) if _may_be_transparent(content) else None
    if stored is None or stored.ndim != 3 or stored.shape[2] != 4:
        return colour
    return _colour_or_alpha(path, colour, _eight_bits(path, stored[:, :, 3]))


def _may_be_transparent(content: bytes) -> bool:
    """Whether to decode again for an alpha channel: not a JPEG, and not a grey PNG (colour type 0)."""
    return not content.startswith(JPEG) and not (content.startswith(PNG) and content[25:26] == b"\0")


def _colour_or_alpha(path: Path, colour: Frame, alpha: Frame) -> Frame:
    """Where the mask is in a picture with transparency.

    An opaque picture is its colours. Where something is transparent and the colour is one and the same, or no
    grey, the mask is the alpha channel. Where both vary they must say the same.
    """
    if (alpha == 255).all():
        return colour
    is_one_colour = bool((colour == colour[:1, :1]).all())
    is_grey = colour.ndim == 2 or bool((colour == colour[:, :, :1]).all())
    if is_one_colour or not is_grey:
        return alpha
    grey = colour if colour.ndim == 2 else colour[:, :, 0]
    if np.array_equal(_spread(grey), _spread(alpha)):
        return np.asarray(grey, np.uint8)
    raise SourceError(
        f"{path} holds one mask in its grey values and another one in its alpha channel. Which is meant "
        f"cannot be known. {GREY_REPAIR}"
    )


def _eight_bits(path: Path, values: Array) -> Frame:
    """Values of another depth as uint8: scaled to 16 bits (0 to 65535), or as they are (0 to 255)."""
    if values.dtype == np.uint8:
        return np.asarray(values, np.uint8)
    if values.dtype == np.uint16 and not (values % 257).any():
        return (values // 257).astype(np.uint8)
    numbers = values.astype(np.float64)
    # NaN compares as unequal and is refused with the rest.
    if not ((numbers >= 0) & (numbers <= 255) & (numbers == np.rint(numbers))).all():
        raise SourceError(
            f"{path} holds {values.dtype} values from {numbers.min():g} to {numbers.max():g}; "
            f"masks of that depth hold 0 to 255 or, in 16 bits, multiples of 257 up to 65535. {GREY_REPAIR}"
        )
    return numbers.astype(np.uint8)


def _grey_from_colours(path: Path, picture: Frame) -> Frame:
    """(H, W) of equal channels, or of black and one other colour, which is foreground. Raises SourceError."""
    if not (picture != picture[:, :, :1]).any():
        return np.ascontiguousarray(picture[:, :, 0])
    packed = picture.astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
    colours, counts = np.unique(packed, return_counts=True)
    others = colours[colours != 0]
    if len(others) == 1:
        return np.where(packed != 0, WHITE, 0).astype(np.uint8)
    order = np.argsort(-counts)[:4]
    seen = ", ".join(f"#{int(colours[i]):06x} ({int(counts[i])} pixels)" for i in order)
    raise SourceError(
        f"{path} is a picture of {len(colours)} colours, no mask: {seen} (red, green, blue). Which of "
        f"them are foreground cannot be known. {GREY_REPAIR} Or use --layout lasiesta, which reads colours."
    )


def _spread(values: Frame) -> Frame:
    """0 and 255 of a mask that holds 0 and 1; other masks as they are."""
    is_binary = values.size > 0 and int(values.max()) == 1
    return values * np.uint8(255) if is_binary else values


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
