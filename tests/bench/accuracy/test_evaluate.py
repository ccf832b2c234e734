import json

import cv2
import numpy as np
import pytest
from fakes.networks.backends import fake_pipeline
from fakes.video.scored import write_cdnet, write_picture

from bench.accuracy import BundleContestant, contestant_record, evaluate, score_contestants
from bench.scored import find_sequences
from edgebs.errors import BundleError, SourceError

CONTRACT = {"F", "Pr", "Re", "PWC", "Sp", "FPR", "FNR", "frames"}


@pytest.fixture
def two_sequences(tmp_path):
    """A dark and a light one: the fake pipeline says foreground where blue is above 127."""
    write_cdnet(tmp_path / "data/indoor/dark", frames=3, levels=(5, 6, 7))
    folder = write_cdnet(tmp_path / "data/outdoor/light", frames=3, levels=(200, 201, 202))
    (folder / "temporalROI.txt").write_text("2 3")
    return tmp_path / "data"


def test_frames_are_run_in_order_the_history_is_reset_and_unscored_frames_do_not_count(two_sequences):
    pipeline = fake_pipeline()
    pipeline.reset()
    scores = score_contestants([BundleContestant("fake", pipeline)], find_sequences(two_sequences))
    dark, light = scores["fake"]
    # Two of six rows are foreground; the fake says none or all.
    assert dark.counts.measures()["Re"] == 0.0
    assert (light.counts.tp, light.counts.fp) == (2 * 16, 2 * 32)
    assert [frame.index for frame in light.frames] == [1, 2]
    assert len(light.seconds) == 3
    # Per sequence one reset; what the cue has seen since the last one is the last sequence alone.
    assert pipeline._cue.resets == 3
    assert pipeline._cue.seen == [200, 201, 202]


def test_the_sweep_at_the_threshold_says_what_the_masks_said(two_sequences):
    scores = score_contestants([BundleContestant("fake", fake_pipeline())], find_sequences(two_sequences))
    record = contestant_record(scores["fake"])
    assert record["sweep"]["curve"]["pooled_F"][128] == pytest.approx(record["pooled"]["F"], abs=1e-6)


def test_a_sequence_without_a_scored_pixel_is_refused(tmp_path):
    folder = write_cdnet(tmp_path / "a", frames=2)
    for path in (folder / "groundtruth").iterdir():
        cv2.imwrite(str(path), np.full((6, 8), 85, np.uint8))
    with pytest.raises(SourceError, match="no pixel is scored in 2 frames with ground truth"):
        score_contestants([BundleContestant("fake", fake_pipeline())], find_sequences(tmp_path))


def test_progress_counts_every_frame_and_each_sequence_is_told_with_its_masks(two_sequences):
    told, kept = [], []
    score_contestants(
        [BundleContestant("fake", fake_pipeline())],
        find_sequences(two_sequences),
        progress=lambda done, total: told.append((done, total)),
        sequence_done=lambda sequence, row: kept.append(
            (sequence.name, row[0].mask(row[0].frames[0], (6, 8)))
        ),
    )
    assert told == [(number, 6) for number in range(1, 7)]
    assert [(name, bool(mask.any())) for name, mask in kept] == [("dark", False), ("light", True)]


def test_one_bundle_and_the_peers_give_the_object_of_the_contract(tiny_bundle, two_sequences):
    record = evaluate([tiny_bundle.path], two_sequences, against=("mog2", "knn"))
    json.dumps(record, allow_nan=False)
    assert record["sequences"].keys() == {"dark", "light"}
    assert record["sequences"]["dark"].keys() >= CONTRACT
    assert record["mean"].keys() == record["pooled"].keys() == CONTRACT - {"frames"}
    assert record["mean_dice"] is not None
    assert record["fps"] > 0
    assert record["bundle"] == tiny_bundle.path.name
    assert record["peers"].keys() == {"mog2", "knn"}
    assert record["peers"]["mog2"]["sweep"] is None
    assert record["bundles"][tiny_bundle.path.name]["categories"].keys() == {"indoor", "outdoor"}
    assert record["averaging"]["mean"].startswith("unweighted mean over sequences")


def test_a_bundle_is_scored_alike_twice_and_by_another_threshold_otherwise(tiny_bundle, two_sequences):
    def score(**options):
        record = evaluate([tiny_bundle.path], two_sequences, **options)
        return record["pooled"], record["sequences"]["light"]["counts"]

    assert score() == score()
    assert score(threshold=0.0)[1]["fn"] == 0
    assert score(threshold=1.0)[1]["tp"] == 0


def test_a_bundle_named_twice_is_refused(tiny_bundle, two_sequences, tmp_path):
    copy = tmp_path / "elsewhere" / tiny_bundle.path.name
    copy.parent.mkdir()
    copy.symlink_to(tiny_bundle.path)
    with pytest.raises(BundleError, match="a bundle is named twice"):
        evaluate([tiny_bundle.path, copy], two_sequences)


def test_an_unknown_bundle_is_named_with_the_command_that_makes_one(two_sequences):
    with pytest.raises(BundleError, match="'nothing' is neither a bundle folder nor a shipped model"):
        evaluate(["nothing"], two_sequences)


def test_gaps_in_the_numbers_are_in_the_record(tiny_bundle, tmp_path):
    folder = write_cdnet(tmp_path / "a", frames=3)
    write_picture(folder / "input/in000009.png", 1)
    record = evaluate([tiny_bundle.path], tmp_path)
    assert record["data"]["notes"] == {"a": ["1 gaps in the frame numbers, the first from 3 to 9"]}
