"""A scratch folder for files of gigabytes, on the disk where the result will lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgebs.errors import ExportError
from edgebs.files.atomic import scratch_folder
from edgebs.files.paths import library_path


@contextmanager
def work_folder(file: Path) -> Iterator[Path]:
    """A temporary folder beside `file`: what is finished there can be renamed to `file` and appears whole.

    Its path is one that every library takes (edgebs.files.paths).
    Raises ExportError for every OSError inside the block: a full disk, a folder that is missing or read-only.
    """
    try:
        with scratch_folder(file) as made, library_path(made.resolve(), ExportError) as folder:
            yield folder
    except OSError as error:
        reason = error.strerror or error
        raise ExportError(
            f"{file} cannot be written: {reason}. Free space or choose a writable place."
        ) from error
