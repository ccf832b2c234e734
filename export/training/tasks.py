"""A request turned into the task that the loop trains."""

from __future__ import annotations

from typing import Any

from torch import nn

from edgebs.errors import ExportError
from export.models import RANDOM, build_networks
from export.training.rendering import RenderedSequences, as_it_is, flipped_and_tinted, mirrored_only
from export.training.request import TrainRequest
from export.training.segmentation import SegmentationTask
from export.training.task import Task

TRAINABLE = ("crossnet", "edge")


def task_for(request: TrainRequest) -> Task:
    """The task of `request.model`. Raises ExportError for one that cannot be trained."""
    model = request.model
    if model.model not in TRAINABLE:
        raise ExportError(f"'{model.model}' cannot be trained; what can: {', '.join(TRAINABLE)}.")
    if model.flow != "dis":
        raise ExportError(f"training renders its cue with flow dis, not {model.flow}: leave --flow out.")
    # A cue of magnitudes alone stays true when the frame's colours change; one that holds colours does not.
    augment = flipped_and_tinted if model.cue.kind == "hop" else mirrored_only
    return SegmentationTask(
        model.model,
        _graph(request),
        render=RenderedSequences(cue=model.cue, size=model.size, images=request.images),
        augment=augment if request.augment else as_it_is,
        feed=request.feed,
        loss=request.loss,
        validation_sequences=request.validation_sequences,
        settings={
            "cue": model.cue.to_json(),
            "size": list(model.size),
            "weights": model.weights_origin,
            "augment": request.augment,
            "images": str(request.images or ""),
        },
    )


def _graph(request: TrainRequest) -> Any:
    graph = build_networks(request.model)["segment"]
    if request.model.weights_origin == RANDOM:
        for layer in graph.modules():
            if isinstance(layer, nn.BatchNorm2d):
                # Random statistics prove that folding works; training starts from the identity.
                layer.reset_running_stats()
    return graph
