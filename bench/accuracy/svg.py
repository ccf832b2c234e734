"""Curves and bars as SVG text for a page: no script, no font, the page's own text colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#2a7de1", "#e07b00", "#2e9e5b", "#c23a6b", "#8e5bd0", "#6f7d86")
"""Of the contestants in their order; legible on white and on black."""

PLOT = 320
"""Side of a plot's square, in pixels."""
MARGIN = 48
BAR = 11
BAR_WIDTH = 420
NAME_WIDTH = 190


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line or, with one point, a mark; in a plot from 0 to 1 both ways."""

    name: str
    colour: str
    points: Sequence[tuple[float, float]]
    is_dashed: bool = False
    """Drawn dashed; a mark is drawn hollow."""


def colour_of(position: int) -> str:
    """The colour of the contestant in that place."""
    return COLOURS[position % len(COLOURS)]


def plot(title: str, x_name: str, y_name: str, lines: Iterable[Line]) -> str:
    """A square plot over [0, 1] x [0, 1] with its legend below."""
    lines = list(lines)
    height = PLOT + 2 * MARGIN + 16 * len(lines)
    return "\n".join(
        [
            _svg(PLOT + 2 * MARGIN, height, title),
            _text(MARGIN, MARGIN - 16, title, size=14),
            *_grid(),
            _text(MARGIN + PLOT / 2, MARGIN + PLOT + 34, x_name, anchor="middle"),
            f'<text x="14" y="{MARGIN + PLOT / 2}" transform="rotate(-90 14 {MARGIN + PLOT / 2})" '
            f'text-anchor="middle">{escape(y_name)}</text>',
            *(_drawn(line) for line in lines),
            *(_key(line, MARGIN + PLOT + 54 + 16 * place) for place, line in enumerate(lines)),
            "</svg>",
        ]
    )


def bars(title: str, rows: Mapping[str, Sequence[float | None]], names: Sequence[str]) -> str:
    """Horizontal bars in [0, 1]: a group a row, a bar a contestant, the figure at its end."""
    group = BAR * len(names) + 9
    height = group * len(rows) + 24 + 16 * len(names)
    parts = [_svg(NAME_WIDTH + BAR_WIDTH + 60, height, title)]
    for place, (name, values) in enumerate(rows.items()):
        top = 6 + group * place
        middle = top + BAR * len(names) / 2 + 4
        parts.append(_text(NAME_WIDTH - 8, middle, _short(name), anchor="end"))
        for bar, value in enumerate(values):
            y = top + BAR * bar
            width = BAR_WIDTH * (value or 0.0)
            size = f'width="{width:.1f}" height="{BAR - 1}"'
            parts.append(f'<rect x="{NAME_WIDTH}" y="{y}" {size} fill="{colour_of(bar)}"/>')
            said = "–" if value is None else f"{value:.3f}"
            parts.append(_text(NAME_WIDTH + width + 5, y + BAR - 2, said, size=10))
    for place, name in enumerate(names):
        mark = Line(name=name, colour=colour_of(place), points=[(0, 0)])
        parts.append(_key(mark, 6 + group * len(rows) + 16 + 16 * place))
    return "\n".join([*parts, "</svg>"])


def _short(name: str) -> str:
    return name if len(name) <= 30 else f"…{name[-29:]}"


def _svg(width: float, height: float, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(title)}" font-size="12" fill="currentColor">'
        f"<title>{escape(title)}</title>"
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'


def _at(x: float, y: float) -> tuple[float, float]:
    return round(MARGIN + PLOT * x, 1), round(MARGIN + PLOT * (1 - y), 1)


def _grid() -> list[str]:
    parts = []
    for step in range(6):
        value = step / 5
        (x, bottom), (_, top) = _at(value, 0), _at(value, 1)
        (left, y), (right, _) = _at(0, value), _at(1, value)
        style = 'stroke="currentColor" stroke-opacity="0.2"'
        parts.append(f'<line x1="{x}" y1="{bottom}" x2="{x}" y2="{top}" {style}/>')
        parts.append(f'<line x1="{left}" y1="{y}" x2="{right}" y2="{y}" {style}/>')
        parts.append(_text(x, bottom + 16, f"{value:g}", anchor="middle"))
        parts.append(_text(left - 6, y + 4, f"{value:g}", anchor="end"))
    return parts


def _drawn(line: Line) -> str:
    return _stroke(line, [_at(x, y) for x, y in line.points])


def _key(line: Line, y: float) -> str:
    is_mark = len(line.points) == 1
    place = [(MARGIN + 9, y - 4)] if is_mark else [(MARGIN, y - 4), (MARGIN + 18, y - 4)]
    return _stroke(line, place) + _text(MARGIN + 26, y, line.name)


def _stroke(line: Line, points: Sequence[tuple[float, float]]) -> str:
    stroke = f'stroke="{line.colour}" stroke-width="2"'
    if len(points) == 1:
        (x, y) = points[0]
        fill = "none" if line.is_dashed else line.colour
        return f'<circle cx="{x:g}" cy="{y:g}" r="5" fill="{fill}" {stroke}/>'
    dash = ' stroke-dasharray="5 4"' if line.is_dashed else ""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline points="{path}" fill="none" {stroke}{dash}/>'
