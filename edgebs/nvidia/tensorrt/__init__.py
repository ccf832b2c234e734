"""TensorRT 8.6, 10, 11 and TensorRT-RTX: engines, contexts, kernel cache."""

from __future__ import annotations

import gc
import importlib
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from edgebs.bundle.plan import PlanFacts, check_plan_fits, platform_name
from edgebs.errors import BackendError, MissingDependency
from edgebs.nvidia import cuda

MODULES = ("tensorrt", "tensorrt_rtx", "tensorrt_lean")

INSTALL = {
    "tensorrt": "needs TensorRT: pip install 'edgebs[trt]' (on Jetson it comes with JetPack)",
    "tensorrt_rtx": "needs TensorRT-RTX: pip install 'edgebs[rtx]'",
    "tensorrt_lean": "needs TensorRT's lean runtime: pip install 'edgebs[lean]'",
}

# By name: the numbers differ between versions, and trt.nptype of 8.6 fails with numpy 1.24 and later.
_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "BOOL": "bool",
}

log = logging.getLogger("edgebs.tensorrt")


def import_tensorrt(module: str) -> Any:
    """The module `tensorrt` or `tensorrt_rtx`; MissingDependency with the command that installs it."""
    if module not in MODULES:
        raise BackendError(f"unknown TensorRT module '{module}'; known: {', '.join(MODULES)}")
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: its shared libraries do not load
        found = "" if isinstance(error, ModuleNotFoundError) else f" (found, but: {error})"
        raise MissingDependency(INSTALL[module] + found) from error


def numpy_dtype(trt_dtype: Any, tensor: str) -> str:
    """The numpy name of a TensorRT data type."""
    try:
        return _DTYPES[trt_dtype.name]
    except KeyError as error:
        raise BackendError(f"tensor '{tensor}' has type {trt_dtype.name}, which numpy lacks") from error


def plan_facts_here(module: str, device: int = 0) -> PlanFacts:
    """What is here to load a plan of `module`: its version and GPU `device`. Never raises for an absence."""
    try:
        version = str(import_tensorrt(module).__version__)
    except MissingDependency:
        version = ""
    found = cuda.device_count()
    gpu = cuda.device_facts(device) if found.count > device else None
    return PlanFacts(
        module=module,
        tensorrt=version,
        compute_capability=gpu.compute_capability if gpu else "",
        platform=platform_name(),
        gpu=gpu.name if gpu else "",
        no_gpu=found.reason or ("" if gpu else f"there are {found.count}, and {device} was asked for"),
    )


@contextmanager
def without_collection() -> Iterator[None]:
    """No garbage collection inside the block, in which TensorRT may call a logger of `make_logger`.

    TensorRT holds a lock while it does, and freeing a builder takes the same lock: a collection in the logger
    that finds one, as in the traceback of a failed build, would wait for itself for ever.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def make_logger(trt: Any) -> Any:
    """A TensorRT logger that passes messages on to `logging`, and keeps the last errors in `errors`."""
    severity = trt.ILogger.Severity
    levels = {
        severity.INTERNAL_ERROR: logging.ERROR,
        severity.ERROR: logging.ERROR,
        severity.WARNING: logging.WARNING,
        severity.INFO: logging.DEBUG,  # TensorRT's "info" is a builder's diary
        severity.VERBOSE: logging.NOTSET,
    }

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: deque[str] = deque(maxlen=8)

        def log(self, severity: Any, message: str) -> None:
            level = levels.get(severity, logging.NOTSET)
            if level >= logging.ERROR:
                # Every error becomes part of an exception: not shown a second time by default.
                self.errors.append(message)
                log.debug("%s", message)
            elif level:
                log.log(level, "%s", message)

    return Logger()


def last_error(logger: Any) -> str:
    """The first of the recent errors (the later ones follow from it), and forget them."""
    message = str(logger.errors[0]) if logger.errors else "TensorRT gave no reason"
    logger.errors.clear()
    return message


# The differences at run time between TensorRT 8.6, 10, 11, the lean runtime and TensorRT-RTX. Capabilities
# are looked up by name: version numbers say little (RTX counts from 1), and numbers of enum members changed.
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
    """Whether a run of `context` can be captured, by TensorRT; True for versions without that query."""
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


def check_plan_fits_here(
    build: Mapping[str, Any], *, where: str, target: str, device: int = 0, lean: bool = False
) -> None:
    """Raise EngineMismatch unless a plan with the facts `build`, of a manifest, fits GPU `device` here.

    lean: whether the package tensorrt_lean will load it: plans of its own version, or with a runtime inside.
    """
    facts = PlanFacts.from_json(build)
    if lean:
        cuda.revive_device(device)
        is_inside = all(said.get("lean_runtime") == "inside" for said in build.get("networks", {}).values())
        facts = replace(facts, version_compatible=facts.version_compatible and is_inside)
        here = replace(plan_facts_here("tensorrt_lean", device), module=facts.module)
        check_plan_fits(facts, here, where=where, target=target)
        return
    cuda.revive_device(device)
    here = plan_facts_here(facts.module, device)
    if facts.version_compatible and not here.tensorrt:
        here = plan_facts_here("tensorrt_lean", device)
    check_plan_fits(facts, here, where=where, target=target)
