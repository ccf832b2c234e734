"""An external flow network (an ONNX file of the user) with HOP around it: docs/bring-your-own-flow.md."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from bench import scenes as seeds
from bench.scenes.bank import PictureBank
from bench.scenes.pairs import FlowPair, flow_pairs
from bench.scenes.scene import Scene
from calib.graph import require_valid
from edgebs.backends import Backend
from edgebs.errors import ExportError
from edgebs.files import work_folder
from edgebs.tensors import Array, TensorSpec
from export.convert import open_session, require_agreement
from export.convert.cost import onnx_gflop, onnx_parameters
from export.convert.lint import require_finite
from export.external_flow.file import flow_file_sha256, load_flow_file, portable, require_full_precision
from export.external_flow.form import FlowForm, decide
from export.external_flow.graph import hop_graph, simplified, specs
from export.external_flow.sidecar import FlowSidecar, sidecar_from_json


# The reference runs the file as it came. It shares only the form with graph.py: a mistake in one of the two
# shows.
class ExternalFlowReference:
    """A `Backend` with the inputs and the output of `hop_graph`; one run of the file for each interval."""

    def __init__(self, file: Path, form: FlowForm, intervals: Sequence[int], output: str) -> None:
        """Raises ExportError if ONNX Runtime refuses the file."""
        self._session = open_session(file)
        self._form, self._intervals = form, tuple(intervals)
        taken, given = specs(form, intervals, output)
        self.inputs: Mapping[str, TensorSpec] = taken
        self.outputs: Mapping[str, TensorSpec] = given
        self.description = f"ONNX Runtime {onnxruntime.__version__} CPU FP32, {file.name} as it came"

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        """The returned arrays are fresh."""
        flows = np.stack(
            [self._flow(feed["frame"], feed[f"past_{tau}"]) for tau in self._intervals]
        )  # (K, 2, H, W)
        (name,) = self.outputs
        cue = np.hypot(flows[:, 0], flows[:, 1]) if name == "cue" else flows.reshape(-1, *flows.shape[2:])
        return {name: np.ascontiguousarray(cue[np.newaxis], np.float32)}

    def close(self) -> None:
        """Do nothing: the session is all there is."""

    def _flow(self, frame: Array, past: Array) -> Array:
        """(2, H, W), in pixels of our frames."""
        form = self._form
        feed = {name: self._image(image[0]) for name, image in zip(form.inputs, (frame, past), strict=True)}
        flow = self._session.run([form.output], feed)[0][0]
        flow = np.moveaxis(flow, -1, 0) if form.output_layout == "nhwc" else flow
        flow = _resized(flow, form.flow_size)[:, : form.frame_size[0], : form.frame_size[1]]
        return np.asarray(flow * np.reshape(form.scale, (2, 1, 1)))

    def _image(self, image: Array) -> Array:
        """(H, W, 3) uint8 BGR -> the network's own, N in front."""
        form = self._form
        values = (image if form.is_bgr else image[..., ::-1]) * np.asarray(form.gain) + np.asarray(
            form.offset
        )
        planes = np.moveaxis(values, -1, 0)
        if form.fit == "resize":
            planes = _resized(planes, form.run_size)
        if form.fit == "pad":
            more = [(0, run - own) for run, own in zip(form.run_size, form.frame_size, strict=True)]
            planes = np.pad(planes, [(0, 0), *more], mode="edge")
        given = np.moveaxis(planes, 0, -1) if form.layout == "nhwc" else planes
        given = np.rint(given) if form.dtype == "uint8" else given
        return np.ascontiguousarray(given[np.newaxis], form.dtype)


def _resized(planes: Array, size: tuple[int, int]) -> Array:
    """(C, h, w) -> (C, *size), bilinear between pixel centres."""
    if planes.shape[1:] == size:
        return planes
    down, across = _weights(planes.shape[1], size[0]), _weights(planes.shape[2], size[1])
    return np.asarray(down @ planes @ across.T)


def _weights(count: int, wanted: int) -> Array:
    """(wanted, count): the share of each old pixel in each new one along a side."""
    at = np.clip((np.arange(wanted) + 0.5) * count / wanted - 0.5, 0, count - 1)
    return np.asarray(np.clip(1 - np.abs(at[:, np.newaxis] - np.arange(count)), 0, 1))


SCENES = 6


GAP = 5


MOVING_PX = 0.5
"""Pixels that move by at least this are measured: every method is right where nothing moves."""


# Parity compares a bundle with the file through the same sidecar, and cannot find a wrong sidecar. Scenes of
# exact flow can.
@dataclass(frozen=True, slots=True, kw_only=True)
class FlowCheck:
    """End-point errors on what moves in rendered scenes, in pixels."""

    epe_px: float
    """Of the network."""
    still_epe_px: float
    """Of zero flow."""

    @property
    def is_doubtful(self) -> bool:
        """Whether zero flow is nearer to the truth."""
        return not self.epe_px < self.still_epe_px

    def __str__(self) -> str:
        errors = (
            f"{self.epe_px:.2f} px off on what moves in rendered scenes, where no flow is "
            f"{self.still_epe_px:.2f} px off"
        )
        advice = ": doubtful, look at its sidecar's inputs, range and scale" if self.is_doubtful else ""
        return errors + advice


