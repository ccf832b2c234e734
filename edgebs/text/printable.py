"""Text as every stream, and every reader of JSON, takes it.

A file name is bytes. Bytes that are not text in this locale reach Python as surrogates (`caf\\udce9.mp4`),
which no encoding can write; and a stream in the C locale takes ASCII alone. What cannot be written is escaped
as in Python: `caf\\xe9.mp4`.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from edgebs.text.addresses import without_secrets

PRINTABLE = "edgebs.text.printable"
"""An error handler, for `str.encode` and for streams."""
_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(map(_shown, characters)), error.end


def _shown(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error(PRINTABLE, _escaped)


def printable(text: str) -> str:
    """The text as valid Unicode: bytes of file names that are none, as `\\xe9`."""
    return text.encode("utf-8", PRINTABLE).decode("utf-8")


def make_printable(stream: TextIO) -> None:
    """Let a stream escape the characters that it cannot encode, where it can be told to."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors=PRINTABLE)


def json_text(data: Any, *, indent: int | None = 2, allow_nan: bool = True) -> str:
    """JSON in ASCII, its strings valid Unicode and without the secrets of addresses; ends with a newline.

    Values that JSON does not have, such as paths, are written as their text.
    """
    return json.dumps(_plain(data), indent=indent, allow_nan=allow_nan) + "\n"


def path_from_text(text: str) -> Path:
    """The path that `printable` or `json_text` made `text` of, where that one exists."""
    path = Path(text)
    if _BYTE.search(text) is None or path.exists():
        return path
    name = _BYTE.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text)
    # Through bytes: in another locale the same bytes are other characters.
    return Path(os.fsdecode(name.encode("utf-8", "surrogateescape")))


def _plain(data: Any) -> Any:
    if data is None or isinstance(data, bool | int | float):
        return data
    if isinstance(data, Mapping):
        return {_key(name): _plain(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    return printable(without_secrets(str(data)))


def _key(name: Any) -> Any:
    return printable(without_secrets(name)) if isinstance(name, str) else name
