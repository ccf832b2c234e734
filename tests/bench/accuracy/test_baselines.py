import cv2
import numpy as np
import pytest

from bench.accuracy import BASELINES, Baseline
from edgebs.errors import EdgebsError


def noisy_frames(count=40, seed=3):
    rng = np.random.default_rng(seed)
    for index in range(count):
        frame = rng.normal(100, 3, (24, 32, 3)).clip(0, 255).astype(np.uint8)
        if index >= count - 5:
            frame[4:12, 6:14] = 250
        yield frame


@pytest.mark.parametrize("kind", list(BASELINES))
def test_a_new_object_is_foreground_and_masks_are_of_two_values(kind):
    baseline = Baseline(kind)
    for frame in noisy_frames():
        mask, probability = baseline.segment(frame)
        assert set(np.unique(mask)) <= {0, 255}
        assert probability is None
    assert (mask[5:11, 7:13] == 255).all()
    assert (mask[16:] == 255).mean() < 0.2


@pytest.mark.parametrize("kind", list(BASELINES))
def test_the_same_frames_give_the_same_masks_after_a_reset(kind):
    baseline = Baseline(kind)
    first = [baseline.segment(frame)[0] for frame in noisy_frames()]
    baseline.reset()
    again = [baseline.segment(frame)[0] for frame in noisy_frames()]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


def test_a_shadow_is_background():
    baseline = Baseline("mog2")
    shade = np.full((24, 32, 3), 120, np.uint8)
    for _ in range(30):
        baseline.segment(shade)
    shade[8:16, 8:16] = 80
    assert not baseline.segment(shade)[0].any()
    # The subtractor itself says that it saw the change: as a shadow.
    assert 127 in baseline._model.apply(shade)


def test_parameters_are_reported():
    facts = Baseline("knn").facts()
    assert facts["parameters"]["Dist2Threshold"] == 400.0
    assert facts["parameters"]["DetectShadows"] is True
    assert cv2.__version__ in facts["what"]


def test_an_unknown_peer_is_refused_with_the_known_ones():
    with pytest.raises(EdgebsError, match="unknown baseline 'vibe'; known: mog2, knn"):
        Baseline("vibe")