def check_flow(reference: ExternalFlowReference, form: FlowForm) -> FlowCheck:
    """Measure on rendered scenes at the size of the bundle. reference: with output `flow`, one interval."""
    bank = PictureBank.open(images=None)
    errors, still = [], []
    for index in range(SCENES):
        scene = Scene(seed=(seeds.FLOW_CHECK, index), size=form.frame_size, bank=bank)
        for pair in flow_pairs(scene, np.random.default_rng((seeds.FLOW_CHECK, index)), (GAP,)):
            error, motion = _on_what_moves(reference, pair)
            errors.append(error)
            still.append(motion)
    return FlowCheck(
        epe_px=float(np.concatenate(errors).mean()), still_epe_px=float(np.concatenate(still).mean())
    )


def _on_what_moves(reference: ExternalFlowReference, pair: FlowPair) -> tuple[np.ndarray, np.ndarray]:
    """Error and speed of each pixel that moves and is seen in both frames."""
    (past,) = [name for name in reference.inputs if name != "frame"]
    found = reference.infer({"frame": pair.frame[np.newaxis], past: pair.past[np.newaxis]})["flow"][0]
    speed = np.hypot(*pair.flow)
    chosen = pair.visible & (speed >= MOVING_PX)
    return np.hypot(*(found - pair.flow))[chosen], speed[chosen]


logger = logging.getLogger(__name__)


NETWORK = "user-flow"
"""In a manifest's description."""


FINITE = "Add a small constant (1e-6) to what it divides by or takes the root of, and export it again."


class ExternalFlow:
    """The flow network of a file, for one bundle: HOP over its flows, its reference, its manifest facts."""

    def __init__(
        self,
        file: Path,
        sidecar: FlowSidecar,
        size: tuple[int, int],
        intervals: Sequence[int],
        output: str = "cue",
    ) -> None:
        """size: (H, W) of the bundle. output: `cue` for magnitudes, `flow` for vectors; see `hop_graph`.

        Raises ExportError for a file that is damaged, incomplete or no flow network, or that does not fit
        the sidecar.
        """
        model = load_flow_file(file)
        require_full_precision(model, file.name)
        self.file, self.sidecar, self.intervals, self.output = file, sidecar, tuple(intervals), output
        self.sha256 = flow_file_sha256(file)
        self.form: FlowForm = decide(file, model, sidecar, size, len(self.intervals))
        self._network = simplified(portable(model, file.name), self.form, file.name)
        self.parameters = onnx_parameters(model)

    @property
    def specs(self) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
        """Inputs and outputs of the cue network."""
        return specs(self.form, self.intervals, self.output)

    @property
    def gflop(self) -> float:
        """Of a frame, all intervals together."""
        return onnx_gflop(self._network) * len(self.intervals) / self.form.batch

    @property
    def description(self) -> dict[str, Any]:
        """JSON values from which `external_flow_from_description` restores it, with the file."""
        return {
            "network": NETWORK,
            "name": self.sidecar.name,
            "sidecar": self.sidecar.to_json(),
            "size": list(self.form.frame_size),
            "intervals": list(self.intervals),
            "output": self.output,
            "reference": f"ONNX Runtime FP32 of {self.file.name}",
        }

    @property
    def origin(self) -> dict[str, Any]:
        """The manifest's entry of its weights."""
        return {
            "file": str(self.file.resolve()),
            "seed": None,
            "trained": self.sidecar.trained,
            "sha256": self.sha256,
        }

    def reference(self) -> Backend:
        """The `Backend` with which the cue network is compared."""
        return ExternalFlowReference(self.file, self.form, self.intervals, self.output)

    def check(self) -> FlowCheck:
        """Its error against the exact flow of rendered scenes."""
        return check_flow(ExternalFlowReference(self.file, self.form, (1,), "flow"), self.form)

    def write(self, file: Path, feeds: Sequence[Mapping[str, Array]]) -> None:
        """Write the cue network as a simplified FP32 ONNX file that agrees with the original on `feeds`.

        Raises ExportError naming the step, and the worst value of both.
        """
        reference = self.reference()
        expected = [reference.infer(feed) for feed in feeds]
        model = hop_graph(self._network, self.form, self.intervals, self.output)
        with work_folder(file) as folder:
            written = folder / "hop.onnx"
            onnx.save_model(model, str(written))
            require_valid(written, f"ONNX refuses HOP around {self.file.name}")
            # Before the comparison, which names only the place of a NaN, not the kind of pictures.
            require_finite(written, feeds[0], f"flow network {self.file.name}", FINITE)
            require_agreement(f"HOP around {self.file.name}", written, feeds, expected, "the file itself")
            written.replace(file)
        logger.info("wrote %s (%.1f MB)", file, file.stat().st_size / 1e6)


def external_flow_from_description(description: Mapping[str, Any], file: Path, sha256: str) -> ExternalFlow:
    """The flow that a manifest describes. Raises ExportError unless `file` is that of the bundle."""
    if not file.is_file():
        raise ExportError(
            f"the bundle's flow network {file} is not there any more. Put it back, or export again."
        )
    found = flow_file_sha256(file)
    if found != sha256:
        raise ExportError(
            f"{file} is not the flow network that the bundle was made from: SHA-256 {found[:16]}…, expected "
            f"{sha256[:16]}…. Put the original back, or export again."
        )
    sidecar = sidecar_from_json(description["sidecar"], "the manifest's sidecar", description["name"])
    height, width = description["size"]
    return ExternalFlow(file, sidecar, (height, width), description["intervals"], description["output"])
