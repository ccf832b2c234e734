"""CUDA graphs: work that is recorded once and launched as a whole."""

from __future__ import annotations

from collections.abc import Callable

from edgebs.errors import BackendError, CaptureFailed, DeviceLost
from edgebs.nvidia.cuda.calls import Calls
from edgebs.nvidia.cuda.devices import calls
from edgebs.nvidia.cuda.owners import Owned, Stream


class Graph(Owned):
    """Recorded work. The addresses in it are those of the recording. Made by `capture`."""

    def __init__(self, made: Calls, handle: int) -> None:
        super().__init__(made, handle, made.destroy_graph)

    def launch(self, stream: Stream) -> None:
        """Queue all of it."""
        self._calls.launch_graph(self.handle, stream.handle)


def capture(stream: Stream, work: Callable[[], None]) -> Graph:
    """Record what `work` queues on `stream`, without running it.

    Raises CaptureFailed with the reason, from whatever `work` raised; the stream can be used afterwards.
    DeviceLost is raised as it is.
    """
    made = calls()
    made.begin_capture(stream.handle)
    try:
        work()
    except BaseException as error:
        made.abandon_capture(stream.handle)
        if isinstance(error, BackendError) and not isinstance(error, DeviceLost):
            raise CaptureFailed(f"nothing captured: {error}") from error
        raise
    return Graph(made, made.end_capture(stream.handle))
