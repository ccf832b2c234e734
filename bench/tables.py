"""Measurements as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from edgebs.machine.cpu import Cpu, Int8
from engines.layers import LayerFacts, share_by


def fps_table(record: Mapping[str, Any]) -> Table:
    """Speed of every bundle and mode, PyTorch and the paper below."""
    height, width = record["size"]
    table = Table(title=f"camera to mask, {width}x{height}, median of {record['repeats']} repeats")
    for column in ("bundle", "mode", "fps", "x PyTorch", "x paper"):
        table.add_column(column, justify="left" if column in ("bundle", "mode") else "right")
    for column in ("p50 ms", "p90", "p99", "read", "pre", "cue", "segment", "post", "peak MB"):
        table.add_column(column, justify="right")
    for run in record["runs"]:
        name = run["bundle"] if run["trained"] else f"{run['bundle']} (untrained)"
        table.add_row(name, run["mode"], *_speed(run), *_times(run), f"{run['peak_rss_mb']:.0f}")
    for base in _baselines(record):
        table.add_row(base["name"], "sequential", f"{base['fps']:.2f}", "1.0", "", *_times(base), "")
    paper = record["paper"]
    table.add_row("the paper, two GTX 2080 Ti", "", f"{paper['fps']:.2f}", "", "1.0")
    machine = record["machine"]
    table.caption = (
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_average']} at the end; "
        f"{record['source']}. x paper: the same segmenter; the paper's flow is selflow."
    )
    table.caption += "".join(f"\n{line}" for line in _gpu_lines(record))
    for warning in record["warnings"]:
        table.caption += f"\nDoubtful, {warning}."
    return table


def _gpu_lines(record: Mapping[str, Any]) -> list[str]:
    """State of the GPU during the run, and device time of each plan, as far as they were measured."""
    lines = [
        f"{run['bundle']} {run['mode']}, device time by events: "
        + ", ".join(f"{stage} {ms:.2f} ms" for stage, ms in run["device_ms"].items())
        for run in record["runs"]
        if "device_ms" in run
    ]
    for bundle, networks in record.get("trtexec", {}).items():
        for name, found in networks.items():
            took = f"{found['gpu_compute_ms']['p50']:.2f} ms" if "tool" in found else found["failure"]
            lines.append(f"{bundle}, {name} by {found.get('tool', 'trtexec')}: {took}")
    gpu = record.get("gpu")
    if gpu is not None:
        units = {"utilisation_percent": "% busy", "clock_mhz": "MHz", "temperature_c": "C", "power_w": "W"}
        figures = [f"{gpu[key]['p50']:.0f} {unit}" for key, unit in units.items() if key in gpu]
        lines.append(f"{gpu['what']}: {', '.join(figures)}")
    return lines


def _baselines(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    base = record["baseline"]
    return [] if base is None else [base, *base["others"]]


def _speed(run: Mapping[str, Any]) -> tuple[str, str, str]:
    times, paper = run["times_baseline"], run["times_paper"]
    return f"{run['fps']:.2f}", f"{times:.1f}" if times else "", f"{paper:.1f}" if paper else ""


def _times(run: Mapping[str, Any]) -> list[str]:
    latency, stages = run["latency_ms"], run["stages_ms"]
    return [f"{latency[key]:.1f}" for key in ("p50", "p90", "p99")] + [
        f"{stages[stage]:.2f}" for stage in ("read", "pre", "cue", "segment", "post")
    ]


def parity_table(name: str, result: Mapping[str, Any]) -> Table:
    """The three levels of one bundle's parity and its gate."""
    table = Table(title=f"parity of {name} against PyTorch FP32, {result['frames']} frames")
    for column in ("level", "what", "value"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for network, error in result["networks"].items():
        unit = " px" if network == "cue" else ""
        for key in ("max_abs", "mean_abs", "cosine"):
            value = f"{error[key]:.6f}" if key == "cosine" else f"{error[key]:.3g}{unit}"
            table.add_row(f"network {network}", key, value)
    for key in ("mask_iou", "flip_rate", "foreground_share"):
        table.add_row("pipeline", key, f"{result['pipeline'][key]:.4g}")
    for key, value in (result["task"] or {}).items():
        table.add_row("task", key, f"{value:.4f}")
    if result["precision"] == "int8":
        table.add_row("arithmetic", "INT8 sums on this CPU", Int8(result["cpu"]["int8"]).words)
    table.add_row("gate", result["gate"], f"{result['value']:.3g}: {verdict(result)}")
    return table


def verdict(result: Mapping[str, Any]) -> str:
    """Passed, FAILED, or reported (untrained) if the gate is not enforced."""
    if not result["enforced"]:
        return "reported (untrained)"
    return "passed" if result["passed"] else "FAILED"


def bundle_table(manifest: Mapping[str, Any], cpu: Cpu | None = None) -> Table:
    """A manifest, for `edgebs inspect`. cpu: of this machine; its INT8 arithmetic is added."""
    table = Table(title=manifest["name"], show_header=False)
    height, width = manifest["size"]
    rows = {
        "model": manifest["model"] + ("" if manifest["trained"] else " (untrained)"),
        "target, precision": f"{manifest['target']}, {manifest['precision']}",
        "network size": f"{width}x{height} (width x height)",
        "threshold": f"{manifest['threshold']:g}",
        "clean-up": _cleanup(manifest["cleanup"]),
        "cue": _cue(manifest["cue"]),
    }
    for name, network in manifest["networks"].items():
        rows[f"network {name}"] = (
            f"{network['file']}: {network['description']['network']}, {network['parameters']:,} parameters, "
            f"{network['gflop']:.1f} GFLOP, {network['backend']} {network['precision']}, "
            f"floating point in {network['compute']}"
        )
        rows[f"weights {name}"] = _weights(manifest["weights"][name])
    if manifest.get("choice"):
        rows["precision chosen"] = _choice(manifest["choice"])
    rows["calibration"] = _calibration(manifest["calibration"])
    rows["built for"] = _build(manifest["build"])
    if cpu is not None and any(network["backend"] == "openvino" for network in manifest["networks"].values()):
        rows["INT8 on this CPU"] = f"{cpu.int8.words}; {cpu.instruction_sets}"
    rows["files"] = "\n".join(
        f"{name}: {facts['bytes'] / 1e6:.1f} MB, SHA-256 {facts['sha256'][:16]}…"
        for name, facts in manifest["files"].items()
    )
    rows["parity"] = _parity(manifest["parity"])
    tools = ", ".join(f"{tool} {version}" for tool, version in manifest["tools"].items())
    rows["made"] = f"{manifest['created']} by {tools}"
    for key, value in rows.items():
        table.add_row(key, value)
    return table


def _cue(cue: Mapping[str, Any]) -> str:
    by = f"{cue['kind']} by {cue['provider']} {cue['preset']}".strip()
    if not cue["intervals"]:
        again = f"every {cue['refresh_s']:g} s" if cue.get("refresh_s") else "with every frame"
        return f"{by}, {cue['maps']} channels from {cue['references']} frames, computed again {again}"
    return (
        f"{by}, intervals {cue['intervals']} at {cue['nominal_fps']:g} fps, "
        f"saturates at {cue['max_magnitude']:g} px"
    )


def _choice(why: Mapping[str, Any]) -> str:
    """How `auto` chose, and for each network its precision and why it is not another."""
    lines = [f"by {why['by']}"]
    for name, network in why["networks"].items():
        times = ", ".join(f"{key} {ms:.2f} ms" for key, ms in (network["times_ms"] or {}).items())
        line = f"{name} {network['chosen']}" + (f" ({times})" if times else "")
        if network["layers_in_floating_point"]:
            line += f", in floating point: {', '.join(network['layers_in_floating_point'])}"
        lines += [line, *(f"  not {key}: {reason}" for key, reason in network["not_chosen"].items())]
    return "\n".join(lines)


def _cleanup(settings: Mapping[str, int]) -> str:
    if not any(settings.values()):
        return "off"
    specks, holes = settings["speck_px"], settings["hole_px"]
    return f"specks under {specks} and holes under {holes} pixels of the camera's picture"


def _parity(parity: Mapping[str, Any] | None) -> str:
    if parity is None:
        return "never checked"
    checked = f" ({parity['checked']})" if "checked" in parity else ""
    return f"{parity['gate']}: {parity['value']:.3g}, {verdict(parity)}{checked}"


def _weights(origin: Mapping[str, Any]) -> str:
    where = origin["file"] or f"random, seed {origin['seed']}"
    note = f"; {origin['note']}" if origin.get("note") else ""
    return (
        f"{where}, {'trained' if origin['trained'] else 'untrained'}, SHA-256 {origin['sha256'][:16]}…{note}"
    )


def _calibration(facts: Mapping[str, Any] | None) -> str:
    if facts is None:
        return "none"
    sources = ", ".join(f"{source['samples']} of {source['name']}" for source in facts["sources"])
    return f"{facts['frames']} frames ({sources}), intervals {facts['intervals']}, hash {facts['hash'][:16]}…"


def _build(facts: Mapping[str, Any] | None) -> str:
    if facts is None:
        return "any machine with its runtime"
    return (
        f"compute capability {facts['compute_capability']}, {facts['module']} {facts['tensorrt']}, "
        f"{facts['platform']} {facts['gpu']}".rstrip()
    )


def models_table(listing: Mapping[str, Any]) -> Table:
    """Models that can be exported, and those that are shipped."""
    table = Table(title="models (GFLOP of a frame at that size; a background that is kept is not counted)")
    for column in ("name", "kind", "parameters", "GFLOP", "size", "history", "trained", "what"):
        table.add_column(column, justify="right" if column in ("parameters", "GFLOP") else "left")
    for kind in ("models", "flows", "shipped"):
        for name, facts in listing[kind].items():
            table.add_row(
                name,
                kind.removesuffix("s"),
                f"{facts['parameters']:,}",
                f"{facts['gflop']:.1f}",
                "x".join(map(str, reversed(facts["size"]))),
                f"{facts['history_frames']} frames",
                {True: "yes", False: "no", None: "-"}[facts["trained"]],
                _shipped(facts) if kind == "shipped" else facts["what"],
            )
    measured = [facts["measured"] for facts in listing["shipped"].values() if facts["measured"]]
    if measured:
        cpus = {speed["cpu"] for facts in measured for speed in facts["fps"].values()}
        table.caption = (
            f"F: mean of {measured[0]['sequences']} real sequences. fps: camera to mask, 640x360, two cores, "
            f"{' and '.join(sorted(cpus))}."
        )
    if not listing["shipped"]:
        table.caption = (
            "no trained model ships with this version: --weights FILE, or --weights random to measure"
        )
    return table


def choice_table(listing: Mapping[str, Any]) -> Table | None:
    """Which model of a family to take, and what was measured of it; None where nothing was."""
    choices = listing["take_when"]
    if not choices:
        return None
    table = Table(title="which to take")
    kinds = sorted({kind for facts in choices.values() for kind in facts["fps"]})
    for column in ("model", "take it", "F", *(f"fps, {kind.upper()}" for kind in kinds), "CPU"):
        table.add_column(column, justify="right" if column[0] in "Ff" else "left")
    for name, facts in choices.items():
        speeds = facts["fps"]
        cpus = sorted({speed["cpu"] for speed in speeds.values()})
        table.add_row(
            name,
            facts["when"],
            f"{facts['F']:.3f}",
            *(f"{speeds[kind]['fps']:.0f}" if kind in speeds else "–" for kind in kinds),
            " and ".join(cpus) or "–",
        )
    sequences = next(iter(choices.values()))["sequences"]
    table.caption = (
        f"F: mean of {sequences} real sequences. fps: camera to mask, 640x360, two cores of the CPU named. "
        "AVX2: a CPU without VNNI, or limited to AVX2. Details: docs/models."
    )
    return table


def _shipped(facts: Mapping[str, Any]) -> str:
    measured = facts["measured"] or {}
    parts = [facts["model"], facts["target"], facts["precision"], f"{facts['bytes'] / 1e6:.1f} MB"]
    parts += [f"F {measured['F']:.3f}"] if measured else []
    parts += [f"{speed['fps']:.0f} fps ({kind.upper()})" for kind, speed in measured.get("fps", {}).items()]
    return ", ".join(parts)


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
    """A measure for people; a dash if it is undefined."""
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
