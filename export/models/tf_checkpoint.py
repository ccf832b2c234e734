"""Variables of a TensorFlow checkpoint of format V2, one at a time; TensorFlow itself reads them.

A checkpoint is no file: `model-1000` names model-1000.index and model-1000.data-?????-of-?????. TensorFlow
compares every variable with its checksum, so that a damaged one is an error and no bad weight.
"""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from edgebs.errors import WeightsError
from edgebs.files.paths import is_utf8, library_path
from edgebs.machine.extras import require_tensorflow
from edgebs.tensors import Array

SHARD = re.compile(r"\.data-(\d{5})-of-(\d{5})$")
SIDE_FILES = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
TABLE_END = bytes.fromhex("57fb808b247547db")
"""The last bytes of the tables that V1 checkpoints, and the index files of V2 ones, are."""
REPAIR = "Copy or download the checkpoint again, all files of it."


class TfCheckpoint:
    """Names and shapes of a checkpoint's variables at once, their values when asked for."""

    def __init__(self, path: Path) -> None:
        """path: the name without endings, one of its files, or a folder that holds one checkpoint.

        Raises WeightsError where no V2 checkpoint is complete there, MissingDependency without TensorFlow.
        """
        self.prefix = _prefix(path)
        _require_files(self.prefix)
        if not is_utf8(Path(self.prefix.name)):
            raise WeightsError(f"checkpoint {self.prefix} has a name that TensorFlow cannot open. Rename it.")
        self._tensorflow = _import_tensorflow()
        with self._said():
            # Open as long as this lives: variables are read when they are asked for.
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
        with self._said(f", variable '{name}'"):
            values: Array = self._reader.get_tensor(name)
            return values

    @contextmanager
    def _said(self, what: str = "") -> Iterator[None]:
        # Beside its own errors TensorFlow lets Python's through: IndexError for a file that ends early.
        try:
            yield
        except (self._tensorflow.errors.OpError, LookupError, RuntimeError, ValueError) as cause:
            reason = str(cause).strip().splitlines()[0][:200] if str(cause).strip() else type(cause).__name__
            raise WeightsError(
                f"checkpoint {self.prefix}{what} cannot be read ({reason}). {REPAIR}"
            ) from cause


def _import_tensorflow() -> Any:
    require_tensorflow()
    # TensorFlow has no other switches for what its C++ part says on stderr while it is imported.
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
