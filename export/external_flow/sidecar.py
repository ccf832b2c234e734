"""The JSON file beside an external flow network, with the facts that its ONNX file lacks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edgebs.errors import ExportError

LAYOUTS = ("nchw", "nhwc")
COLOURS = ("rgb", "bgr")
FITS = ("pad", "resize")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+]*(-[A-Za-z0-9._+]+)*")
"""Name of a flow; it becomes part of a folder's name."""
EXAMPLE = '{"inputs": {"from": "image1", "to": "image2"}, "colour": "rgb", "range": [0, 255], "multiple": 8}'
"""What most networks need; docs/bring-your-own-flow.md has the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSidecar:
    """The values of a sidecar; None or "" for values that are left to the ONNX file."""

    name: str
    """Name of the flow in the manifest and in the bundle's name."""
    inputs: tuple[str, str]
    """The input of the present, at whose pixels the flow starts, and of the past, to which it points."""
    output: str = ""
    layout: str = ""
    """One of `LAYOUTS`, of the inputs."""
    colour: str
    """One of `COLOURS`."""
    range: tuple[float, float] | None = None
    """The network's values of black and white, before `mean` and `std`."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from each colour, in the order of `colour`."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Divides each colour."""
    size: tuple[int, int] | None = None
    """(H, W) of the frames that the network is given."""
    multiple: int = 1
    """Both sides of the frames are multiples of this."""
    fit: str = ""
    """How frames of another size get to `size`: one of `FITS`."""
    scale: tuple[float, float] | None = None
    """Pixels of the network's input for one unit of its output, (x, y)."""
    trained: bool = True

    def to_json(self) -> dict[str, Any]:
        """The JSON of the file, without the values that it leaves open."""
        data = {field.name: getattr(self, field.name) for field in fields(self)}
        data["inputs"] = dict(zip(("from", "to"), self.inputs, strict=True))
        data["size"] = self.size and f"{self.size[1]}x{self.size[0]}"
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in data.items()
            if value not in (None, "")
        }


def read_sidecar(network: Path, sidecar: Path | None = None) -> FlowSidecar:
    """The sidecar of a flow network; by default the file of its name that ends in .json.

    Raises ExportError naming the file and the key that is missing, unknown or of another kind.
    """
    file = network.with_suffix(".json") if sidecar is None else sidecar
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExportError(
            f"no sidecar at {file}: {network.name} does not state its colours and value range. Write one "
            f"like {EXAMPLE} (docs/bring-your-own-flow.md), or name another with --flow-sidecar."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ExportError(f"{file} cannot be read as JSON: {error}. Write it like {EXAMPLE}") from error
    return sidecar_from_json(data, str(file), network.stem)


def sidecar_from_json(data: Any, where: str, name: str) -> FlowSidecar:
    """The values of a parsed sidecar; `name` is that of a provider without one. Raises ExportError."""
    if not isinstance(data, dict):
        raise ExportError(f"{where} holds no JSON object. Write it like {EXAMPLE}")
    known = [field.name for field in fields(FlowSidecar)]
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise ExportError(f"{where}: unknown key '{unknown[0]}'; known: {', '.join(known)}.")
    keys = _Keys(data, where)
    return FlowSidecar(
        name=keys.name(name),
        inputs=keys.inputs(),
        output=keys.text("output"),
        layout=keys.choice("layout", LAYOUTS, ""),
        colour=keys.choice("colour", COLOURS, None),
        range=keys.rising("range"),
        mean=keys.colours("mean", 0.0),
        std=keys.colours("std", 1.0),
        size=keys.size(),
        multiple=keys.multiple(),
        fit=keys.choice("fit", FITS, ""),
        scale=keys.scale(),
        trained=keys.truth("trained"),
    )


class _Keys:
    """The keys of one sidecar, each checked as it is read."""

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self.data, self.where = data, where

    def fault(self, key: str, wanted: str) -> ExportError:
        """The error for a key that is missing or wrong."""
        given = f"is {json.dumps(self.data[key])[:60]}" if key in self.data else "is missing"
        return ExportError(f"{self.where}: '{key}' {given}; {wanted}.")

    def text(self, key: str) -> str:
        value = self.data.get(key, "")
        if not isinstance(value, str) or (key in self.data and not value):
            raise self.fault(key, "give a tensor's name")
        return value

    def name(self, default: str) -> str:
        value = self.data.get("name", default)
        if not isinstance(value, str) or not NAME.fullmatch(value):
            raise ExportError(
                f"{self.where}: '{value!s:.60}' cannot be a flow's name in a bundle's. Give 'name' with "
                "letters, digits, dots and single dashes."
            )
        return value

    def inputs(self) -> tuple[str, str]:
        value = self.data.get("inputs")
        ends = ("from", "to")
        named = value if isinstance(value, dict) and set(value) == set(ends) else {"from": "", "to": ""}
        if not all(isinstance(named[end], str) and named[end] for end in ends):
            raise self.fault(
                "inputs", 'give {"from": NAME, "to": NAME}: the flow starts at the pixels of "from"'
            )
        if named["from"] == named["to"]:
            raise self.fault("inputs", "two different inputs are needed")
        return named["from"], named["to"]

    def choice(self, key: str, choices: tuple[str, ...], default: str | None) -> str:
        value = self.data.get(key, default)
        if value not in choices and (key in self.data or default is None):
            raise self.fault(key, f"give one of {', '.join(choices)}")
        return str(value)

    def truth(self, key: str) -> bool:
        value = self.data.get(key, True)
        if not isinstance(value, bool):
            raise self.fault(key, "give true or false")
        return value

    def multiple(self) -> int:
        value = self.data.get("multiple", 1)
        if type(value) is not int or value < 1:
            raise self.fault("multiple", "give a whole number of pixels, at least 1")
        return value

    def size(self) -> tuple[int, int] | None:
        if "size" not in self.data:
            return None
        width, _, height = str(self.data["size"]).partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            raise self.fault("size", 'give "WIDTHxHEIGHT", like "512x384"')
        return int(height), int(width)

    def rising(self, key: str) -> tuple[float, float] | None:
        if key not in self.data:
            return None
        low, high = self._numbers(key, 2, "give what black and white are, like [0, 255]")
        if not low < high:
            raise self.fault(key, "give black before white, like [0, 255]")
        return low, high

    def colours(self, key: str, default: float) -> tuple[float, float, float]:
        if key not in self.data:
            return default, default, default
        first, second, third = self._numbers(key, 3, "give a number for each colour, in their order")
        if key == "std" and not min(first, second, third) > 0:
            raise self.fault(key, "give numbers above 0")
        return first, second, third

    def scale(self) -> tuple[float, float] | None:
        if "scale" not in self.data:
            return None
        if isinstance(self.data["scale"], list):
            x, y = self._numbers("scale", 2, "give a number, or [x, y]")
        else:
            x = y = self._number(self.data["scale"], "scale", "give a number, or [x, y]")
        if not (x and y):
            raise self.fault("scale", "0 would make every flow 0")
        return x, y

    def _numbers(self, key: str, count: int, wanted: str) -> list[float]:
        value = self.data[key]
        if not isinstance(value, list) or len(value) != count:
            raise self.fault(key, wanted)
        return [self._number(each, key, wanted) for each in value]

    def _number(self, value: Any, key: str, wanted: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.fault(key, wanted)
        return float(value)
