"""The kernels that stand in for engines on a GPU compile, for every target, without one."""

from __future__ import annotations

import io

import pytest

from edgebs.bundle.plan import AHEAD_OF_TIME
from fakes.gpu.kernel_engine import compiled


@pytest.mark.parametrize("capability", [*AHEAD_OF_TIME, "9.0"])
def test_the_kernels_compile(capability: str) -> None:
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
    try:
        nvrtc.nvrtcVersion()
    except RuntimeError as error:
        pytest.skip(f"NVRTC is not installed (pip install nvidia-cuda-nvrtc): {error}")
    code = compiled(capability)
    assert code.startswith(b"\x7fELF")
    assert all(f".text.{name}".encode() in code for name in ("segment", "past", "bring", "broken"))
    # The bytes objects of length 1 are the interpreter's own: NVRTC must not have written into one.
    assert io.BytesIO(bytes([32, 32])).read(1)[0] == 32
