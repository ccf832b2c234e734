"""What may be imported by what, checked by importing it where the rest is missing."""

import pkgutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

import edgebs
import engines

ROOT = Path(__file__).parents[3]

BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)
sys.meta_path.insert(0, Blocked())
"""

FORBIDDEN = ("torch", "onnx", "onnxsim", "nncf")
EXTRAS = (
    *FORBIDDEN,
    "cv2",
    "openvino",
    "onnxruntime",
    "tensorrt",
    "tensorrt_rtx",
    "cuda",
    "safetensors",
    "tensorflow",
)

HEAVY = {*EXTRAS, "numpy", "av"}


def python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )


def modules_of(package):
    return sorted(name for _, name, _ in pkgutil.walk_packages(package.__path__, f"{package.__name__}."))


def test_every_module_that_runs_on_an_appliance_imports_without_torch_and_onnx():
    names = modules_of(edgebs) + modules_of(engines)
    assert len(names) > 20
    code = BLOCK.format(blocked=FORBIDDEN) + "import importlib\n"
    done = python(code + "\n".join(f"importlib.import_module({name!r})" for name in names))
    assert done.returncode == 0, done.stderr


def test_the_block_really_blocks():
    done = python(BLOCK.format(blocked=FORBIDDEN) + "import torch")
    assert "torch is blocked" in done.stderr


def test_help_needs_no_extra():
    code = (
        BLOCK.format(blocked=EXTRAS)
        + "import sys; from edgebs.cli import main; sys.argv[1:] = ['--help']; main()"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert "calibrate" in done.stdout


@pytest.mark.parametrize(
    "command",
    ["export", "import-weights", "calibrate", "bench", "parity", "run", "inspect", "doctor", "models"],
)
def test_the_help_of_every_command_needs_no_extra(command):
    code = BLOCK.format(blocked=EXTRAS) + "import sys; from edgebs.cli import main; main()"
    done = python(code, command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_doctor_and_models_work_with_no_extra_installed():
    code = BLOCK.format(blocked=EXTRAS) + "import sys; from edgebs.cli import main; main()"
    assert "crossnet" in python(code, "models").stdout
    assert "Traceback" not in python(code, "doctor").stderr


@pytest.mark.parametrize(
    "arguments", [("run", "b", "--source", "x"), ("bench", "--fps", "b"), ("calibrate", "x", "--out", "y")]
)
def test_without_opencv_a_command_names_the_one_that_installs_it(arguments):
    code = BLOCK.format(blocked=("cv2",)) + "import sys; from edgebs.cli import main; main()"
    done = python(code, *arguments)
    assert done.returncode == 1
    assert "needs OpenCV: pip install 'edgebs[headless]'" in done.stderr


def test_without_torch_the_baseline_names_the_command_that_installs_it(tiny_bundle, street_video):
    code = BLOCK.format(blocked=("torch",)) + "import sys; from edgebs.cli import main; main()"
    options = ("--source", str(street_video), "--threads", "1", "--frames", "5")
    done = python(code, "bench", "--fps", str(tiny_bundle.path), *options)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "pip install 'edgebs[export]'" in done.stderr


def imported_by(code):
    """Names of the modules that the code loads beyond those that Python loads to start."""
    report = "import sys; before = set(sys.modules)\ntry:\n    {}\nexcept SystemExit: pass\n{}"
    done = python(report.format(code, "print('\\nmodules', *sorted(set(sys.modules) - before))"))
    assert done.returncode == 0, done.stderr
    word, *names = done.stdout.splitlines()[-1].split()
    assert word == "modules"
    return set(names)


def packages_of(names):
    """The installed packages among them, without Python's own modules."""
    return {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"__main__"}


def test_importing_edgebs_loads_no_other_package():
    names = imported_by("import edgebs")
    assert packages_of(names) == {"edgebs"}
    # errors, device_options and version; each module more is time before the first frame.
    assert len([name for name in names if name.startswith("edgebs.")]) <= 6


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_loads_no_heavy_package_and_few_modules(arguments):
    names = imported_by(f"sys.argv[1:] = {arguments}; from edgebs.cli import main; main()")
    assert packages_of(names) & HEAVY == set()
    ours = {name for name in names if name.startswith("edgebs.") and not name.startswith("edgebs.cli")}
    assert len(ours) <= 12, sorted(ours)


def test_a_cpu_box_never_loads_the_nvidia_wing():
    frame = "numpy.zeros((90, 160, 3), numpy.uint8)"
    names = imported_by(f"import edgebs, numpy; edgebs.load('edge').process({frame})")
    assert {name for name in names if name.startswith("edgebs.nvidia")} == {"edgebs.nvidia"}


def test_the_count_of_modules_sees_a_heavy_one():
    assert packages_of(imported_by("import edgebs, numpy")) & HEAVY == {"numpy"}


def test_the_wheel_installs_these_names_and_no_others():
    installed = set((distribution("edgebs").read_text("top_level.txt") or "").split())
    assert installed == {"bench", "calib", "edgebs", "engines", "export"}


def test_the_distribution_cannot_be_uploaded_by_mistake():
    assert "Private :: Do Not Upload" in (distribution("edgebs").metadata.get_all("Classifier") or [])
