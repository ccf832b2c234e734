"""The same networks in PyTorch FP32 eager: the reference of parity and the baseline of speed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgebs.backends import Backend
from edgebs.bundle.manifest import Manifest, NetworkFacts
from edgebs.bundle.shipped import weights_file
from edgebs.cues import open_cue
from edgebs.errors import ExportError, MissingDependency
from edgebs.pipeline import Pipeline
from edgebs.tensors import Array, TensorSpec
from edgebs.text import path_from_text

if TYPE_CHECKING:
    import torch


BROUGHT = "user-flow"
"""What the description of a network says that the user brought as ONNX: there is none in PyTorch."""


class TorchBackend:
    """Runs a PyTorch module behind the same seam as an engine, so that one pipeline measures both."""

    def __init__(self, module: torch.nn.Module, facts: NetworkFacts) -> None:
        """`module` takes the network's inputs, and returns its outputs, in the manifest's order."""
        import torch

        self._module = module.eval()
        self.inputs: Mapping[str, TensorSpec] = facts.inputs
        self.outputs: Mapping[str, TensorSpec] = facts.outputs
        self.description = f"PyTorch {torch.__version__} CPU FP32 eager, {torch.get_num_threads()} threads"

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        """See `Backend.infer`; the returned arrays are fresh."""
        import torch

        with torch.inference_mode():
            found = self._module(*(torch.from_numpy(feed[name]) for name in self.inputs))
        tensors = found if isinstance(found, tuple) else (found,)
        return {name: tensor.numpy() for name, tensor in zip(self.outputs, tensors, strict=True)}

    def close(self) -> None:
        """Nothing is held beyond the module."""


def torch_modules(manifest: Manifest) -> dict[str, Any]:
    """Every network of a manifest built again in PyTorch with its weights, verified by their hash.

    A network that the user brought is read again from its file, and stays ONNX.
    Raises ExportError where the weights found are not those that the bundle was made from.
    """
    try:
        from export.models.description import module_from_description
        from export.models.weights import init_weights, load_weights, weights_sha256
    except ImportError as cause:
        raise MissingDependency(
            "the PyTorch reference needs torch: pip install 'edgebs[export]' (or bench with --baseline none)"
        ) from cause

    modules: dict[str, Any] = {}
    for name, facts in manifest.networks.items():
        if facts.description["network"] == BROUGHT:
            modules[name] = _brought(manifest, name)
            continue
        module = module_from_description(facts.description)
        origin = manifest.weights[name]
        file = origin.get("file")
        if file is None:
            init_weights(module.network, int(origin["seed"]))
        else:
            load_weights(module.network, weights_file(file, name), part=name)
        found = weights_sha256(module.network)
        if found != facts.weights_sha256:
            raise ExportError(
                f"the weights of network '{name}' rebuilt from {file or 'seed ' + str(origin['seed'])} are "
                f"not those of bundle {manifest.name}: SHA-256 {found[:16]}…, expected "
                f"{facts.weights_sha256[:16]}…. Put the original weights back, or export again."
            )
        modules[name] = module.eval()
    return modules


def _brought(manifest: Manifest, name: str) -> Any:
    from export.external_flow.flow import user_flow_from_description

    facts = manifest.networks[name]
    file = path_from_text(manifest.weights[name]["file"])
    return user_flow_from_description(facts.description, file, facts.weights_sha256)


def _reference(module: Any, facts: NetworkFacts) -> Backend:
    """What came as ONNX is its own reference."""
    return module.reference() if facts.description["network"] == BROUGHT else TorchBackend(module, facts)


def torch_pipeline(manifest: Manifest, modules: Mapping[str, Any], threads: int = 0) -> Pipeline:
    """The bundle's pipeline with PyTorch in place of its engines.

    threads: of PyTorch in this whole process, so that it gets as many as the engines; 0 leaves them.
    """
    if threads:
        import torch

        torch.set_num_threads(threads)
    backends = {name: _reference(modules[name], facts) for name, facts in manifest.networks.items()}
    return Pipeline(manifest, backends["segment"], open_cue(manifest.cue, manifest.size, backends.get("cue")))
