"""Writes a picture through memory: OpenCV crashes on a file name that is not UTF-8."""

from __future__ import annotations

from pathlib import Path

import cv2

from edgebs.errors import SinkError
from edgebs.files.atomic import atomic_file
from edgebs.tensors import Array


def write_picture(file: Path, picture: Array) -> None:
    """Write (H, W) grey or (H, W, 3) BGR uint8 in the format of the file's ending, whole or not at all.

    Raises SinkError for an ending that OpenCV does not know, and where the file cannot be written.
    """
    try:
        is_encoded, content = cv2.imencode(file.suffix.lower() or ".", picture)
    except cv2.error:
        is_encoded = False
    if not is_encoded:
        raise SinkError(f"{file} cannot be written as a picture: '{file.suffix}'. Name it .png or .jpg.")
    with atomic_file(file, SinkError) as temporary:
        temporary.write_bytes(content.tobytes())
