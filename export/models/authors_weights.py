"""The authors' TensorFlow checkpoints of CrossNet and SelFlow, as weights that `edgebs export` takes.

Variable names and layouts: docs/networks.md sections 1 and 3. Every variable of a checkpoint is
one of the network's, or belongs to the training and is left out; anything else is an error that names it.
"""

from __future__ import annotations

import logging
import os
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgebs.errors import WeightsError
from edgebs.files import atomic_file, is_utf8, library_path
from edgebs.machine.extras import require_tensorflow
from edgebs.tensors import Array
from export.models.build import description_of, module_from_description
from export.models.weights import save_weights, weights_of
from export.networks.crossnet import DECODER_KERNELS, ENCODER_KERNELS
from export.networks.selflow import BOTTOM, CONTEXT_CHANNELS, ESTIMATOR_CHANNELS, FEATURE_CHANNELS, TOP

SHARD = re.compile(r"\.data-(\d{5})-of-(\d{5})$")
SIDE_FILES = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
TABLE_END = bytes.fromhex("57fb808b247547db")
"""The last bytes of the tables that V1 checkpoints, and the index files of V2 ones, are."""
REPAIR = "Copy or download the checkpoint again, all files of it."


# A checkpoint of format V2 is several files: `model-1000` names model-1000.index and
# model-1000.data-?????-of-?????. TensorFlow compares each variable with its checksum, so that damage is an
# error and never a wrong weight.
class TfCheckpoint:
    """Names and shapes of a checkpoint's variables; their values are read on demand."""

    def __init__(self, path: Path) -> None:
        """path: the name without endings, one of its files, or a folder that holds one checkpoint.

        Raises WeightsError where no V2 checkpoint is complete there, MissingDependency without TensorFlow.
        """
        self.prefix = _prefix(path)
        _require_files(self.prefix)
        if not is_utf8(Path(self.prefix.name)):
            raise WeightsError(f"checkpoint {self.prefix} has a name that TensorFlow cannot open. Rename it.")
        self._tensorflow = _import_tensorflow()
        with self._readable():
            # Open for the lifetime of this object: variables are read on demand.
            opened = ExitStack()
            prefix = opened.enter_context(library_path(self.prefix, WeightsError))
            weakref.finalize(self, opened.close)
            self._reader = self._tensorflow.train.load_checkpoint(str(prefix))
            self.shapes: dict[str, tuple[int, ...]] = {
                name: tuple(shape) for name, shape in self._reader.get_variable_to_shape_map().items()
            }
            self._types = dict(self._reader.get_variable_to_dtype_map())

    def dtype(self, name: str) -> str:
        """Of a variable, such as float32."""
        return str(self._types[name].name)

    def read(self, name: str) -> Array:
        """A variable's values. Raises WeightsError where they are cut off or fail their checksum."""
        with self._readable(f", variable '{name}'"):
            values: Array = self._reader.get_tensor(name)
            return values

    @contextmanager
    def _readable(self, what: str = "") -> Iterator[None]:
        # TensorFlow raises Python's own errors too: IndexError for a file that ends early.
        try:
            yield
        except (self._tensorflow.errors.OpError, LookupError, RuntimeError, ValueError) as cause:
            reason = str(cause).strip().splitlines()[0][:200] if str(cause).strip() else type(cause).__name__
            raise WeightsError(
                f"checkpoint {self.prefix}{what} cannot be read ({reason}). {REPAIR}"
            ) from cause


def _import_tensorflow() -> Any:
    require_tensorflow()
    # TensorFlow has no other switches for the messages of its C++ part during the import.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import tensorflow

    return tensorflow


def _prefix(path: Path) -> Path:
    if not path.is_dir():
        return path.with_name(SIDE_FILES.sub("", path.name))
    found = sorted(path.glob("*.index"))
    if len(found) == 1:
        return found[0].with_suffix("")
    names = ", ".join(file.stem for file in found) or "none"
    raise WeightsError(
        f"folder {path} holds {len(found)} checkpoints ({names}). Name one of them, without its endings."
    )


def _require_files(prefix: Path) -> None:
    """Raise WeightsError unless the index and all data files of a V2 checkpoint stand at `prefix`."""
    index = prefix.with_name(prefix.name + ".index")
    if not index.is_file():
        raise WeightsError(_no_index(prefix, index))
    shards = {}
    for file in prefix.parent.iterdir():
        match = SHARD.search(file.name)
        if match and file.name[: match.start()] == prefix.name:
            shards[int(match[1])] = int(match[2])
    count = max(shards.values(), default=1)
    missing = [f"{prefix.name}.data-{i:05d}-of-{count:05d}" for i in range(count) if i not in shards]
    if missing:
        raise WeightsError(f"checkpoint {prefix} lacks {', '.join(missing)}. {REPAIR}")


