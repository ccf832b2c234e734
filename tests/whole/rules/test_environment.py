"""Tests skip where a package is missing; these fail, so that no standing check can pass by skipping."""

from importlib.util import find_spec

import pytest

from edgebs.cli import TARGET_NAMES
from engines import Target


@pytest.mark.parametrize(
    "module",
    [
        "torch",
        "onnx",
        "nncf",
        "openvino",
        "onnxruntime",
        "tensorrt_rtx",
        "tensorrt_lean",
        "cuda",
        "tensorflow",
    ],
)
def test_what_the_standing_checks_need_is_installed(module):
    assert find_spec(module) is not None


def test_the_command_line_names_the_targets_that_there_are():
    assert {target.value for target in Target} == set(TARGET_NAMES)
