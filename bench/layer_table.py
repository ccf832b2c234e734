"""The layers of a network as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from engines.layers import LayerFacts, share_by

MOST_ROWS = 400


def layer_table(title: str, layers: Sequence[LayerFacts]) -> Table:
    """Every layer, in the order of execution; below, what each precision takes."""
    is_timed = any(layer.ms is not None for layer in layers)
    table = Table(
        title=f"{title}: {len(layers)} layers" + (", each timed by its runtime" if is_timed else "")
    )
    for column in ("layer", "kind", "precision", "kernel"):
        table.add_column(column, overflow="fold")
    table.add_column("ms", justify="right")
    for layer in layers[:MOST_ROWS]:
        ms = "" if layer.ms is None else f"{layer.ms:.3f}"
        table.add_row(layer.name, layer.kind, layer.precision or "-", layer.kernel, ms)
    left_out = f" {len(layers) - MOST_ROWS} more layers are in --json." if len(layers) > MOST_ROWS else ""
    table.caption = _precisions(layers, is_timed) + left_out
    return table


def _precisions(layers: Sequence[LayerFacts], is_timed: bool) -> str:
    parts = [
        f"{precision}: {sums['layers']:.0f} layers" + (f", {sums['ms']:.2f} ms" if is_timed else "")
        for precision, sums in share_by(layers, "precision").items()
    ]
    return "; ".join(parts) + "."
