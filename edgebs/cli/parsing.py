"""What is typed, as values, and what must not be typed: typer.BadParameter, which ends with exit code 2."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import typer


def finite(value: float | None) -> float | None:
    """Of options that are real numbers: what is none, like nan, is wrong usage."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"expected a number, got {value}")
    return value


def words_of(text: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def counts_of(text: str, option: str) -> tuple[int, ...]:
    """Whole numbers of at least 1 between commas."""
    try:
        counts = tuple(int(word) for word in words_of(text))
    except ValueError as cause:
        raise typer.BadParameter(
            f"expected whole numbers like 1,5,10, got {text!r}", param_hint=option
        ) from cause
    if not counts or min(counts) < 1:
        raise typer.BadParameter(f"expected frame counts of at least 1, got {text!r}", param_hint=option)
    return counts


def intervals_of(text: str | None) -> tuple[int, ...] | None:
    """--intervals, where they were given."""
    return None if text is None else counts_of(text, "--intervals")


def size_of(text: str, option: str = "--size") -> tuple[int, int]:
    """(height, width) of WIDTHxHEIGHT."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f"expected WIDTHxHEIGHT like 256x256, got {text!r}", param_hint=option)
    if max(len(width), len(height)) > 6 or min(int(height), int(width)) < 1:
        raise typer.BadParameter(
            f"both sides must be pixels from 1 to 999999, got {text!r}", param_hint=option
        )
    return int(height), int(width)


def range_of(text: str, *, has_pictures: bool = True) -> tuple[float, float] | None:
    """(low, high) of LOW,HIGH; None of nothing. has_pictures: whether anything is read that it is for."""
    if not text:
        return None
    if not has_pictures:
        raise typer.BadParameter("no effect here: rendered scenes have 8 bits", param_hint="--range")
    try:
        low, high = (float(word) for word in text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise typer.BadParameter(
            f"expected LOW,HIGH like 7000,8500, the lower number first, got {text!r}", param_hint="--range"
        )
    return low, high


def fold_of(text: str) -> tuple[int, int] | None:
    """(K, N) of K/N; None of nothing."""
    k, _, n = text.partition("/")
    if text and not (k.isdecimal() and n.isdecimal()):
        raise typer.BadParameter(f"expected K/N like 1/3, got {text!r}", param_hint="--fold")
    return (int(k), int(n)) if text else None


def given(context: typer.Context, names: Iterable[str]) -> tuple[str, ...]:
    """Those of the parameters `names` that were typed."""
    sources = {name: context.get_parameter_source(name) for name in names}
    return tuple(name for name, source in sources.items() if source and source.name == "COMMANDLINE")


@contextmanager
def options_refused() -> Iterator[None]:
    """What a model does not take is wrong usage: exit code 2 instead of 1."""
    from edgebs.errors import OptionError

    try:
        yield
    except OptionError as error:
        raise typer.BadParameter(str(error)) from error


def refuse_given(context: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse parameters that were typed and would do nothing."""
    for name in given(context, names):
        raise typer.BadParameter(f"no effect here: {why}", param_hint=f"--{name.replace('_', '-')}")
