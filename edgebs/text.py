"""Text that may be shown: printable, without secrets.

Cameras carry secrets in the name of the source: `rtsp://user:password@host`, `?token=...`, the Chinese
recorders' `/user=admin_password=...`, GStreamer's `user-pw=...`. Every text that leaves the process passes
`without_secrets`; `source_name` names a source.

A file name is bytes. Bytes that are not text in this locale reach Python as surrogates (`caf\\udce9.mp4`),
which no encoding can write, and a stream in the C locale takes ASCII alone. `printable` escapes them as
Python does: `caf\\xe9.mp4`.
"""

from __future__ import annotations

import codecs
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

HIDDEN = "***"

_SECRET_WORDS = (
    "pass", "pas=", "pwd", "psw", "psk", "pw", "secret", "token", "key", "auth", "sig", "cred", "cookie",
    "session", "hmac", "jwt", "policy", "login", "pin",
    "otp", "hdn", "ticket", "hash", "code", "header", "userinfo",
)  # fmt: skip
"""Parts of the names of parameters whose values are, or may be, secrets: better one too many."""

_WORDS = "|".join(word.replace("=", r"(?=\s*=|%3D)") for word in _SECRET_WORDS)

# Bounded, so that a long text without an address costs no more than its length.
_NAME = rf"(?:[\w.\-%\[\]]{{0,40}}(?:{_WORDS})[\w.\-\[\]]{{0,40}}|(?<![\w.\-])(?:p|k|s|t|st|sid|uid))"

# A value without `name=` after the next & belongs to the secret before: an & in a password.
_VALUE = r"[^&\s]+(?:&[^=&\s]*(?=&|\s|$))*"
_PARAMETER = re.compile(rf"(?i)({_NAME})(=|%3D)({_VALUE})")

# A value may be quoted, and so may the whole of `"name=value"`.
_PROPERTY = re.compile(
    rf"""(?i)({_NAME})(\s*=\s*(?:\([\w/]+\)\s*)?)("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(?:\\.|[^\s\\])+)"""
)

# Path("rtsp://host") has one slash.
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]{1,20}:/{1,3}"
_ADDRESS = re.compile(rf"({_SCHEME})(\S+)")
_WHOLE_ADDRESS = re.compile(rf"(?s)\s*({_SCHEME})(.+)")
_ENCODED = re.compile(r"(?i)(%3A%2F%2F)([^&\s]*)(%40)")
_QUOTED_ADDRESS = re.compile(rf"""(["'])({_SCHEME})((?:\\.|(?!\1).)+)\1""")
_BARE = re.compile(r"(?s)((?://)?[^\s/:@]*):(.+)@(?=[\w\[])")
_PIPE = " ! "
_TRAILING = re.compile(r"""['")\],.;:>]*$""")


def without_secrets(text: str) -> str:
    """The text with the secrets of every address and GStreamer pipeline in it replaced by ***.

    An address ends at the next white space; `source_name` handles addresses that contain white space.
    """
    if _PIPE in text:
        text = _QUOTED_ADDRESS.sub(lambda found: f"{found[1]}{found[2]}{_rest(found[3])}{found[1]}", text)
        text = _PROPERTY.sub(rf"\1\2{HIDDEN}", text)
    return _ADDRESS.sub(lambda found: found[1] + _rest(found[2]), text)


def source_name(spec: str | Path | int) -> str:
    """What a source is called in messages, records and summaries: the name typed, without its secrets."""
    text = str(spec)
    whole = _WHOLE_ADDRESS.fullmatch(text)
    if _PIPE in text:
        return without_secrets(text)
    if whole is not None:
        # All of it is one address: white space belongs to a password.
        return whole[1] + _rest(whole[2], is_whole=True)
    if _BARE.match(text) is None or Path(text).exists():
        return text
    return _BARE.sub(rf"\1:{HIDDEN}@", text, count=1)  # an address without its scheme


def reason_without_secrets(error: object, spec: str | Path | int) -> str:
    """A library's error text, which may repeat the source `spec` as it was given."""
    text, typed, name = str(error), str(spec), source_name(spec)
    for form in (typed, repr(typed)[1:-1]):  # OSError repeats a name as Python would type it
        text = text.replace(form, name)
    return without_secrets(text)


def _rest(rest: str, *, is_whole: bool = False) -> str:
    """What follows scheme://, without user's password and secret parameters."""
    at = rest.rfind("@")
    if at >= 0:
        before = rest[:at]
        user, colon, _ = before.partition(":")
        if colon and "/" not in user and "?" not in user:
            rest = f"{user}:{HIDDEN}{rest[at:]}"
        elif "/" not in before:  # a token in the place of the user
            rest = f"{HIDDEN}{rest[at:]}"
    # An address in a parameter of another one: a proxy's ?source=rtsp://user:password@host.
    rest = _ADDRESS.sub(lambda found: found[1] + _rest(found[2]), rest)
    rest = _ENCODED.sub(rf"\1{HIDDEN}\3", rest)
    if is_whole:
        # White space inside an address is part of a value; put it back where it is part of none.
        rest = re.sub(r"\s", lambda found: f"%{ord(found[0]):02X}", rest)
    return _PARAMETER.sub(_parameter, rest)


def _parameter(found: re.Match[str]) -> str:
    # The quote or the full stop of the sentence around the address.
    trailing = _TRAILING.search(found[3])
    assert trailing is not None
    return f"{found[1]}{found[2]}{HIDDEN}{trailing[0] if len(trailing[0]) < len(found[3]) else ''}"


PRINTABLE = "edgebs.text"
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
    """The text as valid Unicode; other bytes of file names become `\\xe9`."""
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
