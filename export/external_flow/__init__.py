"""An external flow network (an ONNX file of the user) with HOP around it: docs/bring-your-own-flow.md."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from edgebs.backends import Backend
from edgebs.errors import ExportError, in_one_line
from edgebs.files import work_folder
from edgebs.tensors import Array, TensorSpec
from export.convert import onnx_cost, require_agreement
from export.convert.hard_pictures import require_finite
from export.external_flow.check import FlowCheck, check_flow
from export.external_flow.file import flow_file_sha256, load_flow_file, portable, require_full_precision
from export.external_flow.form import FlowForm, decide
from export.external_flow.graph import hop_graph, simplified, specs
from export.external_flow.reference import ExternalFlowReference
from export.external_flow.sidecar import FlowSidecar, sidecar_from_json

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
        self.parameters = onnx_cost.parameters(model)

    @property
    def specs(self) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec]]:
        """Inputs and outputs of the cue network."""
        return specs(self.form, self.intervals, self.output)

    @property
    def gflop(self) -> float:
        """Of a frame, all intervals together."""
        return onnx_cost.gflop(self._network) * len(self.intervals) / self.form.batch

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
            try:
                onnx.checker.check_model(str(written), full_check=True)
            except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
                raise ExportError(
                    f"ONNX refuses HOP around {self.file.name}: {in_one_line(error)}"
                ) from error
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
