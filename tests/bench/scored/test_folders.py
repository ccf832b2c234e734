import pytest
from fakes.video.scored import write_mask, write_picture

from bench.scored import find_sequences, scored_frames
from edgebs.errors import SourceError


def test_masks_belong_to_frames_of_the_same_stem_in_natural_order(tmp_path):
    for name in ("frame9", "frame10"):
        write_picture(tmp_path / f"yard/Images/{name}.jpg", 9)
    write_mask(tmp_path / "yard/masks/frame10.png")
    (sequence,) = find_sequences(tmp_path)
    assert (sequence.name, sequence.layout) == ("yard", "folders")
    assert [path.stem for path in sequence.inputs] == ["frame9", "frame10"]
    assert [truth is not None for _, truth, _ in scored_frames(sequence)] == [False, True]


def test_input_and_groundtruth_of_other_names_than_cdnets_are_plain_pairs(tmp_path):
    write_picture(tmp_path / "a/input/000001.jpg", 9)
    write_mask(tmp_path / "a/groundtruth/000001.png")
    assert find_sequences(tmp_path)[0].layout == "folders"


def test_without_equal_stems_the_last_number_decides(tmp_path):
    write_picture(tmp_path / "a/frames/f_0001.jpg", 9)
    write_mask(tmp_path / "a/gt/m_1.png")
    assert find_sequences(tmp_path)[0].scored_count == 1


def test_an_empty_folder_and_masks_of_no_frame_are_refused(tmp_path):
    (tmp_path / "a/frames").mkdir(parents=True)
    write_mask(tmp_path / "a/gt/m_1.png")
    with pytest.raises(SourceError, match=r"frames/ holds 0 pictures and gt/ 1\. Both are needed"):
        find_sequences(tmp_path)
    write_picture(tmp_path / "a/frames/f_2.png", 9)
    with pytest.raises(SourceError, match="no frame has ground truth"):
        find_sequences(tmp_path, "folders")
