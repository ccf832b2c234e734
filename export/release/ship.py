"""From trained weights to the bundles inside the package: `python -m export.release.ship WEIGHTS`.

`python -m export.release.ship MODEL` makes the bundle of a shipped model anew, from its shipped weights.

Of every model that is trained on rendered scenes: which one it is stands in the weights' header.

Norms are folded, the threshold is chosen on rendered scenes that no training saw, INT8 is calibrated on
others, and both bundles prove their parity before they replace what was shipped. The FP32 bundle's ONNX files
are at the same time the only copy of the weights: `edgebs export MODEL` reads them back from them. Where a
graph combines its weights they lie beside, as MODEL.safetensors.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench import scenes as seeds
from bench.scored import FOREGROUND, UNKNOWN
from edgebs.bundle import SHIPPED, WEIGHTS_PREFIX, Bundle, rewrite_manifest, verify_files
from edgebs.bundle.manifest import CueSettings
from edgebs.errors import ExportError
from edgebs.files import atomic_file, atomic_folder, scratch_folder
from edgebs.machine.console import ProgressBar, errors_in_one_line, note, progress_bar
from edgebs.tensors import Array
from export.job.export import export_bundles
from export.job.request import ExportRequest
from export.models import MODELS
from export.models.request import ModelRequest

THRESHOLD_SEQUENCES = 200
"""Rendered sequences on which the threshold is chosen."""
CLEANED_PX = 20
"""Area in the camera's image below which specks go and holes are filled: some three pixels of the network at
640x360, where it can tell nothing."""
LARGEST_BYTES = 12_000_000
"""Of both bundles together."""


def ship(
    weights: Path,
    out: Path = SHIPPED,
    *,
    threshold: float | None = None,
    sequences: int | None = None,
    data: Path | None = None,
    bar: ProgressBar = progress_bar,
) -> list[Bundle]:
    """Write `out`/MODEL (INT8, where there is one) and `out`/MODEL-fp32 from a training's safetensors file.

    threshold: of the masks; None chooses it on rendered `sequences`, `THRESHOLD_SEQUENCES` of them if not
    given. data: scored sequences, for parity of F. Raises EdgebsError where a gate fails; nothing is
    replaced then.
    """
    from export.models.build import description_of, module_from_description
    from export.models.weights import load_weights, save_weights, weights_description
    from export.networks.graphs import deployed

    stored = weights_description(weights)
    model = str(stored.get("network", "no known network"))
    known = [name for name, facts in MODELS.items() if facts.is_trained_on_scenes]
    if model not in known:
        raise ExportError(f"{weights} holds weights of {model}, not of {', '.join(known)}.")
    graph = module_from_description(stored)
    load_weights(graph.network, weights)
    with scratch_folder() as folder:
        plain = ModelRequest(model=model, weights=str(weights))
        if threshold is None:
            sequences = sequences or THRESHOLD_SEQUENCES
            threshold = best_threshold(graph, plain.cue, plain.size, bar, sequences)
            note(f"threshold {threshold:g}, chosen on {sequences} rendered sequences")
        folded = deployed(graph)
        file = folder / f"{model}.safetensors"
        save_weights(folded.network, file, {**stored, **description_of(folded)})
        request = ExportRequest(
            model=ModelRequest(model=model, weights=str(file), threshold=threshold),
            precisions=tuple(shipped_names(model)),
            out=folder / "bundles",
            data=data,
            speck_px=CLEANED_PX,
            hole_px=CLEANED_PX,
        )
        bundles = export_bundles(request, note, bar)
        names = [
            (bundle, name) for bundle in bundles for name in shipped_names(model)[bundle.manifest.precision]
        ]
        size = sum(path.stat().st_size for bundle, _ in names for path in bundle.path.iterdir())
        if size > LARGEST_BYTES:
            raise ExportError(f"the bundles take {size} bytes; the package has room for {LARGEST_BYTES}.")
        if not getattr(graph, "weights_in_onnx", True):
            with atomic_file(out / file.name, ExportError) as unfinished:
                shutil.copyfile(file, unfinished)
        training = stored.get("training", {})
        return [_placed(_named(bundle, name, training), out) for bundle, name in names]


def shipped_names(model: str) -> Mapping[str, tuple[str, ...]]:
    """The names of a model's bundles inside the package, by precision; MODEL is the one to run."""
    if MODELS[model].quantised:
        return {"int8": (model,), "fp32": (f"{model}-fp32",)}
    return {"fp32": (model, f"{model}-fp32")}


