"""What works here, what does not, and the exact command that repairs it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from edgebs.bundle.plan import AHEAD_OF_TIME, ON_THE_GPU
from edgebs.facts import Environment, probe_environment
from edgebs.machine.cpu import Cpu
from edgebs.machine.extras import EXPORT_MODULES
from edgebs.nvidia.tensorrt import INSTALL

_JETPACK_VENV = "python3 -m venv --system-site-packages VENV, and install edgebs in that"


class TargetFacts(Protocol):
    """What the doctor must know of a target; engines.Target has it."""

    @property
    def value(self) -> str:
        """The word typed after `--target`."""

    @property
    def backend(self) -> str:
        """The runtime that loads its engine."""

    @property
    def module(self) -> str:
        """The Python module that builds its engine; empty if none is needed."""

    @property
    def needs_gpu(self) -> bool:
        """True if it is built on the GPU that will run it."""

    @property
    def compute_capability(self) -> str:
        """Of the GPU that it needs; empty if any will do, or none is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that was looked at."""

    name: str
    ok: bool
    """False if it is absent or in the way."""
    needed: bool = False
    """True if nothing runs without it."""
    found: str
    """What is there, or what is wrong with it."""
    repair: str = ""
    """The command, or what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """What can be done with one target here."""

    target: str
    can_build: bool
    build_needs: str = ""
    """What building lacks, with the command; empty if it can."""
    can_run: bool
    run_needs: str = ""
    """What running lacks, with the command; empty if it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The state of one machine and Python environment."""

    items: tuple[Item, ...]
    targets: tuple[TargetReport, ...]
    cpu: Cpu = field(default_factory=Cpu)

    @property
    def ok(self) -> bool:
        """True if everything needed is there and at least one target runs."""
        return all(item.ok for item in self.items if item.needed) and any(t.can_run for t in self.targets)

    @property
    def exit_code(self) -> int:
        """0 if something can run here, else 1."""
        return 0 if self.ok else 1

    def to_json(self) -> dict[str, Any]:
        """For `edgebs doctor --json`."""
        return {
            "ok": self.ok,
            "cpu": self.cpu.to_json(),
            "items": [asdict(item) for item in self.items],
            "targets": [asdict(target) for target in self.targets],
        }


def diagnose(targets: Iterable[TargetFacts], here: Environment | None = None) -> Report:
    """The report on `here` (default: this process), for `targets` (tuple(engines.Target))."""
    here = here if here is not None else probe_environment()
    items = (
        Item(name="python", ok=True, found=here.python),
        Item(name="edgebs", ok=True, found=here.edgebs),
        _module(here, "numpy", "pip install 'numpy>=1.26'", needed=True),
        *_opencv(here),
        _module(here, "openvino", "pip install 'edgebs[cpu]'"),
        _module(here, "onnxruntime", "pip install 'edgebs[onnx]'"),
        _tensorrt(here),
        _module(here, "tensorrt_rtx", "pip install 'edgebs[rtx]'"),
        _module(here, "cuda.bindings", "pip install 'edgebs[cuda]'"),
        _exporter(here),
        *_machine(here),
        *(Item(name="doctor", ok=False, found=f"could not look at {failure}") for failure in here.failures),
    )
    return Report(items=items, targets=tuple(_target(here, target) for target in targets), cpu=here.cpu)


def format_report(report: Report) -> str:
    """The report for people: a line for each item, the repair under what is not well."""
    lines = []
    for item in report.items:
        sign = "ok" if item.ok else "MISSING" if item.needed else "-"
        lines.append(f"{sign:8}{item.name:16}{item.found}")
        if item.repair:
            lines.append(f"{'':24}-> {item.repair}")
    lines += ["", f"{'target':8}{'build':8}{'run':8}"]
    for target in report.targets:
        build, run = ("yes" if can else "no" for can in (target.can_build, target.can_run))
        lines.append(f"{target.target:8}{build:8}{run:8}{_needs(target)}".rstrip())
    lines += ["", "Ready." if report.ok else "Nothing can run here yet: see the lines with ->."]
    return "\n".join(lines)


def _needs(target: TargetReport) -> str:
    if target.build_needs == target.run_needs:
        return target.build_needs
    named = (("build", target.build_needs), ("run", target.run_needs))
    return "; ".join(f"to {verb}: {needs}" for verb, needs in named if needs)


def _module(here: Environment, module: str, command: str, *, needed: bool = False) -> Item:
    version = here.modules.get(module, "")
    return Item(
        name=module,
        ok=bool(version),
        needed=needed,
        found=version or "not installed",
        repair="" if version else command,
    )


def _tensorrt(here: Environment) -> Item:
    item = _module(here, "tensorrt", "pip install 'edgebs[trt]'")
    if item.ok or not here.l4t:
        return item
    visible = "" if here.sees_system_packages else f"; then {_JETPACK_VENV}"
    return Item(
        name="tensorrt", ok=False, found=item.found, repair=f"sudo apt install nvidia-jetpack{visible}"
    )


def _exporter(here: Environment) -> Item:
    missing = [module for module in EXPORT_MODULES if module not in here.modules]
    found = (
        f"not installed: {', '.join(missing)}" if missing else f"torch {here.modules['torch']} and its tools"
    )
    return Item(
        name="exporter", ok=not missing, found=found, repair="pip install 'edgebs[export]'" if missing else ""
    )


