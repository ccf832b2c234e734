"""edgebs/machine/interrupts.py: each in a process of its own, for it ends the process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.process.programs import program
from fakes.process.waiting import WATCHDOG_S

from edgebs.machine import interrupts

START = """
import os, signal, sys, threading, time
from pathlib import Path
from edgebs.machine import interrupts
interrupts.install()
def said(word):
    print(word, flush=True)
"""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ended(
    code: str, *sent: signal.Signals, folder: Path | None = None, gap_s: float = 0.0
) -> tuple[int, str, str]:
    """Exit code and outputs of a process that runs `code` and gets signals once it has said "ready"."""
    with program(START + code, folder, says="ready") as process:
        for number in sent:
            process.send_signal(number)
            time.sleep(gap_s)
        out, err = process.communicate(timeout=WATCHDOG_S)
    return process.returncode, out, err


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_command_at_once_and_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    code = """
from edgebs.files import Partial, scratch_folder
partial, scratch = Partial(Path(sys.argv[1]) / "a.mkv"), scratch_folder(Path(sys.argv[1]) / "b")
partial.path.touch()
(scratch.__enter__() / "big").touch()
said("ready")
time.sleep(300)
"""
    assert ended(code, number, folder=tmp_path) == (130, "", "interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_it_needs_no_main_thread_that_runs_python() -> None:
    # The handler of a signal waits until the main thread comes back from C; a network may take minutes.
    code = """
import ctypes
mutex = ctypes.create_string_buffer(64)
said("ready")
for _ in range(2):  # the second call waits for ever, and unlike sleep() does not return at a signal
    ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""
    assert ended(code, signal.SIGTERM)[0] == 130


def test_a_request_is_made_once_and_lets_the_command_finish() -> None:
    code = """
from queue import SimpleQueue
asked, stop = SimpleQueue(), interrupts.ask_first()
stop.when_asked(lambda: asked.put(None))
said("ready")
asked.get()
time.sleep(0.3)  # more signals come
said(f"finished, {stop.asked}, {asked.qsize()} more")
interrupts.exit_if_asked()
"""
    assert ended(code, *SIGNALS, *SIGNALS, gap_s=0.02) == (130, "finished, True, 0 more\n", "")


def test_a_command_that_does_not_finish_is_ended(tmp_path: Path) -> None:
    code = """
interrupts.GRACE_S = 0.2
from edgebs.files import Partial
Partial(Path(sys.argv[1]) / "masks", "folder")
interrupts.ask_first()
said("ready")
time.sleep(300)
"""
    assert ended(code, signal.SIGINT, signal.SIGTERM, folder=tmp_path) == (130, "", "interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_a_thread_that_hangs_in_a_camera_does_not_hold_up_the_end() -> None:
    code = """
stop = interrupts.ask_first()
threading.Thread(target=lambda: time.sleep(300)).start()
said("ready")
while not stop.asked:
    time.sleep(0.01)
interrupts.exit_if_asked()
"""
    assert ended(code, signal.SIGINT)[0] == 130


def test_child_processes_are_ended() -> None:
    code = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], stderr=2)
said("ready")
time.sleep(300)
"""
    # communicate() returns when nobody holds stderr any more.
    assert ended(code, signal.SIGTERM)[0] == 130


def test_a_signal_while_the_interpreter_ends_is_no_death_by_signal() -> None:
    code = """
class Slow:
    def __del__(self):
        said("ready")
        time.sleep(0.5)
import builtins
builtins.slow = Slow()  # cleared after all modules
interrupts.exit_if_asked()
"""
    assert ended(code, *SIGNALS)[0] == 0


def test_signals_that_are_ignored_stay_so() -> None:
    code = """
interrupts.uninstall()
signal.signal(signal.SIGHUP, signal.SIG_IGN)
interrupts.install()
said("ready")
time.sleep(0.3)
said("alive")
"""
    assert ended(code, signal.SIGHUP) == (0, "alive\n", "")


def test_uninstall_puts_the_handlers_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    interrupts.install()
    assert interrupts.is_installed()
    interrupts.uninstall()
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert not interrupts.ask_first().asked


def test_signals_are_dealt_with_before_the_first_import_of_weight() -> None:
    code = """
import sys
from edgebs.cli import main
from edgebs.machine import interrupts
print([name for name in ("typing", "typer", "dataclasses", "numpy", "threading") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout == "[]\n"