def _no_index(prefix: Path, index: Path) -> str:
    if not prefix.is_file():
        return (
            f"no TensorFlow checkpoint at {prefix}: there is no {index.name}. Give the name that the files "
            "ending in .index and .data-00000-of-00001 have in common."
        )
    with prefix.open("rb") as file:
        file.seek(max(prefix.stat().st_size - len(TABLE_END), 0))
        is_table = file.read() == TABLE_END
    if is_table:
        return (
            f"{prefix} is a TensorFlow checkpoint of format V1; format V2 is read here. Restore it in "
            "TensorFlow 1 and save it by tf.train.Saver(write_version=tf.train.SaverDef.V2)."
        )
    return f"{prefix} is no TensorFlow checkpoint: there is no {index.name} beside it. Check the path."


logger = logging.getLogger(__name__)

OF_TRAINING = re.compile(r"(^|/)(Adam(_1)?|beta[12]_power(_\d+)?|global_step|Variable(_\d+)?)$")
"""Adam's two slots of a variable, its powers, and counters of steps."""
AXES = (3, 2, 0, 1)
"""[kh, kw, in, out] to (out, in, kh, kw); a transposed kernel's [kh, kw, out, in] to (in, out, kh, kw)."""
FIRST_FRAME_KERNEL = "generator/g_e1_conv/w"
FIRST_CUE_KERNEL = "generator/g_op1_conv/w"
NAMED = 8
"""Variables that an error names of each kind; it counts the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What was made of a checkpoint."""

    file: Path
    description: Mapping[str, Any]
    """Of the network, as in the header of `file`."""
    variables: int
    """That became weights."""
    of_training: int
    """That were left out: optimizer slots and counters."""

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {**asdict(self), "file": str(self.file)}


def import_crossnet(
    checkpoint: Path, out: Path, *, activated_skips: bool = False, force: bool = False
) -> Imported:
    """Write the CrossNet of `checkpoint`, of the width that its shapes say, with layer norm, to `out`.

    checkpoint: see `TfCheckpoint`. activated_skips: see docs/authors-weights.md.
    Raises WeightsError where the checkpoint is unreadable or of another network, or `out` is there already
    or cannot be written; then nothing is left behind.
    """
    with atomic_file(out, WeightsError, force=force) as unfinished:
        source = TfCheckpoint(checkpoint)
        form = {
            "network": "crossnet",
            "norm": "layer",
            "width": _size(source, FIRST_FRAME_KERNEL, 3),
            "intervals": _size(source, FIRST_CUE_KERNEL, 2),
            "activated_skips": activated_skips,
        }
        return _imported(source, form, unfinished, out)


def import_selflow(
    checkpoint: Path, out: Path, *, standardise: bool = False, force: bool = False
) -> Imported:
    """Write the SelFlow of `checkpoint`, with the published warp, to `out`; errors as of `import_crossnet`.

    standardise: for weights trained on standardised images, as the authors' supervised ones were.
    """
    with atomic_file(out, WeightsError, force=force) as unfinished:
        form = {"network": "selflow", "warp": "published", "standardise": standardise}
        return _imported(TfCheckpoint(checkpoint), form, unfinished, out)


def crossnet_names() -> dict[str, str]:
    """The checkpoint's variable behind each tensor of CrossNet with layer norm."""
    names = _layer("bottleneck", "generator/fusion0", "w")
    for encoder, letter in (("frame_encoder", "e"), ("cue_encoder", "op")):
        for i in range(1, len(ENCODER_KERNELS) + 1):
            names |= _layer(f"{encoder}.convs.{i - 1}", f"generator/g_{letter}{i}_conv", "w")
            if i > 1:
                names |= _norm(f"{encoder}.norms.{i - 1}", f"generator/g_bn_{letter}{i}")
    for i in range(1, len(DECODER_KERNELS) + 1):
        block = f"blocks.{i - 1}"
        names |= _layer(f"{block}.up", f"generator/g_d{i}", "w")
        names |= _layer(f"{block}.fuse", f"generator/fusion{i}", "w")
        names |= _layer(f"{block}.attend", f"generator/g_attention{i}", "w")
        names |= _norm(f"{block}.up_norm", f"generator/g_bn_d{i}")
        names |= _norm(f"{block}.attend_norm", f"generator/g_bn_attention{i}")
    return names | _layer("head", f"generator/g_d{len(DECODER_KERNELS) + 1}", "w")


def selflow_names() -> dict[str, str]:
    """The checkpoint's variable behind each tensor of SelFlow."""
    names: dict[str, str] = {}
    for i in range(1, len(FEATURE_CHANNELS) + 1):
        names |= _layer(f"features.halve.{i - 1}", f"feature_extractor/conv{i}_1", "weights")
        names |= _layer(f"features.refine.{i - 1}", f"feature_extractor/conv{i}_2", "weights")
    estimators = [
        (f"estimators.{level}", f"estimator_level_{level}/conv") for level in range(BOTTOM, TOP + 1)
    ]
    counts = [len(ESTIMATOR_CHANNELS)] * len(estimators) + [len(CONTEXT_CHANNELS)]
    parts = [*estimators, ("context", "context_network/dilated_conv")]
    for (ours, theirs), count in zip(parts, counts, strict=True):
        for i in range(1, count + 1):
            names |= _layer(f"{ours}.convs.{i - 1}", f"{theirs}{i}", "weights")
        names |= _layer(f"{ours}.flow", f"{theirs}{count + 1}", "weights")
    return names


