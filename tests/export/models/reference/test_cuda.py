"""export/models/reference.py: on the CPU as far as it goes, on a GPU whole."""

from __future__ import annotations

import numpy as np
import pytest

from edgebs.bundle.manifest import NetworkFacts
from edgebs.errors import BackendError
from edgebs.tensors import TensorSpec
from export.models.reference import WAYS, CudaTorchBackend

torch = pytest.importorskip("torch")

SHAPE = (1, 3, 8, 8)


class Doubled(torch.nn.Module):
    """Twice its input."""

    def forward(self, cue):  # type: ignore[no-untyped-def]
        return cue * 2


FACTS = NetworkFacts(
    file="cue.onnx",
    backend="onnxruntime",
    precision="fp32",
    inputs={"frame": TensorSpec(SHAPE, "float32")},
    outputs={"cue": TensorSpec(SHAPE, "float32")},
    description={},
    weights_sha256="",
    parameters=0,
    gflop=0.0,
)


def check_doubles(backend: CudaTorchBackend) -> None:
    for value in (1.0, 5.0):
        feed = {"frame": np.full(SHAPE, value, np.float32)}
        np.testing.assert_array_equal(backend.infer(feed)["cue"], 2 * feed["frame"])


def test_every_call_reads_its_own_input() -> None:
    backend = CudaTorchBackend(Doubled(), FACTS, "eager", device="cpu")
    check_doubles(backend)
    assert backend.description.endswith("CPU FP32 eager")
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend._run()


def test_an_unknown_way_is_refused_with_the_known_ones() -> None:
    with pytest.raises(BackendError, match="unknown way 'jit' to run PyTorch; known: eager, graphs, compile"):
        CudaTorchBackend(Doubled(), FACTS, "jit", device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_error_says_so() -> None:
    with pytest.raises(BackendError, match="PyTorch sees no CUDA device"):
        CudaTorchBackend(Doubled(), FACTS)


@pytest.mark.gpu
@pytest.mark.parametrize("way", WAYS)
def test_on_a_gpu_every_way_computes_the_same_and_times_itself(way: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch is built without CUDA")
    backend = CudaTorchBackend(Doubled(), FACTS, way)
    check_doubles(backend)
    assert len(backend.device_ms) == 2
    assert all(ms > 0 for ms in backend.device_ms)
    backend.close()
