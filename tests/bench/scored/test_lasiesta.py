import cv2
import numpy as np
import pytest
from fakes.video.scored import write_picture

from bench.scored import find_sequences, scored_frames
from bench.scored.lasiesta import colour_labels
from edgebs.errors import SourceError

RED, GREEN, YELLOW = (0, 0, 255), (0, 255, 0), (0, 255, 255)
BLACK, WHITE, GREY = (0, 0, 0), (255, 255, 255), (128, 128, 128)


def write_truth(path, colours):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.array([colours], np.uint8))


def test_objects_still_or_moving_are_foreground_and_grey_is_not_scored(tmp_path):
    write_truth(tmp_path / "gt.png", [BLACK, RED, GREEN, YELLOW, WHITE, GREY])
    assert colour_labels(tmp_path / "gt.png").tolist() == [[0, 255, 255, 255, 255, 170]]


def test_a_colour_outside_the_convention_is_named_as_red_green_blue(tmp_path):
    write_truth(tmp_path / "gt.png", [BLACK, (1, 2, 250), BLACK])
    with pytest.raises(SourceError, match=r"gt\.png: 1 pixels.*#fa0201 \(red, green, blue\)"):
        colour_labels(tmp_path / "gt.png")


@pytest.mark.parametrize("suffix", ["-GT", "_GT"])
def test_a_folder_beside_its_ground_truth_is_a_sequence_of_its_category(tmp_path, suffix):
    for number in (2, 10):
        write_picture(tmp_path / f"I_SI_01/I_SI_01/I_SI_01-{number}.bmp", number, (1, 2))
        write_truth(tmp_path / f"I_SI_01/I_SI_01{suffix}/I_SI_01{suffix}_{number}.png", [BLACK, RED])
    (sequence,) = find_sequences(tmp_path)
    assert (sequence.name, sequence.category, sequence.layout) == ("I_SI_01", "I_SI", "lasiesta")
    levels = [int(frame[0, 0, 0]) for frame, _, _ in scored_frames(sequence)]
    assert levels == [2, 10]
    assert sequence.scored_count == 2
