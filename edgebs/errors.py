"""Errors that a user can repair. Each message says what, where and how to repair it.

EdgebsError
├── MissingDependency   an extra is not installed
├── SourceError         a video, folder, camera or frame cannot be read
├── SinkError           an output cannot be written
├── BundleError         a bundle is damaged, of another version, or made for another machine
│   └── EngineMismatch  a plan was built for another GPU or another TensorRT
├── BackendError        a runtime refuses or fails
│   ├── OutOfDeviceMemory  the GPU has too little free memory
│   ├── EnqueueRefused  TensorRT did not queue a run
│   ├── CaptureFailed   work could not be captured as a CUDA graph
│   ├── NotFinite       a network gave NaN or infinity
│   └── DeviceLost      the GPU failed: all that this process had on it is gone
├── WeightsError        weights do not fit the network, or are not finite
├── CalibrationError    a calibration set is missing, too small or damaged
├── ExportError         a network cannot be exported, built, or fails a check on the way
│   └── OptionError     an option has a value that it cannot have: wrong usage, exit code 2
├── ParityError         a parity gate failed
├── StageError          a pipeline stage failed on one frame; carries `index` and `stage`
└── CamerasFailed       some cameras of several failed; the others ran to their end
"""

from edgebs.text import without_secrets


class EdgebsError(Exception):
    """Base of all expected errors: the command line prints its message and exits with 1."""

    def __init__(self, message: str = "") -> None:
        """message: what, where and how to repair; the secrets of addresses in it are hidden."""
        super().__init__(without_secrets(message))


class MissingDependency(EdgebsError):
    """An optional package is needed and not installed."""


class SourceError(EdgebsError):
    """Frames cannot be read."""


class SinkError(EdgebsError):
    """An output cannot be written."""


class BundleError(EdgebsError):
    """A bundle cannot be used as it is."""


class EngineMismatch(BundleError):
    """A plan was built for another GPU or another TensorRT version."""


class BackendError(EdgebsError):
    """A runtime refuses a network or fails while running it."""


class OutOfDeviceMemory(BackendError):
    """The GPU has too little free memory."""


class EnqueueRefused(BackendError):
    """TensorRT did not queue a run: the output buffers hold the results of the run before."""


class CaptureFailed(BackendError):
    """Work could not be captured as a CUDA graph; it can still be queued call by call."""


class NotFinite(BackendError):
    """A network gave NaN or infinity, which would count as background."""


class DeviceLost(BackendError):
    """The GPU failed: every handle and all memory that this process had on it is useless."""


class WeightsError(EdgebsError):
    """Weights do not fit the network or are not finite."""


class CalibrationError(EdgebsError):
    """A calibration set is missing, too small or damaged."""


class ExportError(EdgebsError):
    """A network cannot be exported or built."""


class OptionError(ExportError):
    """An option has a value that it cannot have, or does not go with another; exit code 2."""


class ParityError(EdgebsError):
    """A parity gate failed."""


class StageError(EdgebsError):
    """A pipeline stage failed on one frame."""

    def __init__(self, stage: str, index: int, cause: BaseException) -> None:
        """Name the stage (`source`, `cue`, `segment`) and the index of the frame it failed on."""
        super().__init__(f"frame {index}: stage '{stage}' failed: {type(cause).__name__}: {cause}")
        self.stage = stage
        self.index = index


class CamerasFailed(EdgebsError):
    """Some cameras of several failed; the others ran to their end."""


def in_one_line(error: BaseException) -> str:
    """The message of another library in one line, for messages of our own."""
    return " ".join(str(error).split())
