"""A GPU made usable again after work on it failed."""

from __future__ import annotations

from edgebs.errors import DeviceLost, EdgebsError
from edgebs.nvidia.cuda.devices import calls, on_device
from edgebs.nvidia.cuda.owners import held


def revive_device(index: int = 0) -> None:
    """Make sure that GPU `index` works, before anything else is asked of it.

    A broken context is destroyed, but only when nothing of this process lies in it any more. Where there is
    no GPU, or no CUDA, nothing happens: whoever needs one says that better. Raises DeviceLost where it stays
    broken.
    """
    try:
        with on_device(index):
            calls().synchronize()
    except DeviceLost as error:
        _reset(index, error)
    except EdgebsError:
        return


def _reset(index: int, lost: DeviceLost) -> None:
    if held():
        raise DeviceLost(
            f"{lost}. {held()} streams and buffers of pipelines that are still open lie on it: close them"
        ) from lost
    calls().reset()
    with on_device(index):
        calls().synchronize()
