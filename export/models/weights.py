"""Weights of a network: from a seed, from a file, to a file; and one hash that names them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgebs.bundle.manifest import CueSettings
from edgebs.errors import WeightsError, in_one_line
from edgebs.files import atomic_file, library_path
from export.networks.crossnet import CrossNet

LEAKY_GAIN = 1.15 * math.sqrt(2 / (1 + 0.2**2))
"""He et al.'s gain for LeakyReLU, times the loss of second moment of a filter without mean."""
METADATA_KEY = "edgebs"
FORM = (
    "widths", "width", "depth", "norm", "activated_skips", "warp", "standardise", "bounded", "folded", "cell"
)  # fmt: skip
"""Keys of a description that weights state."""
TRAINED_CUE = ("intervals", "max_magnitude", "nominal_fps", "preset", "references", "maps", "hold")
"""Settings of a cue that a network is trained for, beside its kind."""
ONNX_PREFIX = "network."
"""Of the weights' names in an exported graph."""
FEW_CHANNELS = 8
"""Below this many inputs a filter keeps its mean, which carries an image's grey level."""
HEAD_GAIN = 1.5
FLOW_GAIN = 1.0
COST_GAIN = 3.0


@torch.no_grad()
def init_weights(module: nn.Module, seed: int) -> None:
    """Fill `module` with random weights; a seed gives the same ones in every process.

    Activations stay of order one. Batch norms get statistics unlike the identity, so that folding them is
    really tested. CrossNet's logits come out around zero with a spread of order one, SelFlow's flow at some
    pixels.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            _init_convolution(layer, _gain(name), generator)
        elif isinstance(layer, nn.BatchNorm2d | nn.GroupNorm | nn.InstanceNorm2d):
            _init_norm(layer, generator)


def _gain(name: str) -> float:
    if name.endswith("head"):
        return HEAD_GAIN
    if name.endswith(".flow"):
        return FLOW_GAIN
    if "estimators" in name and name.endswith("convs.0"):
        return (
            COST_GAIN  # costs of neighbouring pixels are alike: most of them cancels in a filter without mean
        )
    return LEAKY_GAIN


def _init_convolution(layer: nn.Conv2d | nn.ConvTranspose2d, gain: float, generator: torch.Generator) -> None:
    """Normal weights; each filter has no mean over its inputs, which LeakyReLU makes positive on average."""
    transposed = isinstance(layer, nn.ConvTranspose2d)
    taps = layer.kernel_size[0] * layer.kernel_size[1]
    if transposed:  # each output pixel is reached by one in stride^2 taps
        taps /= layer.stride[0] * layer.stride[1]
    seen = layer.in_channels // layer.groups  # a depthwise filter sees one channel
    layer.weight.normal_(0.0, gain / math.sqrt(seen * taps), generator=generator)
    if seen >= FEW_CHANNELS:
        layer.weight -= layer.weight.mean(dim=0 if transposed else 1, keepdim=True)
    if layer.bias is not None:
        layer.bias.normal_(0.0, 0.02, generator=generator)


def _init_norm(layer: nn.BatchNorm2d | nn.GroupNorm | nn.InstanceNorm2d, generator: torch.Generator) -> None:
    layer.weight.uniform_(0.8, 1.2, generator=generator)
    layer.bias.normal_(0.0, 0.05, generator=generator)
    if isinstance(layer, nn.BatchNorm2d):
        layer.running_mean.normal_(0.0, 0.05, generator=generator)
        layer.running_var.uniform_(0.7, 1.3, generator=generator)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """The tensors that decide what `module` computes, by name, without counters of training steps."""
    state: dict[str, Tensor] = module.state_dict()
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def weights_sha256(module: nn.Module) -> str:
    """Hash over the names, shapes and values of all weights; independent of any file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights_of(module).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(memoryview(tensor.detach().contiguous().cpu().numpy()).cast("B"))
    return digest.hexdigest()


