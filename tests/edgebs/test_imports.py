"""What may be imported by what, checked by importing it where the rest is missing."""

import pkgutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest

import edgebs
import engines

ROOT = Path(__file__).parents[2]

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


def fastest(code):
    timed = f"import time; t = time.perf_counter()\n{code}\nprint(time.perf_counter() - t)"
    return min(float(python(timed).stdout.splitlines()[-1]) for _ in range(3))


def test_importing_edgebs_is_fast_and_pulls_neither_torch_nor_onnx():
    assert fastest("import edgebs") < 0.4
    done = python("import sys, edgebs; print([m for m in ('torch', 'onnx', 'cv2') if m in sys.modules])")
    assert done.stdout.strip() == "[]"


def test_help_is_instant():
    start = "import sys; sys.argv[1:] = ['--help']\nfrom edgebs.cli import main\n"
    code = start + "try: main()\nexcept SystemExit: pass"
    assert fastest(code) < 0.5


def test_the_wheel_installs_these_names_and_no_others():
    installed = set((distribution("edgebs").read_text("top_level.txt") or "").split())
    assert installed == {"bench", "calib", "edgebs", "engines", "export"}


def test_the_distribution_cannot_be_uploaded_by_mistake():
    assert "Private :: Do Not Upload" in (distribution("edgebs").metadata.get_all("Classifier") or [])
