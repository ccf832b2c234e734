"""Rendered scenes through the background image of the runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgebs.bundle.manifest import CueSettings
from export.networks.cdn_gm import FRAMES
from export.training.samples import background as background_samples
from export.training.samples.background import COLD_SAMPLES, WARM_SAMPLES, BackgroundScenes
from export.training.tasks.medal import start_at_the_mean, step_file

SIZE = (32, 36)
CUE = CueSettings(
    kind="background-image",
    provider="cdn-gm",
    intervals=(),
    max_magnitude=255.0,
    nominal_fps=25.0,
    maps=3,
    references=FRAMES,
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> BackgroundScenes:
    folder = tmp_path_factory.mktemp("step")
    return BackgroundScenes(cue=CUE, size=SIZE, network=step_file(start_at_the_mean(0), SIZE, folder))


@pytest.mark.parametrize(("cold_share", "wanted"), [(1.0, COLD_SAMPLES), (0.0, WARM_SAMPLES)])
def test_a_sequence_gives_frames_their_background_and_labels(
    cold_share: float, wanted: tuple[int, ...], scenes: BackgroundScenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_samples, "COLD_SHARE", cold_share)
    samples, again = scenes(5, 0), scenes(5, 0)
    assert len(samples) == len(wanted)
    for (frame, background, labels), same in zip(samples, again, strict=True):
        assert (frame.shape, background.shape, labels.shape) == ((*SIZE, 3), (3, *SIZE), SIZE)
        assert (background == same[1]).all()
        # A mean of what was seen is nearer to the frame than black or white.
        assert np.abs(background.transpose(1, 2, 0) - frame).mean() < 40


def test_a_slow_cameras_scene_ends_in_time(scenes: BackgroundScenes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_samples, "COLD_SHARE", 1.0)
    monkeypatch.setattr(background_samples, "AHEAD_S", 0.5)
    assert 1 <= len(scenes(5, 1)) < len(COLD_SAMPLES)


def test_the_network_is_read_from_its_file(scenes: BackgroundScenes, tmp_path: Path) -> None:
    network = start_at_the_mean(0)
    network.mean.bias.data += 0.2
    other = BackgroundScenes(cue=CUE, size=SIZE, network=step_file(network, SIZE, tmp_path))
    ours, theirs = scenes(5, 2)[-1][1], other(5, 2)[-1][1]
    # Half of 0.2, of 255 grey levels, where nothing saturates.
    assert np.median(theirs.astype(float) - ours.astype(float)) == pytest.approx(25.5, abs=2)
