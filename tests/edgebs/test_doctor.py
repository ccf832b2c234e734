"""edgebs/doctor.py: what it says of machines that we do not have here."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes.process import cpu_texts
from fakes.process.waiting import WATCHDOG_S

from edgebs import facts as surroundings
from edgebs.doctor import Item, Report, diagnose, format_report
from edgebs.facts import Environment, probe_environment
from edgebs.machine.cpu import Cpu
from edgebs.machine.extras import EXPORT_MODULES
from edgebs.nvidia.cuda import DeviceFacts
from engines import Target

TARGETS = tuple(Target)
EXPORTER = dict.fromkeys((*EXPORT_MODULES, "openvino"), "1.0")
RTX_2080_TI = DeviceFacts(name="RTX 2080 Ti", compute_capability="7.5", driver="13.0", memory_bytes=11 << 30)
BOX = Environment(
    python="3.12.3",
    modules={"numpy": "2.4.6", "openvino": "2026.4.1"},
    opencv_wheels={"opencv-python-headless": "4.12"},
    opencv_file="/venv/cv2/__init__.py",
    opencv_version="4.12.0",
    no_gpu="no NVIDIA driver is installed",
    cpu=Cpu(name="EPYC", built_in=("avx2", "avx_vnni"), features=("avx2", "avx_vnni")),
)
JETSON = replace(
    BOX,
    modules={"numpy": "1.26", "tensorrt": "10.3.0", "cuda.bindings": "12.9"},
    opencv_wheels={},
    opencv_file="/usr/lib/python3.10/dist-packages/cv2/__init__.py",
    opencv_version="4.8.0",
    opencv_has_gstreamer=True,
    system_opencv=("/usr/lib/python3.10/dist-packages/cv2",),
    l4t="36.4.3",
    no_gpu="",
    gpu=DeviceFacts(name="Orin", compute_capability="8.7", driver="12.6", memory_bytes=8 << 30),
)


def item(report: Report, name: str) -> Item:
    (found,) = (item for item in report.items if item.name == name)
    return found


def names(report: Report) -> set[str]:
    return {item.name for item in report.items}


def runs(here: Environment) -> set[str]:
    return {target.target for target in diagnose(TARGETS, here).targets if target.can_run}


def builds(here: Environment) -> set[str]:
    return {target.target for target in diagnose(TARGETS, here).targets if target.can_build}


def test_a_headless_box_with_openvino_is_ready() -> None:
    report = diagnose(TARGETS, BOX)
    assert report.exit_code == 0
    assert runs(BOX) == {"cpu"}
    assert item(report, "opencv").found == "4.12.0 from opencv-python-headless, without GStreamer"
    assert item(report, "tensorrt").repair == "pip install 'edgebs[trt]'"
    assert item(report, "gpu").found == "no NVIDIA driver is installed"
    assert not {"opencv wheels", "opencv shadow", "jetson"} & names(report)


def test_a_plain_install_names_the_two_commands_that_are_missing() -> None:
    report = diagnose(TARGETS, Environment(modules={"numpy": "2.0"}))
    assert report.exit_code == 1
    assert item(report, "opencv").repair.startswith("pip install 'edgebs[headless]'")
    assert item(report, "openvino").repair == "pip install 'edgebs[cpu]'"


def test_nothing_runs_without_opencv_even_with_a_backend() -> None:
    assert diagnose(TARGETS, replace(BOX, opencv_file="")).exit_code == 1


def test_an_opencv_that_does_not_load_is_replaced_by_the_headless_wheel() -> None:
    broken = replace(
        BOX,
        opencv_wheels={"opencv-python": "4.12"},
        opencv_error="libGL.so.1: cannot open shared object file",
    )
    report = diagnose(TARGETS, broken)
    assert report.exit_code == 1
    assert "libGL.so.1" in item(report, "opencv").found
    assert item(report, "opencv").repair == (
        "pip uninstall -y opencv-python && pip install 'edgebs[headless]'"
    )


def test_two_wheels_are_a_conflict() -> None:
    both = replace(BOX, opencv_wheels={"opencv-python": "4.12", "opencv-python-headless": "4.12"})
    report = diagnose(TARGETS, both)
    conflict = item(report, "opencv wheels")
    assert not conflict.ok
    assert "opencv-python, opencv-python-headless" in conflict.found
    assert conflict.repair == (
        "pip uninstall -y opencv-python opencv-python-headless && pip install 'edgebs[headless]'"
    )
    assert report.exit_code == 0  # it still runs


def test_jetpack_with_its_own_opencv_is_ready() -> None:
    report = diagnose(TARGETS, JETSON)
    assert report.exit_code == 0
    assert runs(JETSON) == {"gpu"}
    assert item(report, "jetson").found == "L4T 36.4.3 (JetPack 6)"
    assert item(report, "opencv").found.endswith("with GStreamer")
    assert "opencv shadow" not in names(report)


def test_a_wheel_that_hides_jetpacks_opencv_is_to_be_uninstalled() -> None:
    hidden = replace(
        JETSON, opencv_wheels={"opencv-python-headless": "4.12"}, opencv_file="/venv/cv2/__init__.py"
    )
    shadow = item(diagnose(TARGETS, hidden), "opencv shadow")
    assert "hides JetPack's OpenCV in /usr/lib/python3.10/dist-packages/cv2" in shadow.found
    assert shadow.repair == "pip uninstall -y opencv-python-headless"
    sealed = item(diagnose(TARGETS, replace(hidden, sees_system_packages=False)), "opencv shadow")
    assert "python3 -m venv --system-site-packages" in sealed.repair


def test_a_system_opencv_that_the_environment_cannot_see_is_no_matter_off_a_jetson() -> None:
    system = ("/usr/lib/python3/dist-packages/cv2.abi3.so",)
    sealed = replace(BOX, system_opencv=system, sees_system_packages=False)
    assert "opencv shadow" not in names(diagnose(TARGETS, sealed))
    assert "opencv shadow" in names(diagnose(TARGETS, replace(sealed, sees_system_packages=True)))


def test_a_jetson_venv_that_hides_opencv_or_tensorrt_says_how_to_make_it() -> None:
    sealed = replace(JETSON, opencv_file="", sees_system_packages=False, modules={"numpy": "1.26"})
    report = diagnose(TARGETS, sealed)
    assert "--system-site-packages" in item(report, "opencv").repair
    assert "sudo apt install nvidia-jetpack; then python3 -m venv" in item(report, "tensorrt").repair
    bare = diagnose(TARGETS, replace(sealed, system_opencv=()))
    assert "sudo apt install nvidia-opencv" in item(bare, "opencv").repair


def test_a_plan_runs_only_on_its_compute_capability() -> None:
    modules = {**BOX.modules, "tensorrt_rtx": "1.7", "cuda.bindings": "13.5"}
    desktop = replace(BOX, modules=modules, gpu=RTX_2080_TI, no_gpu="")
    assert runs(desktop) == {"cpu", "sm75", "rtx"}
    targets = {target.target: target for target in diagnose(TARGETS, desktop).targets}
    assert targets["sm86"].run_needs == "a GPU of compute capability 8.6; this one is 7.5"
    assert "pip install 'edgebs[trt]'" in targets["gpu"].run_needs


def test_building_needs_the_exporter_and_only_gpu_and_rtx_need_a_gpu() -> None:
    assert builds(BOX) == set()
    builder = replace(BOX, modules=EXPORTER | {"numpy": "2", "tensorrt_rtx": "1.7", "tensorrt": "11.4"})
    assert builds(builder) == {"cpu", "onnx", "sm75", "sm86", "sm89", "sm120"}
    targets = {target.target: target for target in diagnose(TARGETS, builder).targets}
    assert targets["gpu"].build_needs == "pip install 'edgebs[cuda]'"
    no_gpu = replace(builder, modules={**builder.modules, "cuda.bindings": "13.5"})
    targets = {target.target: target for target in diagnose(TARGETS, no_gpu).targets}
    assert targets["gpu"].build_needs == "an NVIDIA GPU"
    assert {"gpu", "rtx"} <= builds(replace(no_gpu, gpu=RTX_2080_TI))


def test_the_report_is_readable_and_json() -> None:
    report = diagnose(TARGETS, replace(BOX, failures=("cpu: OSError: no",)))
    data = json.loads(json.dumps(report.to_json()))
    assert data["ok"] is True
    assert {"name", "ok", "needed", "found", "repair"} == set(data["items"][0])
    assert {"target": "cpu", "can_run": True}.items() <= data["targets"][0].items()
    text = format_report(report)
    assert "could not look at cpu: OSError: no" in text
    assert "-> pip install 'edgebs[trt]'" in text
    assert text.endswith("Ready.")
    assert "Nothing can run here yet" in format_report(diagnose(TARGETS, Environment()))


def test_it_survives_whatever_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("illness")

    broken.__name__ = "_broken"
    for name in ("_modules", "_opencv_file", "this_cpu", "_l4t", "_system_opencv", "_sees_system_packages"):
        monkeypatch.setattr(surroundings, name, broken)
    monkeypatch.setattr(surroundings.cuda, "device_count", broken)
    here = probe_environment()
    assert len(here.failures) == 7
    assert diagnose(TARGETS, here).exit_code == 1


def test_this_machine_is_looked_at_without_the_heavy_modules() -> None:
    code = (
        "import sys; from edgebs.doctor import diagnose; from engines import Target\n"
        "report = diagnose(tuple(Target)); assert len(report.items) > 8; assert report.targets\n"
        "heavy = {'torch', 'onnx', 'openvino', 'onnxruntime', 'tensorrt_rtx', 'nncf'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=WATCHDOG_S, cwd=Path(__file__).parents[2]
    )


def test_a_jetsons_release_and_cpu_are_read_from_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = tmp_path / "nv_tegra_release"
    release.write_text("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic")
    cpu_texts.use("model name\t: ARMv8 rev 1\nFeatures\t: fp asimd asimddp\n", monkeypatch, tmp_path)
    places = {"/etc/nv_tegra_release": release}
    monkeypatch.setattr(surroundings, "Path", lambda path: places.get(path, Path(path)))
    here = probe_environment()
    assert here.l4t == "36.4.3"
    assert (here.cpu.name, here.cpu.features) == ("ARMv8 rev 1", ("asimd", "asimddp"))


@pytest.mark.parametrize(
    ("text", "sets", "ok", "words"),
    [
        (cpu_texts.SSE4, "sse4_1, sse4_2", True, "no VNNI: pairs of products are summed in 16 bits"),
        (cpu_texts.AVX2, "avx2, fma", True, "no VNNI: pairs of products are summed in 16 bits"),
        (cpu_texts.AVX512, "avx512vl", True, "no VNNI: pairs of products are summed in 16 bits"),
        (cpu_texts.AVX_VNNI, "avx_vnni", True, "exact 32-bit sums (VNNI)"),
        (cpu_texts.AVX512_VNNI, "avx512_vnni", True, "exact 32-bit sums (VNNI)"),
        (cpu_texts.AMX, "amx_int8", True, "exact 32-bit sums (VNNI)"),
        (cpu_texts.NEON, "asimd", True, "its sums have not been measured"),
        (cpu_texts.DOTPROD, "asimddp", True, "exact 32-bit sums (dot product instructions)"),
        ("", "instruction sets unknown", True, "the instruction sets are unknown"),
    ],
)
def test_what_this_cpu_does_with_int8_is_stated(
    text: str, sets: str, ok: bool, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu_texts.use(text, monkeypatch, tmp_path)
    report = diagnose(TARGETS, replace(BOX, cpu=probe_environment().cpu))
    assert sets in item(report, "cpu").found
    int8 = item(report, "int8")
    assert (int8.ok, int8.repair) == (ok, "")
    assert words in int8.found
    assert report.exit_code == 0  # FP32 runs everywhere
    assert report.to_json()["cpu"]["int8"] == probe_environment().cpu.int8.value


def test_a_limit_that_takes_vnni_away_is_to_be_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_texts.use(cpu_texts.AVX512_VNNI, monkeypatch, tmp_path)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    report = diagnose(TARGETS, replace(BOX, cpu=probe_environment().cpu))
    assert "limited by ONEDNN_MAX_CPU_ISA=AVX2" in item(report, "cpu").found
    assert item(report, "int8").repair == "unset ONEDNN_MAX_CPU_ISA, or use an FP32 bundle"