def save_weights(module: nn.Module, file: Path, description: Mapping[str, Any] | None = None) -> None:
    """Write the weights as safetensors, with `description` (JSON values) in the header.

    Raises WeightsError where the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save

    metadata = {METADATA_KEY: json.dumps(dict(description or {}), sort_keys=True)}
    tensors = {name: tensor.contiguous() for name, tensor in weights_of(module).items()}
    try:
        with atomic_file(file, WeightsError) as unfinished:
            unfinished.write_bytes(save(tensors, metadata))
    except SafetensorError as error:
        raise WeightsError(f"cannot write weights to {file}: {error}") from error


def weights_description(file: Path) -> dict[str, Any]:
    """The description that `save_weights` put into the header; empty for files of other origin.

    Raises WeightsError where the header is damaged.
    """
    if file.suffix.lower() == ".onnx":
        return {}
    with _opened(file) as weights:
        text = (weights.metadata() or {}).get(METADATA_KEY, "{}")
    try:
        description = json.loads(text)
    except ValueError as cause:
        raise _bad_header(file, f"no JSON: {cause}") from cause
    if not isinstance(description, dict):
        raise _bad_header(file, f"no JSON object but {text:.40}")
    return description


def description_for(file: Path, network: str) -> dict[str, Any]:
    """`weights_description` of weights for `network`, or of weights that name no network.

    Raises WeightsError for weights of another network.
    """
    stored = weights_description(file)
    if stored.get("network", network) != network:
        raise WeightsError(
            f"{file} holds weights of {stored['network']}, and {network} is wanted. Name weights for that."
        )
    return stored


def form_of_weights(file: Path, network: str, part: str = "segment") -> dict[str, Any]:
    """The keys of `FORM` that weights of `network`, or one of their parts, state.

    Raises WeightsError for weights of another network, and for a damaged header.
    """
    stored = description_for(file, network)
    stored = stored.get("parts", {}).get(part, {}) if "parts" in stored else stored
    form: dict[str, Any] = {key: stored[key] for key in FORM if key in stored}
    widths = form.get("widths", [1])
    if not isinstance(widths, list) or not all(type(width) is int and width >= 1 for width in widths):
        raise _bad_header(file, f"widths {widths!r:.60} where a list of channels is expected")
    for key in ("width", "depth", "cell"):
        if type(form.get(key, 1)) is not int or form.get(key, 1) < 1:
            raise _bad_header(file, f"{key} {form[key]!r:.60} where a number of at least 1 is expected")
    for key in ("folded", "activated_skips", "standardise"):
        if not isinstance(form.get(key, False), bool):
            raise _bad_header(file, f"{key} {form[key]!r:.60} where true or false is expected")
    return form


def trained_cue(file: Path, network: str) -> dict[str, Any]:
    """Settings of the cue that weights of `network` were trained with, by names of CueSettings.

    Older weights state max_magnitude alone, or nothing. Raises WeightsError.
    """
    stored = description_for(file, network)
    try:
        if "cue" in stored:
            return cue_numbers(CueSettings.from_json(stored["cue"]))
        if "max_magnitude" in stored:
            known = {"kind": "hop", "provider": "", "intervals": [1], "nominal_fps": 25.0, "preset": ""}
            cue = CueSettings.from_json({**known, "max_magnitude": stored["max_magnitude"]})
            return {"max_magnitude": cue.max_magnitude}
    except (KeyError, TypeError, ValueError) as cause:
        raise _bad_header(file, f"impossible settings of the cue: {cause}") from cause
    return {}


def cue_numbers(cue: CueSettings) -> dict[str, Any]:
    """Settings that a network is trained for, beside the kind of its cue, by names of CueSettings."""
    values = {name: getattr(cue, name) for name in TRAINED_CUE}
    return {name: value for name, value in values.items() if value or name not in ("references", "maps")}


def _bad_header(file: Path, what: str) -> WeightsError:
    return WeightsError(f"the header of {file} is damaged ({what}). Copy the file again, or train it anew.")


@torch.no_grad()
def load_weights(module: nn.Module, file: Path, part: str = "") -> None:
    """Read `file` into `module`, all of it or nothing.

    file: safetensors, or an FP32 .onnx that edgebs exported from a network in the form of `module`. part:
    `segment` or `cue`, where the file may hold both, trained as one: its header then has `parts`.
    Raises WeightsError naming the file and the first tensor that is missing, surplus, of another shape or not
    finite; for a network of another width it says which width the file has.
    """
    expected = weights_of(module)
    if file.suffix.lower() == ".onnx":
        found = _initializers(file)
        _check_names(expected, {name: tuple(tensor.shape) for name, tensor in found.items()}, file)
        loaded = {name: found[name] for name in expected}
    else:
        prefix = f"{part}." if part and "parts" in weights_description(file) else ""
        with _opened(file) as weights:
            shapes = {
                name.removeprefix(prefix): tuple(weights.get_slice(name).get_shape())
                for name in weights.keys()  # noqa: SIM118
                if name.startswith(prefix)
            }
            _check_width(module, shapes, file)
            _check_names(expected, shapes, file)
            loaded = {name: weights.get_tensor(prefix + name) for name in expected}
    for name, tensor in loaded.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(
                f"{file}: tensor '{name}' holds NaN or infinite values. The training diverged or the file is "
                f"damaged: use an earlier checkpoint."
            )
    for name, tensor in loaded.items():
        expected[name].copy_(tensor)


def _initializers(file: Path) -> dict[str, Tensor]:
    """The tensors of an exported graph's network: the exporter keeps PyTorch's names."""
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        model = onnx.load(str(file))
    except FileNotFoundError as error:
        raise WeightsError(f"no weights at {file}: check the path") from error
    except (OSError, DecodeError) as error:
        raise WeightsError(
            f"{file} is not a readable ONNX file ({in_one_line(error)}). Copy it again."
        ) from error
    return {
        tensor.name.removeprefix(ONNX_PREFIX): torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in model.graph.initializer
        if tensor.name.startswith(ONNX_PREFIX)
    }


def _opened(file: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        with library_path(file, WeightsError) as path:
            return safe_open(path, framework="pt")
    except FileNotFoundError as error:
        raise WeightsError(f"no weights at {file}: check the path, or use --weights random") from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{file} is not a readable safetensors file ({in_one_line(error)}). Copy it again, or save it "
            "with export.models.weights.save_weights."
        ) from error


def _check_width(module: nn.Module, shapes: Mapping[str, tuple[int, ...]], file: Path) -> None:
    if not isinstance(module, CrossNet):
        return
    first = next((shape for name, shape in shapes.items() if name == "frame_encoder.convs.0.weight"), None)
    if first is not None and first[0] != module.width:
        raise WeightsError(
            f"{file} holds a CrossNet of width {first[0]}, but this one has width {module.width}: "
            f"use the same width for both"
        )


def _check_names(expected: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], file: Path) -> None:
    missing = [name for name in expected if name not in shapes]
    surplus = [name for name in shapes if name not in expected]
    wrong = [name for name in expected if name in shapes and shapes[name] != tuple(expected[name].shape)]
    complaints = []
    if missing:
        complaints.append(f"{len(missing)} tensors are missing, the first is '{missing[0]}'")
    if surplus:
        complaints.append(f"{len(surplus)} tensors are unknown, the first is '{surplus[0]}'")
    if wrong:
        name = wrong[0]
        complaints.append(f"'{name}' has shape {shapes[name]} where {tuple(expected[name].shape)} is needed")
    if complaints:
        raise WeightsError(
            f"{file} does not fit this network: {'; '.join(complaints)}. Its width, norm, intervals and "
            f"ablations must be those of the training"
        )
