"""The toy bundle of the tests: CrossNet at width 4 with DIS flow for the CPU, FP32, random weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgebs.bundle import Bundle


def export_tiny_bundle(out: Path) -> Bundle:
    """Export it into the folder `out`. Needs PyTorch."""
    from export.job.export import export_bundles
    from export.job.request import ExportRequest
    from export.models.request import ModelRequest

    request = ExportRequest(model=ModelRequest(width=4), out=out, parity_frames=4)
    (bundle,) = export_bundles(request)
    return bundle
