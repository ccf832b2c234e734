"""export/feeds/__init__.py: what calibrates the networks of edge when its flow is a network's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgebs.bundle.manifest import CueSettings
from edgebs.tensors import Array, Frame, TensorSpec
from export.feeds import Sample, scene_cue, scene_cue_feeds, scene_feeds, segment_feeds

SIZE = (64, 64)
BY_NET = CueSettings(
    kind="hop-background", provider="net", intervals=(1, 5), max_magnitude=20.0, nominal_fps=25.0
)


class ConstantFlow:
    """A cue network whose flow is (3, 4) px, then (0, 2) px."""

    inputs = dict.fromkeys(("frame", "past_1", "past_5"), TensorSpec((1, *SIZE, 3), "uint8"))
    outputs: Mapping[str, TensorSpec] = {"flow": TensorSpec((1, 4, *SIZE), "float32")}
    description = "constant"

    def infer(self, feed: Mapping[str, Array]) -> Mapping[str, Array]:
        for name, spec in self.inputs.items():
            spec.check(name, feed[name])
        return {"flow": np.float32([3, 4, 0, 2]).reshape(1, 4, 1, 1) + np.zeros((1, 4, *SIZE), np.float32)}

    def close(self) -> None:
        raise AssertionError("the caller closes it")


def test_rendered_scenes_calibrate_the_flow_network_with_what_moves() -> None:
    progress: list[tuple[int, int]] = []
    feeds = scene_cue_feeds(BY_NET, SIZE, 2, lambda done, total: progress.append((done, total)))
    assert progress == [(1, 2), (2, 2)]
    assert len(feeds) == 2
    for feed in feeds:
        assert list(feed) == ["frame", "past_1", "past_5"]
        assert {array.shape for array in feed.values()} == {(1, *SIZE, 3)}
        assert (feed["frame"] != feed["past_5"]).any()


def test_rendered_scenes_are_seen_through_the_cue_of_the_training() -> None:
    trained = replace(BY_NET, provider="dis", preset="fine")
    assert scene_cue(BY_NET) == scene_cue(trained) == trained
    plain = replace(BY_NET, kind="hop")
    assert scene_cue(plain) == plain
    by_net, by_dis = (scene_feeds(cue, SIZE, 1, lambda *_: None)["segment"][0] for cue in (BY_NET, trained))
    np.testing.assert_array_equal(by_net["cue"], by_dis["cue"])


def test_a_calibration_set_is_seen_through_the_network() -> None:
    frame: Frame = np.full((*SIZE, 3), 90, np.uint8)
    (feed,) = segment_feeds([Sample(frame, {1: frame, 5: frame})], BY_NET, ConstantFlow())
    assert feed["cue"].shape == (1, BY_NET.channels, *SIZE)
    np.testing.assert_array_equal(feed["cue"][0, 0], 5)
    np.testing.assert_array_equal(feed["cue"][0, 1], 2)
