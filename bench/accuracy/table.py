"""The result of `edgebs eval` as a table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

COLUMNS = ("F", "Pr", "Re", "PWC", "Sp", "FPR", "FNR")


def eval_table(record: Mapping[str, Any]) -> Table:
    """Each sequence with every contestant, then the averages by name."""
    contestants = {**record["bundles"], **record["peers"]}
    scored = next(iter(contestants.values()))["frames"]
    table = Table(title=f"{record['data']['root']}: {record['data']['frames']} frames, {scored} scored")
    for column in ("sequence", "by"):
        table.add_column(column)
    for column in (*COLUMNS, "dice", "frames", "fps"):
        table.add_column(column, justify="right")
    for sequence in next(iter(contestants.values()))["sequences"]:
        for name, result in contestants.items():
            table.add_row(sequence, label(name, result), *_row(result["sequences"][sequence]))
        table.add_section()
    for average, key in averages(next(iter(contestants.values()))):
        for name, result in contestants.items():
            table.add_row(average, label(name, result), *_row(average_row(result, key)))
        table.add_section()
    table.caption = "\n".join([*notes_on(record), *_sweep_lines(record)])
    return table


def notes_on(record: Mapping[str, Any]) -> list[str]:
    """What the figures mean and what is odd about the data, in sentences."""
    machine = record["machine"]
    lines = [
        "F, Pr, Re by pixels; PWC in percent. mean: unweighted over sequences; pooled: all pixels together; "
        "dice: mean over frames with foreground.",
        f"fps: {record['speed']}; {machine['cpu']}, {machine['cores']} cores, "
        f"load {machine['load_average']} at the end.",
    ]
    lines += [f"{name}: {result['what']}." for name, result in record["peers"].items()]
    lines += [f"{name}: {'; '.join(notes)}." for name, notes in record["data"]["notes"].items()]
    return lines


def _sweep_lines(record: Mapping[str, Any]) -> Iterator[str]:
    for name, result in record["bundles"].items():
        if result["sweep"]:
            best = result["sweep"]["best_threshold"]
            yield (
                f"{name}: threshold {result['threshold']:g}; average precision "
                f"{result['sweep']['average_precision']:.3f} pooled; best threshold in hindsight "
                f"{best['threshold']:.3f}, mean F {best['mean_F']:.3f}."
            )


def label(name: str, result: Mapping[str, Any]) -> str:
    """The contestant's name, and whether its weights mean anything."""
    return name if result.get("trained", True) else f"{name} (untrained)"


def figure(value: float | None, measure: str) -> str:
    """A measure for people; a dash where it says nothing."""
    if value is None:
        return "–"
    return (
        f"{value:.4f}" if measure in ("Sp", "FPR") else f"{value:.2f}" if measure == "PWC" else f"{value:.3f}"
    )


def averages(result: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The averages of a contestant's result: what each is called, and the keys that lead to it."""
    for category in result["categories"]:
        yield f"mean of {category}", ("categories", category)
    if result["categories"]:
        yield "mean of categories", ("mean_of_categories",)
    yield "mean of sequences", ("mean",)
    yield "pooled pixels", ("pooled",)


def average_row(result: Mapping[str, Any], key: tuple[str, ...]) -> dict[str, Any]:
    """The measures that `key` leads to, with what is known of all frames where that is what they are of."""
    row: Any = result
    for step in key:
        row = row[step]
    # Mean Dice and speed are over all frames: they stand beside the pooled pixels, not beside a mean.
    whole = {key: result[key] for key in ("mean_dice", "frames", "fps")} if key == ("pooled",) else {}
    return {**row, **whole}


def _row(row: Mapping[str, Any]) -> list[str]:
    fps = row.get("fps")
    return [
        *(figure(row[column], column) for column in COLUMNS),
        figure(row["mean_dice"], "dice") if "mean_dice" in row else "",
        str(row.get("frames", "")),
        f"{fps:.1f}" if fps else "",
    ]
