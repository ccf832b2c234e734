"""What SIGINT, SIGTERM and SIGHUP do to a command: the first one ends it, the later ones change nothing.

An exception that a signal raises at any bytecode, as KeyboardInterrupt, cannot be made safe: it hits locks,
destructors and imports, and the second one hits the clean-up after the first. So the handlers here do
nothing. A thread, which learns of a signal even while the main thread is in a library, ends the process:

- at once by default: what is being written is removed, child processes are ended, exit code 130;
- after `ask_first` by a request: the command finishes its outputs and comes to its end by itself. Where that
  takes longer than GRACE_S, it is ended as above.

Only the command line installs this. For others that import edgebs, Ctrl-C stays KeyboardInterrupt.
Imported first of all, so it imports next to nothing.
"""

from __future__ import annotations

# Only what the interpreter itself has loaded: until `install` is through, a signal kills with a traceback.
# `signal` is `_signal` in the clothes of `enum`, the import of which takes longer than all of this.
import _signal  # type: ignore[import-not-found]
import _thread
import os
import sys
import time

TYPE_CHECKING = False
"""As in `typing`, which takes a while to import."""
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

GRACE_S = 3.0
"""From the first signal to the end of the process. systemd waits for 90 s by default, docker for 10 s."""
EXIT_CODE = 130
SIGNALS: tuple[int, ...] = tuple(
    getattr(_signal, name) for name in ("SIGINT", "SIGHUP", "SIGTERM") if hasattr(_signal, name)
)
SHOW_CURSOR = b"\x1b[?25h"


class StopRequest:
    """Whether the process must stop."""

    def __init__(self) -> None:
        self.asked = False
        self._callbacks: list[Callable[[], None]] = []

    def __call__(self) -> bool:
        return self.asked

    def when_asked(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, in another thread, at the request; now if it was made. It must not wait."""
        self._callbacks.append(callback)
        if self.asked:
            self._call()

    def ask(self) -> None:
        self.asked = True
        self._call()

    def _call(self) -> None:
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:  # another thread took it
                return
            callback()


class _Guard:
    """The handlers, and the thread that acts on signals."""

    def __init__(self) -> None:
        self.request = StopRequest()
        self.has_signal = False
        self.is_asking = False
        self.is_over = False
        self._deadline_s = 0.0
        self._acting = _thread.allocate_lock()
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        self._before: dict[int, Any] = {}
        _thread.start_new_thread(self._watch, ())
        # From here on C code writes the number of each signal into the pipe, whatever the main thread does.
        self._wakeup_before = _signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in SIGNALS:
            # A signal that is ignored stays so: nohup, and `command &` in a shell without job control.
            before = _signal.getsignal(number)
            if number == _signal.SIGTERM or before != _signal.SIG_IGN:
                self._before[number] = before  # first: the thread knows signals by it
                _signal.signal(number, _nothing)

    def remove(self) -> None:
        """Put the handlers back that were there before, and end the thread."""
        for number, handler in self._before.items():
            _signal.signal(number, handler)
        _signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._write_end)

    def ask_first(self) -> StopRequest:
        with self._acting:
            self.is_asking = True
        return self.request

    def ignore(self) -> None:
        """When the interpreter ends it puts the default handlers back, which kill: ignored instead."""
        self.is_over = True
        for number in self._before:
            _signal.signal(number, _signal.SIG_IGN)

    def _watch(self) -> None:
        while numbers := os.read(self._read_end, 64):
            # Other signals with a handler of Python's, such as SIGALRM, are written here too.
            if any(number in self._before for number in numbers):
                self.has_signal = True
                with self._acting:  # not between the main thread's `ask_first` and what follows
                    is_asking = self.is_asking or self.is_over
                if not is_asking:
                    end_process()
                deadline_s = time.monotonic() + GRACE_S
                try:
                    self.request.ask()
                except Exception as error:  # whatever fails, the time that is left is limited
                    sys.stderr.write(f"cannot stop in an orderly way: {error!r}\n")
                time.sleep(max(0.0, deadline_s - time.monotonic()))
                if _guard is self:
                    end_process()
        os.close(self._read_end)


_guard: _Guard | None = None


def _nothing(_number: int, _frame: Any) -> None:
    """The handler. The signal's number is in the pipe already."""


def install() -> None:
    """From now on signals end this process as described above. Main thread only; may be called twice.

    Does nothing on Windows.
    """
    global _guard
    if _guard is None and sys.platform != "win32":
        _guard = _Guard()
        import atexit

        atexit.register(_at_exit)


def uninstall() -> None:
    """Put back what was there before `install`: for tests, which call the command line in their process."""
    global _guard
    guard, _guard = _guard, None
    if guard is not None:
        import atexit

        atexit.unregister(_at_exit)
        guard.remove()


def _at_exit() -> None:
    if _guard is not None:
        _guard.ignore()


def ask_first() -> StopRequest:
    """From now on, to the end of the process, a signal is a request to stop.

    Without `install` the request is never made.
    """
    return StopRequest() if _guard is None else _guard.ask_first()


def is_installed() -> bool:
    """Whether signals are dealt with here, and not by KeyboardInterrupt."""
    return _guard is not None


def exit_if_asked() -> None:
    """End the process with 130 where a signal came; the command has done what there was to do.

    Not by the interpreter's own end: that waits for threads, which may hang in a dead camera.
    """
    if _guard is not None and _guard.has_signal:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue  # no reader is left
        end_process(is_told=True)
    if _guard is not None:
        _guard.is_over = True


def end_process(*, is_told: bool = False) -> NoReturn:
    """Remove what is being written, end child processes, and exit with 130 without any more ado."""
    atomic = sys.modules.get("edgebs.files")
    if atomic is not None and hasattr(atomic, "discard_all"):
        atomic.discard_all()
    _end_children()
    if not is_told:
        _report()
    os._exit(EXIT_CODE)


def _end_children() -> None:
    """End what this process started: renderers of a training, trtexec, tegrastats."""
    try:
        for task in os.listdir("/proc/self/task"):  # noqa: PTH208  # pathlib may be half imported now
            with open(f"/proc/self/task/{task}/children", encoding="ascii") as file:  # noqa: PTH123
                children = file.read().split()
            for child in children:
                os.kill(int(child), _signal.SIGKILL)
    except OSError:
        return  # not on Linux


def _report() -> None:
    # A progress bar may have hidden the cursor.
    text = (SHOW_CURSOR + b"\n" if os.isatty(2) else b"") + b"interrupted\n"
    # In a thread: a full pipe without a reader must not delay the end.
    told = _thread.allocate_lock()
    told.acquire()

    def tell() -> None:
        try:
            os.write(2, text)
        finally:
            told.release()

    _thread.start_new_thread(tell, ())
    told.acquire(timeout=0.2)
