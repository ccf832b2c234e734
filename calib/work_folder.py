"""A scratch folder for files of gigabytes, on the disk where the result will lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgebs.atomic import scratch_folder
from edgebs.errors import ExportError


@contextmanager
def work_folder(file: Path) -> Iterator[Path]:
    """A temporary folder beside `file`: what is finished there can be renamed to `file` and appears whole.

    Raises ExportError for every OSError inside the block: a full disk, a folder that is missing or read-only.
    """
    try:
        with scratch_folder(file) as folder:
            yield folder.resolve()
    except OSError as error:
        reason = error.strerror or error
        raise ExportError(
            f"{file} cannot be written: {reason}. Free space or choose a writable place."
        ) from error
