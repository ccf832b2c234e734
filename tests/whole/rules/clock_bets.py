"""Finds tests that bet on the clock, by their syntax: `bets_in(source)`. Used by test_no_clocks.py.

A bet is an assertion about how long something took, or a time limit that a busy machine can miss.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from fakes.process.waiting import WATCHDOG_S

CLOCKS = {"perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "process_time", "thread_time"}
"""Functions of module `time`; `time.time` is recognised by both of its names."""
MEASURED = {"seconds", "elapsed_s", "elapsed_ms", "took_s", "latency_ms", "stages_ms", "fps", "fps_repeats"}
"""Fields and keys that hold a measured time or rate."""
SHORTEST_WATCHDOG_S = WATCHDOG_S / 2
WAITS = {"join": 0, "wait": 0, "wait_for": 1, "communicate": 1, "wait_procs": 1, "acquire": 1}
"""Calls that take a limit in seconds, and its place among the arguments; everywhere also as `timeout`."""
ORDERINGS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@dataclass(frozen=True, slots=True)
class Bet:
    """One place where the outcome of a test depends on speed."""

    line: int
    test: str
    """The function that encloses it, "" at the top of a module."""
    why: str


def bets_in(source: str) -> list[Bet]:
    """Every bet on the clock in a module's source, in order."""
    tree = ast.parse(source)
    timed = _timed_names(tree)
    found: list[Bet] = []
    for test, node in _with_function(tree, ""):
        if isinstance(node, ast.Assert) and _is_timed(node.test, timed):
            found.append(Bet(node.lineno, test, "asserts what a clock said"))
        elif isinstance(node, ast.Assert) and _compares_measured(node.test):
            found.append(Bet(node.lineno, test, "compares a measured time or rate"))
        elif isinstance(node, ast.Call | ast.BinOp) and (limit := _limit_of(node)) is not None:
            found.append(Bet(node.lineno, test, f"gives up after {limit:g} s"))
        elif isinstance(node, ast.JoinedStr) and any(_has_clock(part) for part in node.values):
            # What a program does with the clock cannot be seen in its pieces.
            found.append(Bet(node.lineno, test, "a piece of a program with a clock in it"))
        elif isinstance(node, ast.Constant) and re.search(r"--minutes[ =]\d", str(node.value)):
            found.append(Bet(node.lineno, test, "trains by the clock: --steps counts"))
        elif isinstance(node, ast.Constant) and _has_clock(node):
            found.extend(_bets_in_program(node, test))
    return found


def _with_function(node: ast.AST, test: str) -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue  # a docstring
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        inside = child.name if is_function and not test else test  # type: ignore[attr-defined]
        yield inside, child
        yield from _with_function(child, inside)


def _is_clock(node: ast.AST) -> bool:
    """Whether it calls a clock: time.monotonic(), or perf_counter() imported by name."""
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    if isinstance(called, ast.Attribute):
        is_of_time = isinstance(called.value, ast.Name) and called.value.id == "time"
        return is_of_time and (called.attr in CLOCKS or called.attr in ("time", "time_ns"))
    return isinstance(called, ast.Name) and called.id in CLOCKS


def _is_timed(node: ast.AST, timed: set[str]) -> bool:
    """Whether the expression holds a clock's value, or a name or function that carries one."""
    return any(
        _is_clock(part) or (isinstance(part, ast.Name) and part.id in timed) for part in ast.walk(node)
    )


def _timed_names(tree: ast.Module) -> set[str]:
    """Names of variables that are assigned from a clock, and of functions that return what it said."""
    timed: set[str] = set()
    while True:
        before = len(timed)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if _is_timed(node.value, timed):
                    timed |= {name.id for target in targets for name in ast.walk(target) if _is_stored(name)}
            elif isinstance(node, ast.FunctionDef) and _returns_time(node, timed):
                timed.add(node.name)
        if len(timed) == before:
            return timed


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _returns_time(function: ast.FunctionDef, timed: set[str]) -> bool:
    returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
    return any(_is_timed(value, timed) for value in returned)


def _compares_measured(test: ast.expr) -> bool:
    """Whether a measured quantity is put in order with anything but the number 0."""
    for node in ast.walk(test):
        if isinstance(node, ast.Compare) and any(isinstance(op, ORDERINGS) for op in node.ops):
            sides = [node.left, *node.comparators]
            others = [side for side in sides if not _is_measured(side)]
            if len(others) < len(sides) and not (others and all(map(_is_zero, others))):
                return True
    return False


def _is_measured(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("set", "len"):
        return False  # which times there are, not how long they are
    names = {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
    keys = [part.slice for part in ast.walk(node) if isinstance(part, ast.Subscript)]
    return bool((names | {key.value for key in keys if isinstance(key, ast.Constant)}) & MEASURED)


def _is_zero(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0


def _limit_of(node: ast.Call | ast.BinOp) -> float | None:
    """The seconds after which a call, or a sum of a clock and seconds, gives up: where they are too few."""
    limits: list[ast.expr] = []
    if isinstance(node, ast.BinOp):
        sides = [node.left, node.right]
        limits = sides if isinstance(node.op, ast.Add) and any(map(_is_clock, sides)) else []
    else:
        place = WAITS.get(node.func.attr) if isinstance(node.func, ast.Attribute) else None
        limits = node.args[place : place + 1] if place is not None else []
        limits += [keyword.value for keyword in node.keywords if keyword.arg == "timeout"]
    return next((seconds for limit in limits if (seconds := _too_short(limit)) is not None), None)


def _too_short(node: ast.AST) -> float | None:
    is_number = isinstance(node, ast.Constant) and isinstance(node.value, int | float)
    if not is_number or isinstance(node.value, bool):  # type: ignore[attr-defined]
        return None
    return float(node.value) if node.value < SHORTEST_WATCHDOG_S else None  # type: ignore[attr-defined]


def _has_clock(node: ast.AST) -> bool:
    """Whether it is a string that calls a clock."""
    text = node.value if isinstance(node, ast.Constant) else None
    return isinstance(text, str) and any(f"{name}(" in text for name in (*CLOCKS, "time.time"))


def _bets_in_program(node: ast.Constant, test: str) -> list[Bet]:
    """Bets in a string that is a program for another process."""
    try:
        inside = bets_in(str(node.value))
    except SyntaxError:
        return [Bet(node.lineno, test, "a piece of a program with a clock in it")]
    return [Bet(node.lineno + bet.line - 1, test, f"in a program: {bet.why}") for bet in inside]