def _opencv(here: Environment) -> Sequence[Item]:
    if not here.opencv_file:
        return [_opencv_item(ok=False, found="not installed", repair=_opencv_install(here))]
    if here.opencv_error:
        found = f"{here.opencv_file} does not load: {here.opencv_error}"
        return [_opencv_item(ok=False, found=found, repair=_opencv_replace(here))]
    origin = " and ".join(here.opencv_wheels) or here.opencv_file
    gstreamer = "with" if here.opencv_has_gstreamer else "without"
    works = _opencv_item(ok=True, found=f"{here.opencv_version} from {origin}, {gstreamer} GStreamer")
    conflicts = [_two_wheels(here), _shadowed(here)]
    return [works, *(conflict for conflict in conflicts if conflict is not None)]


def _opencv_item(*, ok: bool, found: str, repair: str = "") -> Item:
    return Item(name="opencv", ok=ok, needed=True, found=found, repair=repair)


def _opencv_install(here: Environment) -> str:
    if not here.l4t:
        return "pip install 'edgebs[headless]' (or 'edgebs[gui]' where windows are opened)"
    if here.system_opencv:
        return f"JetPack's OpenCV is in {here.system_opencv[0]}: {_JETPACK_VENV}"
    return "sudo apt install nvidia-opencv (JetPack's OpenCV has GStreamer, a wheel has not)"


def _opencv_replace(here: Environment) -> str:
    remove = f"pip uninstall -y {' '.join(here.opencv_wheels)} && " if here.opencv_wheels else ""
    return remove + "pip install 'edgebs[headless]'"


def _two_wheels(here: Environment) -> Item | None:
    if len(here.opencv_wheels) < 2:
        return None
    return Item(
        name="opencv wheels",
        ok=False,
        found=f"{len(here.opencv_wheels)} wheels overwrite each other: {', '.join(here.opencv_wheels)}",
        repair=_opencv_replace(here),
    )


def _shadowed(here: Environment) -> Item | None:
    """A wheel in front of the system's OpenCV, which on a Jetson is the one that reads cameras."""
    if not here.opencv_wheels or not here.system_opencv or not (here.l4t or here.sees_system_packages):
        return None
    wheels = " ".join(here.opencv_wheels)
    whose = "JetPack's" if here.l4t else "the system's"
    repair = f"pip uninstall -y {wheels}"
    if not here.sees_system_packages:
        repair = f"{repair}, then {_JETPACK_VENV}"
    return Item(
        name="opencv shadow",
        ok=False,
        found=f"{wheels} hides {whose} OpenCV in {here.system_opencv[0]}, which may have GStreamer",
        repair=repair,
    )


def _machine(here: Environment) -> Sequence[Item]:
    found = f"{here.cpu.name or here.platform}: {here.cpu.instruction_sets}"
    items = [Item(name="cpu", ok=True, found=found), _int8(here.cpu)]
    if here.l4t:
        items.append(Item(name="jetson", ok=True, found=f"L4T {here.l4t}{_jetpack(here.l4t)}"))
    if here.gpu is None:
        return [*items, Item(name="gpu", ok=False, found=here.no_gpu or "no NVIDIA GPU")]
    gpu = here.gpu
    found = f"{gpu.name}, compute capability {gpu.compute_capability}, driver for CUDA {gpu.driver}"
    return [*items, Item(name="gpu", ok=True, found=found)]


def _int8(cpu: Cpu) -> Item:
    """What this processor does with INT8 networks; a limit that makes it worse is to be removed."""
    variable = cpu.limit.partition("=")[0]
    is_made_worse = cpu.unlimited.int8.is_exact and not cpu.int8.is_exact
    repair = f"unset {variable}, or use an FP32 bundle" if is_made_worse else ""
    return Item(name="int8", ok=not is_made_worse, found=cpu.int8.words, repair=repair)


def _jetpack(l4t: str) -> str:
    jetpack = {"32": "4", "35": "5", "36": "6", "38": "7", "39": "7"}.get(l4t.split(".")[0])
    return f" (JetPack {jetpack})" if jetpack else ""


def _target(here: Environment, target: TargetFacts) -> TargetReport:
    build, run = _build_needs(here, target), _run_needs(here, target)
    return TargetReport(
        target=target.value, can_build=not build, build_needs=build, can_run=not run, run_needs=run
    )


def _build_needs(here: Environment, target: TargetFacts) -> str:
    if any(module not in here.modules for module in EXPORT_MODULES):
        return "pip install 'edgebs[export]'"
    if target.backend not in here.modules:  # which builds it, or runs its parity check
        return _backend_command(target)
    if target.needs_gpu:
        return _gpu_needs(here, target)
    return ""


def _run_needs(here: Environment, target: TargetFacts) -> str:
    if target.backend not in here.modules:
        return _backend_command(target)
    return _gpu_needs(here, target) if target.module else ""


def _backend_command(target: TargetFacts) -> str:
    commands = {"openvino": "pip install 'edgebs[cpu]'", "onnxruntime": "pip install 'edgebs[onnx]'"}
    return commands.get(target.backend) or INSTALL[target.backend]


def _gpu_needs(here: Environment, target: TargetFacts) -> str:
    if "cuda.bindings" not in here.modules:
        return "pip install 'edgebs[cuda]'"
    if here.gpu is None:
        return "an NVIDIA GPU"
    if target.value == "rtx" and here.gpu.compute_capability not in (*AHEAD_OF_TIME, *ON_THE_GPU):
        return f"a GPU that TensorRT-RTX knows; it has nothing for {here.gpu.compute_capability}"
    wanted = target.compute_capability
    if wanted and wanted != here.gpu.compute_capability:
        return f"a GPU of compute capability {wanted}; this one is {here.gpu.compute_capability}"
    return ""
