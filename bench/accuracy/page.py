"""The result of `edgebs eval` as one HTML file: tables, curves and pictures, nothing loaded from outside."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from bench.accuracy.pictures import (
    COLOURS,
    LEGEND,
    UNSCORED,
    ShownFrame,
    ShownMask,
    require_free,
    shown_frames,
)
from bench.accuracy.score import SequenceScore
from bench.scored import Sequence as ScoredSequence
from bench.tables import COLUMNS, average_row, averages, figure, label, notes_on
from edgebs.errors import SinkError
from edgebs.files import atomic_file
from edgebs.text import PRINTABLE
from edgebs.version import __version__

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


STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; }
h2 { font-size: 1.25em; margin-top: 2em; }
h3 { font-size: 1.05em; margin-bottom: .3em; }
table { border-collapse: collapse; margin: .8em 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid rgba(127, 127, 127, .35); }
th:first-child, td:first-child, td.by, th.by { text-align: left; }
tr.first td { border-top: 2px solid rgba(127, 127, 127, .6); }
.scroll { overflow-x: auto; } .side { display: flex; flex-wrap: wrap; gap: 1em; }
figure { margin: .4em 0 1em; break-inside: avoid; }
figure .row { display: flex; flex-wrap: wrap; gap: 8px; }
figure .row div { max-width: 360px; flex: 0 1 270px; font-size: .85em; }
img, svg { max-width: 100%; height: auto; display: block; }
.key { display: inline-block; width: .9em; height: .9em; margin: 0 .35em 0 1em; vertical-align: -.08em; }
.green { background: rgb(60, 200, 60); }
.red { background: rgb(230, 40, 40); }
.blue { background: rgb(30, 140, 255); }
.dark { background: rgb(40, 40, 40); }
small, .small { font-size: .87em; opacity: .85; }
@media print { :root { color-scheme: light; } body { max-width: none; margin: 0; font-size: 11px; } }
"""


class Report:
    """Collects the pictures while sequences are scored, and is written once at the end."""

    def __init__(self, path: Path, *, force: bool = False) -> None:
        """Raises SinkError where `path` exists and `force` is false, before an hour is spent on scoring."""
        if path.is_dir():
            raise SinkError(f"{path} is a folder. Name a file for the report, {path / 'report.html'} say.")
        require_free(path, force)
        self.path = path
        self._force = force
        self._shown: dict[str, list[ShownFrame]] = {}

    def add(self, sequence: ScoredSequence, row: Sequence[SequenceScore]) -> None:
        """Take the pictures of one sequence; the masks of `row` must still be kept."""
        self._shown[sequence.name] = shown_frames(sequence, row)

    def write(self, record: Mapping[str, Any]) -> None:
        """Write the page of an evaluation record, whole or not at all. Raises SinkError."""
        page = report_page(record, self._shown)
        with atomic_file(self.path, SinkError, force=self._force) as temporary:
            temporary.write_text(page, encoding="utf-8", errors=PRINTABLE)


def report_page(record: Mapping[str, Any], shown: Mapping[str, Sequence[ShownFrame]]) -> str:
    """The page as text. record: of `bench.accuracy.evaluate`. shown: pictures by sequence."""
    contestants = {**record["bundles"], **record["peers"]}
    title = f"edgebs eval: {', '.join(record['bundles'])} on {Path(record['data']['root']).name}"
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            f'<p class="small">{escape(_circumstances(record))}</p>',
            "<h2>In short</h2>",
            *_summary(contestants),
            bars("F by sequence", _f_by_sequence(contestants), list(contestants)),
            "<h2>Each sequence</h2>",
            *_measures(contestants),
            "<h2>Curves</h2>",
            *_curves(record),
            "<h2>Frames to look at</h2>",
            *_pictures(shown, contestants),
            "<h2>What the figures mean</h2>",
            *_meaning(record),
            "</body></html>",
            "",
        ]
    )


def _circumstances(record: Mapping[str, Any]) -> str:
    machine = record["machine"]
    return (
        f"{record['data']['frames']} frames of {record['data']['root']} (layout "
        f"{', '.join(record['data']['layouts'])}), {record['date']}, {machine['cpu']}, "
        f"{machine['cores']} cores, load {machine['load_average']} at the end, edgebs {__version__}."
    )


def _summary(contestants: Mapping[str, Any]) -> Iterator[str]:
    head = ("by", "mean F", "mean Pr", "mean Re", "pooled F", "Mean Dice", "average precision", "fps")
    yield '<div class="scroll"><table><tr>' + "".join(f"<th>{name}</th>" for name in head) + "</tr>"
    for name, result in contestants.items():
        sweep = result["sweep"]
        cells = [
            escape(label(name, result)),
            *(figure(result["mean"][measure], measure) for measure in ("F", "Pr", "Re")),
            figure(result["pooled"]["F"], "F"),
            figure(result["mean_dice"], "dice"),
            figure(sweep["average_precision"] if sweep else None, "AP"),
            f"{result['fps']:.1f}" if result["fps"] else "",
        ]
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
    yield "</table></div>"


def _f_by_sequence(contestants: Mapping[str, Any]) -> dict[str, list[float | None]]:
    first = next(iter(contestants.values()))
    return {
        sequence: [result["sequences"][sequence]["F"] for result in contestants.values()]
        for sequence in first["sequences"]
    }


