"""Where TensorRT 8.6, 10, 11, its lean runtime and TensorRT-RTX differ at run time, in one place.

Everything is asked by the name of a capability: versions say little (RTX counts from 1), and the numbers of
enum members changed from version to version.
"""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger(__name__)


def scratch_bytes(engine: Any) -> int:
    """Device memory that one context of `engine` needs while it runs."""
    if hasattr(engine, "device_memory_size_v2"):
        return int(engine.device_memory_size_v2)
    return int(engine.device_memory_size)  # 8.6 and 10.0; gone in 11


def create_runtime_cache(trt: Any, engine: Any) -> Any:
    """An empty cache for the kernels that `engine`'s contexts compile; None where plans bring theirs."""
    if not hasattr(trt, "IRuntimeCache"):
        return None
    config = engine.create_runtime_config()
    return config.create_runtime_cache()


def create_context(trt: Any, engine: Any, *, is_user_managed: bool, runtime_cache: Any = None) -> Any:
    """An execution context, or None. is_user_managed: it gets its scratch memory by `give_scratch`.

    runtime_cache: what `create_runtime_cache` made, for this engine's contexts in all threads.
    """
    if hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
        config = _rtx_config(trt, engine, is_user_managed)
        if runtime_cache is not None and not config.set_runtime_cache(runtime_cache):
            log.warning("TensorRT-RTX takes no runtime cache: it compiles every kernel again")
        return engine.create_execution_context(config)
    if not is_user_managed:
        return engine.create_execution_context()
    if hasattr(trt, "ExecutionContextAllocationStrategy"):
        return engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
    return engine.create_execution_context_without_device_memory()


def give_scratch(context: Any, address: int, nbytes: int) -> None:
    """Let `context` use this device memory, aligned to 256 bytes, whenever it runs."""
    if hasattr(context, "set_device_memory"):
        context.set_device_memory(address, nbytes)
    else:
        context.device_memory = address


def is_capturable(context: Any, stream: int) -> bool:
    """Whether TensorRT says that a run of `context` can be captured; True where it cannot be asked."""
    return bool(context.is_stream_capturable(stream)) if hasattr(context, "is_stream_capturable") else True


def _rtx_config(trt: Any, engine: Any, is_user_managed: bool) -> Any:
    config = engine.create_runtime_config()
    strategies = trt.ExecutionContextAllocationStrategy
    config.set_execution_context_allocation_strategy(
        strategies.USER_MANAGED if is_user_managed else strategies.STATIC
    )
    # By default RTX compiles kernels for open shapes in the background: a capture would keep the slow
    # kernels that stand in for them (pytorch/TensorRT#4187). We capture, so RTX need not.
    kernels = trt.DynamicShapesKernelSpecializationStrategy
    config.dynamic_shapes_kernel_specialization_strategy = kernels.EAGER
    config.cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED
    return config
