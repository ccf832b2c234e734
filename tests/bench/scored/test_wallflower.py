import pytest
from fakes.video.scored import write_mask, write_picture

from bench.scored import find_sequences, scored_frames
from bench.scored.numbered import wallflower_sequences
from edgebs.errors import SourceError


def test_frames_up_to_the_hand_segmented_one_are_run_and_it_is_scored(tmp_path):
    for number in range(5):
        write_picture(tmp_path / f"Camouflage/b{number:05d}.bmp", number)
    write_mask(tmp_path / "Camouflage/mask.bmp").rename(tmp_path / "Camouflage/hand_segmented_00003.BMP")
    (tmp_path / "Camouflage/script.txt").write_text("Images 0 to 2 are for training")
    (sequence,) = find_sequences(tmp_path)
    assert (sequence.name, sequence.layout) == ("Camouflage", "wallflower")
    frames = list(scored_frames(sequence))
    assert [truth is not None for _, truth, _ in frames] == [False, False, False, True]
    assert frames[3][1][0, 0] == 255


def test_a_hand_segmented_picture_without_a_number_and_other_files_are_no_ground_truth(tmp_path):
    write_picture(tmp_path / "a/b00001.bmp", 0)
    write_mask(tmp_path / "a/hand_segmented_final.bmp")
    (tmp_path / "a/hand_segmented_00001.txt").write_text("no picture")
    assert wallflower_sequences(tmp_path / "a", set()) == []
    with pytest.raises(SourceError, match="no scored sequence below"):
        find_sequences(tmp_path)
