"""What needs an NVIDIA GPU: skipped without one, failing without one when EDGEBS_REQUIRE_GPU=1."""

import importlib.util

import numpy as np
import onnx_toys
import pytest

from edgebs import cuda
from edgebs.backends import open_backend
from engines.build import build_engine

pytestmark = pytest.mark.gpu


def test_bytes_survive_the_way_to_the_device_and_back():
    sent = np.random.default_rng(0).integers(0, 255, (3, 1000, 7), np.uint8)
    cuda.use_device()
    with (
        cuda.Stream() as stream,
        cuda.PinnedBuffer(sent.shape, "uint8") as there,
        cuda.PinnedBuffer(sent.shape, "uint8") as back,
        cuda.DeviceBuffer(sent.nbytes) as device,
    ):
        there.array[...] = sent
        back.array[...] = 0
        cuda.copy_to_device(device, there, stream)
        cuda.copy_to_host(back, device, stream)
        stream.synchronize()
        np.testing.assert_array_equal(back.array, sent)


def test_the_device_says_what_it_is():
    facts = cuda.device_facts()
    assert facts.name
    assert float(facts.compute_capability) >= 5


def test_a_plan_for_this_gpu_says_what_onnx_runtime_says(tmp_path):
    if importlib.util.find_spec("tensorrt") is None:
        pytest.skip("TensorRT is not installed on this GPU machine")
    network = onnx_toys.export("segment", tmp_path / "toy.onnx")
    facts = build_engine(network, "gpu", tmp_path / "toy.plan")
    plan = open_backend(facts.backend, facts.file)
    for feed in onnx_toys.feeds("segment"):
        expected = onnx_toys.run(network, feed)
        np.testing.assert_allclose(plan.infer(feed)["probability"], expected, atol=2e-3)
    plan.close()