def ship_again(
    model: str, out: Path = SHIPPED, *, data: Path | None = None, bar: ProgressBar = progress_bar
) -> Bundle:
    """Replace `out`/MODEL by a bundle from the shipped weights; threshold and clean-up stay.

    INT8, or FP32 where the model has no INT8. data: scored sequences, for parity of F. Raises EdgebsError if
    a gate fails; nothing is replaced then.
    """
    shipped, reference = (verify_files(out / name) for name in (model, f"{model}-fp32"))
    hashes = [
        {name: facts.weights_sha256 for name, facts in bundle.manifest.networks.items()}
        for bundle in (shipped, reference)
    ]
    if hashes[0] != hashes[1]:
        raise ExportError(f"the shipped weights of {model} are not those of its bundle {model}: ship both.")
    facts = shipped.manifest
    with scratch_folder() as folder:
        request = ExportRequest(
            model=ModelRequest(model=model, threshold=facts.threshold),
            precisions=(next(iter(shipped_names(model))),),
            out=folder / "bundles",
            data=data,
            speck_px=facts.cleanup.speck_px,
            hole_px=facts.cleanup.hole_px,
        )
        (bundle,) = export_bundles(request, note, bar)
        return _placed(rewrite_manifest(bundle, name=model, weights=facts.weights), out)


def best_threshold(
    graph: Any, cue: CueSettings, size: tuple[int, int], bar: ProgressBar, sequences: int
) -> float:
    """The largest probability, in steps of 0.05, whose mean F on rendered scenes is as good as the best.

    That is: below it by no more than one standard error of the difference (Breiman et al., "Classification
    and Regression Trees", 1984, section 3.4.3). The largest, because the curve is flat, and real scenes hold
    more that raises false alarms. The mean over sequences is what `edgebs eval` reports; over pixels, a few
    large objects would decide.
    size: (h, w) of the scenes. Sequences without foreground are left out: no threshold has an F there.
    """
    import torch

    render = _render(graph, cue, size)
    grid = np.arange(1, 20) / 20
    curves = []
    with bar("rendered scenes for the threshold") as progress, torch.no_grad():
        for index in range(sequences):
            frames, cues, labels = map(np.stack, zip(*render(seeds.THRESHOLD, index)[::3], strict=True))
            probability = graph.eval()(torch.from_numpy(frames), torch.from_numpy(cues).float()).numpy()
            is_scored, is_true = labels != UNKNOWN, labels == FOREGROUND
            masks = [(probability > level) & is_scored for level in grid]
            if is_true.any():
                found = np.array([np.count_nonzero(mask & is_true) for mask in masks])
                total = np.array([np.count_nonzero(mask) for mask in masks]) + np.count_nonzero(is_true)
                curves.append(2 * found / total)
            progress(index + 1, sequences)
    if not curves:
        return 0.5
    return float(grid[last_as_good_as_the_best(np.array(curves))])


def last_as_good_as_the_best(curves: Array) -> int:
    """Of curves (sequences, thresholds): the last threshold within one standard error of the best mean."""
    best = int(np.argmax(curves.mean(axis=0)))
    lost = curves[:, best : best + 1] - curves
    error = lost.std(axis=0) / np.sqrt(len(curves))
    return int(np.flatnonzero(lost.mean(axis=0) <= error)[-1])


def _render(graph: Any, cue: CueSettings, size: tuple[int, int]) -> Any:
    """The scenes of its training; those of a background image with its own network."""
    if cue.traits.reads_series:
        from export.feeds.background import scenes_through_torch

        return scenes_through_torch(graph.network.cue, cue, size)
    from export.training.samples import RenderedSequences

    return RenderedSequences(cue=cue, size=size)


def _named(bundle: Bundle, name: str, training: dict[str, Any]) -> Bundle:
    """The bundle under its shipped name, its weights known by that name and not by a path of this machine."""
    manifest = bundle.manifest
    weights = {
        network: {**entry, "file": f"{WEIGHTS_PREFIX}{manifest.model}", "training": training}
        for network, entry in manifest.weights.items()
    }
    return rewrite_manifest(bundle, name=name, weights=weights)


def _placed(bundle: Bundle, out: Path) -> Bundle:
    target = out / bundle.manifest.name
    with atomic_folder(target, ExportError, force=True) as folder:
        for file in bundle.path.iterdir():
            shutil.copyfile(file, folder / file.name)
    return verify_files(target)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="best.safetensors of a training, or the name of a shipped model")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--threshold", type=float, default=None, help="default: chosen on rendered scenes")
    parser.add_argument("--sequences", type=int, default=THRESHOLD_SEQUENCES, help="for the threshold")
    parser.add_argument("--data", type=Path, default=None, help="scored sequences, for parity of F")
    options = parser.parse_args()
    with errors_in_one_line():
        if options.weights in MODELS:
            note(f"wrote {ship_again(options.weights, options.out, data=options.data).path}")
            return
        shipped = ship(
            Path(options.weights),
            options.out,
            threshold=options.threshold,
            sequences=options.sequences,
            data=options.data,
        )
        for bundle in shipped:
            note(f"wrote {bundle.path}")


if __name__ == "__main__":
    main()