def _layer(ours: str, theirs: str, kernel: str) -> dict[str, str]:
    return {f"{ours}.weight": f"{theirs}/{kernel}", f"{ours}.bias": f"{theirs}/biases"}


def _norm(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.weight": f"{theirs}/gamma", f"{ours}.bias": f"{theirs}/beta"}


def _size(source: TfCheckpoint, name: str, axis: int) -> int:
    """A size of a kernel that decides the network. Raises WeightsError where it cannot be read off."""
    shape = source.shapes.get(name)
    if shape is None:
        raise WeightsError(
            f"checkpoint {source.prefix} is none of crossnet: it has no variable '{name}', but "
            f"{_listed(_of_network(source))}. {_repair(source, 'crossnet')}"
        )
    if len(shape) != len(AXES) or min(shape) < 1:
        raise WeightsError(
            f"checkpoint {source.prefix} is none of crossnet: '{name}' has shape {list(shape)} where a "
            f"kernel [7, 7, in, out] is needed. {_repair(source, 'crossnet')}"
        )
    return shape[axis]


def _imported(source: TfCheckpoint, form: Mapping[str, Any], unfinished: Path, out: Path) -> Imported:
    names = NAMES[form["network"]]()
    with torch.device("meta"):
        graph = module_from_description(form)
    _require_fit(source, weights_of(graph.network), names, form["network"])
    graph.network.to_empty(device="cpu")
    _fill(graph.network, source, names)
    described = {key: value for key, value in description_of(graph).items() if key in form}
    description = {**described, "imported": {"checkpoint": source.prefix.name}}
    save_weights(graph.network, unfinished, description)
    of_training = len(source.shapes) - len(names)
    logger.info("read %d variables, left out %d of the training", len(names), of_training)
    return Imported(file=out, description=description, variables=len(names), of_training=of_training)


def _require_fit(
    source: TfCheckpoint, expected: Mapping[str, Tensor], names: Mapping[str, str], network: str
) -> None:
    """Raise WeightsError naming what is missing, surplus, or of another shape or type."""
    missing = [theirs for theirs in names.values() if theirs not in source.shapes]
    surplus = sorted(set(_of_network(source)) - set(names.values()))
    misfits = list(_misfits(source, expected, names))
    complaints = [
        f"{len(listed)} {kind}: {_listed(listed)}"
        for kind, listed in (("missing", missing), ("unknown", surplus), ("misshapen", misfits))
        if listed
    ]
    if complaints:
        raise WeightsError(
            f"checkpoint {source.prefix} does not fit {network}; of its variables {'; '.join(complaints)}. "
            f"{_repair(source, network)}"
        )


def _of_network(source: TfCheckpoint) -> list[str]:
    return sorted(name for name in source.shapes if not OF_TRAINING.search(name))


def _misfits(source: TfCheckpoint, expected: Mapping[str, Tensor], names: Mapping[str, str]) -> Iterable[str]:
    for ours, theirs in names.items():
        shape = source.shapes.get(theirs)
        needed = _their_shape(tuple(expected[ours].shape))
        if shape is not None and shape != needed:
            yield f"{theirs} {list(shape)} where {list(needed)} is needed"
        elif shape is not None and source.dtype(theirs) != "float32":
            yield f"{theirs} of {source.dtype(theirs)} where float32 is needed"


def _their_shape(ours: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(ours[AXES.index(axis)] for axis in range(len(AXES))) if len(ours) == len(AXES) else ours


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (", ".join(names[:NAMED]) or "none") + more


def _repair(source: TfCheckpoint, wanted: str) -> str:
    for network, names in NAMES.items():
        if network != wanted and set(names().values()) <= set(source.shapes):
            return f"It is one of {network}: edgebs import-weights {network} {source.prefix} --out FILE"
    return f"Name a checkpoint of the published {wanted}."


@torch.no_grad()
def _fill(network: nn.Module, source: TfCheckpoint, names: Mapping[str, str]) -> None:
    """Read one variable after the other: at no time is more than one in memory beside the network."""
    tensors = weights_of(network)
    for ours, theirs in names.items():
        values = source.read(theirs)
        if not np.isfinite(values).all():
            raise WeightsError(
                f"checkpoint {source.prefix}: variable '{theirs}' holds NaN or infinite values. The training "
                "diverged: use an earlier checkpoint."
            )
        tensor = torch.from_numpy(values)
        tensors[ours].copy_(tensor.permute(AXES) if tensor.ndim == len(AXES) else tensor)


NAMES: Mapping[str, Callable[[], dict[str, str]]] = {"crossnet": crossnet_names, "selflow": selflow_names}
