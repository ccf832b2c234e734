"""A request turned into the task that the loop trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgebs.errors import OptionError
from edgebs.machine.console import ProgressBar, no_bar
from export.models.build import build_networks
from export.models.request import RANDOM
from export.networks.bmn_bsn import BmnBsnGraph
from export.training import FLOW, FlowTrainRequest, TrainRequest
from export.training.corpus.samples import SAMPLES_OF_CLIP, corpus_clips
from export.training.loop import require_free, torch_device
from export.training.samples import RenderedSequences, as_it_is, flipped_and_tinted, mirrored_only
from export.training.samples.mixture import Mixture, StoredSequences, build_store
from export.training.stream.workers import Render
from export.training.task import Task, reset_norms
from export.training.tasks.flow import flow_task
from export.training.tasks.medal import cdn_medal_task
from export.training.tasks.segmentation import SegmentationTask, joint_graph, start_from_mean


def task_for(request: TrainRequest | FlowTrainRequest, bar: ProgressBar = no_bar) -> Task:
    """The task of `request.model`; with `request.data`, its samples are computed first, where they are not.

    bar: opens a progress bar for that. Raises ExportError for a model that cannot be trained, SourceError for
    data that cannot be used.
    """
    if isinstance(request, FlowTrainRequest):
        return flow_task(request)
    if request.model.model not in TASKS:
        known = ", ".join((*TASKS, FLOW))
        raise OptionError(f"'{request.model.model}' cannot be trained; what can: {known}.")
    return TASKS[request.model.model](request, bar)


def segmentation_task(request: TrainRequest, bar: ProgressBar) -> Task:
    """A segmenter that learns from frames beside the cue that OpenCV computes."""
    model = request.model
    if model.facts.trained_as and request.data is not None:
        raise OptionError(f"{model.model} is trained on rendered scenes alone: leave --data out.")
    if model.flow != "dis":
        raise OptionError(f"training renders its cue with flow dis, not {model.flow}: leave --flow out.")
    # A cue of magnitudes alone stays true when the frame's colours change; one that holds colours does not.
    augment = flipped_and_tinted if model.cue.traits.survives_new_colours else mirrored_only
    scenes = RenderedSequences(
        cue=model.cue,
        size=model.size,
        images=request.images,
        overexposed=request.overexposed,
        settled=request.settled,
    )
    if request.corpus:
        return _corpus_task(request, scenes)
    store = _store(request, bar)
    held = store / "held" if store is not None and (store / "held").is_dir() else None
    validates_rendered = held is None or request.data_share < 1
    return SegmentationTask(
        model.model,
        _graph(request),
        render=scenes if store is None else _mixture(request, scenes, store),
        augment=augment if request.augment else as_it_is,
        feed=request.feed,
        loss=request.loss,
        validation_render=scenes,
        validation_sequences=request.validation_sequences if validates_rendered else 0,
        held=held,
        settings={
            **request.settings,
            # Left out at 0, as runs from before there were such options have it.
            **({"overexposed": request.overexposed} if request.overexposed else {}),
            **({"settled": request.settled} if request.settled else {}),
            **({} if store is None else {"data": store.name, "mix": request.data_share}),
        },
    )


def _corpus_task(request: TrainRequest, scenes: RenderedSequences) -> Task:
    """Samples of corpora; validated on scenes that are rendered now, as any training."""
    clips = replace(
        corpus_clips(request.corpus, request.model.cue, request.model.size), augment=request.augment
    )
    return SegmentationTask(
        request.model.model,
        _graph(request),
        render=clips,
        resident=_resident(request) if request.resident else None,
        # A corpus changes its samples before their planes are put together.
        augment=as_it_is,
        feed=replace(request.feed, per_sequence=SAMPLES_OF_CLIP),
        loss=request.loss,
        validation_render=scenes,
        validation_sequences=request.validation_sequences,
        settings={
            **request.settings,
            **({"overexposed": request.overexposed} if request.overexposed else {}),
            "corpus": [str(folder) for folder in request.corpus],
            "shards": list(clips.shards),
        },
    )


def _resident(request: TrainRequest) -> Callable[[int, int, int], Any]:
    """Opens the batches of a corpus in the device's memory, from seed, batch and first step."""
    from export.training.resident import ResidentCorpus, resident_batches

    def batches(seed: int, batch: int, start_step: int) -> Any:
        model, device = request.model, torch_device(request.loop.device)
        workers = max(1, request.feed.workers)
        corpus = ResidentCorpus(
            request.corpus,
            device,
            model.size,
            holds=model.cue.hold > 0,
            clips=request.resident,
            workers=workers,
        )
        return resident_batches(corpus, seed, batch, start_step, model.cue.max_magnitude)

    return batches


def _store(request: TrainRequest, bar: ProgressBar) -> Path | None:
    if request.data is None:
        return None
    require_free(request.loop)  # before the minutes that follow
    with bar("computing the cue of the data") as progress:
        return build_store(request.data, request.model.cue, request.loop.out, progress)


def _mixture(request: TrainRequest, scenes: RenderedSequences, store: Path) -> Render:
    data = StoredSequences(folder=store / "train", size=request.model.size, count=request.feed.per_sequence)
    return Mixture(rendered=scenes, data=data, data_share=request.data_share)


def _graph(request: TrainRequest) -> Any:
    model = request.model
    graph: Any = joint_graph(model) if model.facts.trained_as else build_networks(model)["segment"]
    if model.weights_origin == RANDOM:
        reset_norms(graph)
        if isinstance(graph, BmnBsnGraph):
            start_from_mean(graph.graphs["cue"], graph.graphs["segment"])
    return graph


TASKS: Mapping[str, Callable[[TrainRequest, ProgressBar], Task]] = {
    "bmn-bsn": segmentation_task,
    "cdn-medal": cdn_medal_task,
    "crossnet": segmentation_task,
    "edge": segmentation_task,
    "edge-nano": segmentation_task,
    "edge-small": segmentation_task,
}
