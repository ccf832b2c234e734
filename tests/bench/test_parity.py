import numpy as np
import pytest
from fakes.networks.backends import FakeCue, FakeSegment, fake_manifest, fake_pipeline, grey_frame

import bench.parity
from bench.parity import TaskLevel, compare, count_on_sequences, judge, record_reference, require_passed
from bench.tables import parity_table
from edgebs.errors import ParityError
from edgebs.machine.cpu import cpu_from_text
from edgebs.pipeline import Pipeline

FRAMES = [(grey_frame(level), None) for level in (10, 100, 120, 250)]


class Shifted(FakeSegment):
    """The fake network with `shift` added to every probability."""

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift

    def infer(self, feed):
        out = super().infer(feed)["probability"]
        out += self.shift
        return {"probability": out}


def parity_of(shift, **manifest):
    reference = record_reference(fake_pipeline(), FRAMES)
    pipeline = Pipeline(fake_manifest(**manifest), Shifted(shift), FakeCue())
    return judge(pipeline.manifest, compare(pipeline, reference), None)


def test_the_same_network_agrees_with_itself():
    result = parity_of(0.0)
    assert result["networks"]["segment"] == {
        "max_abs": 0.0,
        "mean_abs": 0.0,
        "cosine": pytest.approx(1),
        "worst_frame": 0,
    }
    assert result["pipeline"]["mask_iou"] == 1.0
    assert result["pipeline"]["flip_rate"] == 0.0
    assert result["passed"]


def test_a_shift_is_measured_in_network_and_masks():
    # 120/255 = 0.47 becomes foreground with +0.05: one frame in four flips, one in two agrees.
    result = parity_of(0.05)
    assert result["networks"]["segment"]["max_abs"] == pytest.approx(0.05, abs=1e-6)
    assert result["networks"]["segment"]["mean_abs"] == pytest.approx(0.05, abs=1e-6)
    assert result["pipeline"]["flip_rate"] == pytest.approx(0.25)
    assert result["pipeline"]["mask_iou"] == pytest.approx(0.5)
    assert result["pipeline"]["worst_frame"] == 2


def test_the_result_states_the_cpu_and_its_int8_arithmetic(monkeypatch):
    text = "model name : Old box\nflags : sse4_1 sse4_2 avx avx2 fma\n"
    monkeypatch.setattr(bench.parity, "this_cpu", lambda: cpu_from_text(text, {}, machine="x86_64"))
    result = parity_of(0.0, precision="int8")
    assert (result["cpu"]["name"], result["cpu"]["int8"]) == ("Old box", "saturating")
    rows = parity_table("toy", result).columns[2]._cells
    assert "no VNNI: pairs of products are summed in 16 bits; exact with weights of 7 bits" in rows


@pytest.mark.parametrize(
    ("precision", "shift", "passed"),
    [("fp32", 5e-5, True), ("fp32", 5e-4, False), ("fp16", 0.02, True), ("fp16", 0.05, False)],
)
def test_the_gate_follows_the_precision(precision, shift, passed):
    assert parity_of(shift, precision=precision)["passed"] is passed


def test_int8_is_judged_by_iou_when_trained_and_only_reported_when_not():
    trained = {"segment": {"file": "w", "seed": None, "trained": True, "sha256": "0"}}
    judged = parity_of(0.05, precision="int8", weights=trained)
    assert (judged["passed"], judged["enforced"], judged["value"]) == (False, True, 0.5)
    reported = parity_of(0.05, precision="int8")
    assert (reported["passed"], reported["enforced"], reported["value"]) == (True, False, 0.5)


def test_not_a_number_is_an_error_with_its_frame():
    with pytest.raises(ParityError, match=r"frame 0: the network gives NaN"):
        parity_of(float("nan"))


def test_a_failed_gate_names_value_frame_and_network():
    with pytest.raises(
        ParityError, match=r"x: parity gate max_abs <= 0.0001 failed with 0.05.*frame.*'segment'"
    ):
        require_passed("x", parity_of(0.05))
    require_passed("x", parity_of(0.0))


def test_a_cue_network_is_compared_in_pixels_and_the_segmenter_on_the_reference_cue():
    class Cued(FakeCue):
        def update(self, frame, captured_s):
            output = super().update(frame, captured_s)
            output.tensors["cue"][...] = 5.0
            return output

    segment = fake_manifest().networks["segment"]
    weights = fake_manifest().weights["segment"]
    manifest = fake_manifest(
        networks={"segment": segment, "cue": segment}, weights={"segment": weights, "cue": weights}
    )
    reference = record_reference(Pipeline(manifest, FakeSegment(), FakeCue()), FRAMES)
    result = compare(Pipeline(manifest, FakeSegment(), Cued()), reference)
    assert result["networks"]["cue"]["max_abs"] == 5.0
    assert result["networks"]["segment"]["max_abs"] == 0.0
    # The pipeline level runs on the bundle's own cue: 120/255 + 5/100 flips to foreground, one frame in four.
    assert result["pipeline"]["flip_rate"] == pytest.approx(0.25)


def test_no_frame_is_an_error():
    with pytest.raises(ParityError, match="no frame"):
        record_reference(fake_pipeline(), [])


def test_the_task_level_compares_f_of_both(tmp_path):
    import cv2

    for name in ("input", "groundtruth"):
        (tmp_path / "scene" / name).mkdir(parents=True)
    for number, level in ((1, 0), (2, 250), (3, 120)):
        cv2.imwrite(str(tmp_path / f"scene/input/in{number:06d}.png"), grey_frame(level))
        truth = np.full((16, 32), 255 if level == 250 else 0, np.uint8)
        cv2.imwrite(str(tmp_path / f"scene/groundtruth/gt{number:06d}.png"), truth)
    bundle = Pipeline(fake_manifest(), Shifted(0.05), FakeCue())
    level = TaskLevel(count_on_sequences(tmp_path), fake_pipeline())
    task = level.change(bundle)
    assert task["F_reference"] == 1.0
    assert task["F_bundle"] == pytest.approx(2 / 3)
    assert task["delta_F"] == pytest.approx(-1 / 3)
    assert level.change(fake_pipeline())["delta_F"] == 0