def _measures(contestants: Mapping[str, Any]) -> Iterator[str]:
    head = ("sequence", "by", *COLUMNS, "dice", "frames", "fps")
    yield '<div class="scroll"><table><tr>'
    yield "".join(f'<th class="{"by" if name == "by" else ""}">{name}</th>' for name in head) + "</tr>"
    first = next(iter(contestants.values()))
    rows = [(name, ("sequences", name)) for name in first["sequences"]] + list(averages(first))
    for title, key in rows:
        for place, (name, result) in enumerate(contestants.items()):
            row = average_row(result, key)
            cells = [
                *(figure(row[column], column) for column in COLUMNS),
                figure(row["mean_dice"], "dice") if "mean_dice" in row else "",
                str(row.get("frames", "")),
                f"{row['fps']:.1f}" if row.get("fps") else "",
            ]
            yield (
                f'<tr class="{"" if place else "first"}"><td>{"" if place else escape(title)}</td>'
                f'<td class="by">{escape(label(name, result))}</td>'
                + "".join(f"<td>{cell}</td>" for cell in cells)
                + "</tr>"
            )
    yield "</table></div>"


def _curves(record: Mapping[str, Any]) -> Iterator[str]:
    precision: list[Line] = []
    thresholds: list[Line] = []
    for place, (name, result) in enumerate({**record["bundles"], **record["peers"]}.items()):
        colour = colour_of(place)
        pooled = result["pooled"]
        here = [(pooled["Re"] or 0.0, pooled["Pr"] or 0.0)]
        if result["sweep"]:
            curve = result["sweep"]["curve"]
            both = zip(curve["pooled_recall"], curve["pooled_precision"], strict=True)
            points = [point for point in both if point[0] > 0] or [(0.0, 0.0)]
            precision.append(Line(name=name, colour=colour, points=points))
            thresholds += _threshold_lines(name, colour, result)
            said = f"{name} at its threshold {result['threshold']:g}"
            precision.append(Line(name=said, colour=colour, points=here))
        else:
            precision.append(Line(name=name, colour=colour, points=here, is_dashed=True))
    yield '<div class="side">'
    yield plot("Precision over recall, pooled pixels", "recall (pooled)", "precision (pooled)", precision)
    if thresholds:
        yield plot("F over threshold", "threshold", "F", thresholds)
    yield "</div>"
    for name, result in record["bundles"].items():
        best = result["sweep"]["best_threshold"] if result["sweep"] else None
        if best:
            yield (
                f"<p>{escape(name)}: best mean F {best['mean_F']:.3f} at threshold {best['threshold']:.3f}; "
                f"its own {result['threshold']:g} gives {figure(result['mean']['F'], 'F')}. The best one is "
                "told, not used: it is chosen on the frames that it is scored on. Curves are of the "
                "probability, before any clean-up of masks.</p>"
            )


def _threshold_lines(name: str, colour: str, result: Mapping[str, Any]) -> list[Line]:
    curve, best = result["sweep"]["curve"], result["sweep"]["best_threshold"]
    return [
        Line(
            name=f"{name}, mean over sequences",
            colour=colour,
            points=list(zip(curve["threshold"], curve["mean_F"], strict=True)),
        ),
        Line(
            name=f"{name}, pooled pixels",
            colour=colour,
            points=list(zip(curve["threshold"], curve["pooled_F"], strict=True)),
            is_dashed=True,
        ),
        Line(
            name=f"{name}, best mean",
            colour=colour,
            points=[(best["threshold"], best["mean_F"])],
            is_dashed=True,
        ),
    ]


def _pictures(shown: Mapping[str, Sequence[ShownFrame]], contestants: Mapping[str, Any]) -> Iterator[str]:
    keys = "".join(f'<span class="key {name}"></span>{escape(what)}' for name, what in LEGEND.items())
    yield f'<p>{keys}<span class="key dark"></span>{UNSCORED}</p>'
    yield (
        f"<p>Chosen by the masks of {escape(next(iter(contestants)))}: its worst frames with foreground, "
        "some way apart, the median and the best one, and the frame without foreground that has most false "
        "alarms.</p>"
    )
    for sequence, frames in shown.items():
        yield f"<h3>{escape(sequence)}</h3>"
        for frame in frames:
            yield f"<figure><figcaption>{escape(frame.why)}: {escape(frame.file)}</figcaption>"
            yield f'<div class="row"><div>{_image(frame.jpeg, frame.file)}frame</div>'
            for name, mask in zip(contestants, frame.masks, strict=True):
                alt = f"{name} on {frame.file}"
                yield f"<div>{_image(mask.jpeg, alt)}{escape(name)}: {_caption(mask)}</div>"
            yield "</div></figure>"


def _caption(mask: ShownMask) -> str:
    counts = mask.score.counts
    wrong = f"{counts.fp} px false, {counts.fn} px missed"
    return f"F {counts.f_measure:.3f}, {wrong}" if counts.tp + counts.fn else wrong


def _image(jpeg: bytes, alt: str) -> str:
    data = b64encode(jpeg).decode("ascii")
    return f'<img alt="{escape(alt)}" src="data:image/jpeg;base64,{data}">'


def _meaning(record: Mapping[str, Any]) -> Iterator[str]:
    yield "<ul>"
    for name, what in record["averaging"].items():
        yield f"<li><b>{escape(name.replace('_', ' '))}</b>: {escape(what)}.</li>"
    for line in notes_on(record):
        yield f"<li>{escape(line)}</li>"
    yield "</ul>"
