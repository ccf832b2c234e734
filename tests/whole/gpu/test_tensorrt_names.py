"""Every TensorRT attribute and call in our code exists in the real modules, which both import without a GPU.

The source is walked, so a name that is written tomorrow is looked up tomorrow.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

import pytest

import edgebs
import engines

RUNTIME = Path(edgebs.__file__).parent / "nvidia" / "tensorrt"
ENGINES = Path(engines.__file__).parent

RUNTIME_FILES = tuple(RUNTIME / f"{name}.py" for name in ("__init__", "engine", "rtx_cache"))
BUILDER_FILES = tuple(file for file in sorted(ENGINES.glob("*.py")) if "trt" in file.read_text())

COMMON = {
    "trt": "",
    "self.trt": "",
    "engine.trt": "",
    "severity": "ILogger.Severity",
    "trt_dtype": "DataType.FLOAT",
}
RECEIVERS: dict[str, dict[str, str]] = {
    "__init__.py": COMMON
    | {
        "engine": "ICudaEngine",
        "context": "IExecutionContext",
        "config": "IRuntimeConfig",
        "strategies": "ExecutionContextAllocationStrategy",
        "kernels": "DynamicShapesKernelSpecializationStrategy",
    },
    "rtx_cache.py": COMMON | {"self.native": "IRuntimeCache"},
    "layers.py": COMMON | {"runtime": "Runtime", "engine": "ICudaEngine", "inspector": "EngineInspector"},
    "engine.py": COMMON
    | {
        "self.engine": "ICudaEngine",
        "engine.engine": "ICudaEngine",
        "context": "IExecutionContext",
        "self._context": "IExecutionContext",
        "runtime": "Runtime",
        "self._runtime": "Runtime",
    },
}
BUILDER = COMMON | {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "layer": "ILayer",
    "sampling": "IGridSampleLayer",
    "flags": "NetworkDefinitionCreationFlag",
    "profile": "IOptimizationProfile",
}
"""What each expression that stands before a dot is, in the real modules; "" is the module itself."""

OLD_RUNTIME = {"ICudaEngine.device_memory_size", "ICudaEngine.create_execution_context_without_device_memory"}
"""Of 8.6 and 10.0, used where the newer names are absent."""
RTX_ONLY = {
    "DynamicShapesKernelSpecializationStrategy",
    "CudaGraphStrategy",
    "IRuntimeCache",
    "IRuntimeCache.serialize",
    "IRuntimeCache.deserialize",
    "IRuntimeConfig.create_runtime_cache",
    "IRuntimeConfig.set_runtime_cache",
    "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy",
    "IRuntimeConfig.cuda_graph_strategy",
    "IExecutionContext.is_stream_capturable",
}


def used(files: tuple[Path, ...]) -> dict[str, str]:
    """Every name on a TensorRT object, as "Class.name", with where it stands."""
    found = {}
    for file in files:
        receivers = RECEIVERS.get(file.name, BUILDER)
        for node in ast.walk(ast.parse(file.read_text())):
            for name in _names(node, receivers):
                found[name] = f"{file.name}:{getattr(node, 'lineno', 0)}"
    return found


def _names(node: ast.AST, receivers: dict[str, str]) -> list[str]:
    if isinstance(node, ast.Attribute):
        return _dotted(node, receivers)
    is_asked = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    if is_asked and node.func.id in ("hasattr", "getattr") and isinstance(node.args[1], ast.Constant):
        owner = _dotted(node.args[0], receivers) or [receivers.get(ast.unparse(node.args[0]), "?")]
        return [] if owner == ["?"] else [f"{owner[0]}.{node.args[1].value}".lstrip(".")]
    return []


def _dotted(node: ast.AST, receivers: dict[str, str]) -> list[str]:
    """The name in full where what stands before it is known: A.B for `trt.A.B`, Runtime.c for `runtime.c`."""
    if not isinstance(node, ast.Attribute) or ast.unparse(node) in receivers:
        return []
    before = ast.unparse(node.value)
    if before in receivers:
        return [f"{receivers[before]}.{node.attr}".lstrip(".")]
    outer = _dotted(node.value, receivers)
    # Members of the module's classes; what follows an instance's attribute is another class's.
    is_member = outer and before.removeprefix("self.").removeprefix("engine.").startswith("trt.")
    return [f"{outer[0]}.{node.attr}"] if is_member else []


def absent(module: Any, names: dict[str, str]) -> set[str]:
    return {name for name in names if not _exists(module, name)}


def _exists(module: Any, name: str) -> bool:
    owner = module
    for part in name.split("."):
        if not hasattr(owner, part):
            return False
        owner = getattr(owner, part)
    return True


def test_the_walk_sees_what_the_code_uses() -> None:
    names = used(RUNTIME_FILES)
    assert len(names) >= 40
    assert {
        "Runtime",
        "ILogger.Severity",
        "TensorIOMode.INPUT",
        "ICudaEngine.num_io_tensors",
        "IExecutionContext.execute_async_v3",
        "IExecutionContext.set_tensor_address",
        "Runtime.load_runtime",
        "ExecutionContextAllocationStrategy.USER_MANAGED",
        *OLD_RUNTIME,
        *RTX_ONLY,
    } <= set(names)
    assert len(used(BUILDER_FILES)) >= 40


def test_a_name_that_does_not_exist_is_noticed(tmp_path: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    source = tmp_path / "__init__.py"
    source.write_text(
        "trt.TensorIOMode.SIDEWAYS\ncontext.execute_async_v9(1)\nhasattr(engine, 'num_bindings')\n"
    )
    assert absent(trt, used((source,))) == {
        "TensorIOMode.SIDEWAYS",
        "IExecutionContext.execute_async_v9",
        "ICudaEngine.num_bindings",
    }


def test_every_runtime_name_exists_in_the_real_tensorrt_rtx() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    assert absent(trt, used(RUNTIME_FILES)) == OLD_RUNTIME


def test_every_runtime_name_exists_in_the_real_lean_runtime_of_tensorrt_11() -> None:
    lean = pytest.importorskip("tensorrt_lean", reason="needs pip install 'edgebs[lean]'")
    assert int(lean.__version__.split(".")[0]) >= 11
    assert absent(lean, used(RUNTIME_FILES)) == OLD_RUNTIME | RTX_ONLY | {
        "DynamicShapesKernelSpecializationStrategy.EAGER",
        "CudaGraphStrategy.DISABLED",
    }


def test_every_builder_name_exists_in_the_real_tensorrt_rtx() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    assert absent(trt, used(BUILDER_FILES)) == {
        # Of 8.6 and 10, where precision is not yet decided in the ONNX file alone.
        "BuilderFlag.FP16",
        "BuilderFlag.INT8",
        "BuilderFlag.OBEY_PRECISION_CONSTRAINTS",
        "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
        "ILayer.precision",
    }


@pytest.mark.parametrize("module", ["tensorrt_rtx", "tensorrt_lean"])
def test_both_modules_import_without_a_gpu(module: str) -> None:
    pytest.importorskip(module, reason="needs pip install 'edgebs[rtx,lean]'")
    assert importlib.import_module(module).Runtime
