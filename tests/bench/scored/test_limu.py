import pytest
from fakes.video.scored import write_mask, write_picture

from bench.scored import find_sequences, scored_frames
from edgebs.errors import SourceError


def test_sparse_ground_truth_in_a_sub_folder_belongs_to_the_frames_of_its_numbers(tmp_path):
    for number in range(1, 5):
        write_picture(tmp_path / f"Intersection/img{number:05d}.png", number)
    write_mask(tmp_path / "Intersection/GroundTruth/gt_3.png")
    (sequence,) = find_sequences(tmp_path)
    assert (sequence.name, sequence.layout, sequence.category) == ("Intersection", "limu", None)
    assert [truth is not None for _, truth, _ in scored_frames(sequence)] == [False, False, True, False]


def test_ground_truth_of_other_numbers_is_refused(tmp_path):
    write_picture(tmp_path / "img1.png", 1)
    write_mask(tmp_path / "gt" / "img9.png")
    with pytest.raises(SourceError, match="no frame has ground truth: frames 1 to 1, ground truth 9 to 9"):
        find_sequences(tmp_path)
