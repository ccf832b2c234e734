import cv2
import numpy as np
import pytest

from edgebs.errors import SinkError, WeightsError
from export.training.curves import (
    HEIGHT,
    WIDTH,
    LogWindow,
    draw_curves,
    panels_for,
    read_rows,
    ticks,
    write_rows,
)


def test_rows_come_back_without_what_was_computed_after_the_checkpoint(tmp_path):
    file = tmp_path / "curves.csv"
    rows = [{"step": 5.0, "loss": 0.5}, {"step": 10.0, "validation_F": 0.25}, {"step": 15.0, "loss": 0.125}]
    write_rows(rows, file)
    assert file.read_text(encoding="utf-8").splitlines()[:3] == [
        "step,loss,validation_F",
        "5,0.5,",
        "10,,0.25",
    ]
    assert read_rows(file, 10) == rows[:2]


def test_no_file_has_no_rows(tmp_path):
    assert read_rows(tmp_path / "none.csv", 9) == []


def test_a_stretch_gives_means_and_shares():
    stretch = LogWindow()
    stretch.waited_s = 1.0
    stretch.add({"loss": 1.0}, 2.0, 0.1, 1.0, 1.0)
    stretch.add({"loss": 3.0}, 4.0, 0.3, 0.5, 0.5)
    row = stretch.means()
    assert row == pytest.approx(
        {
            "loss": 2.0,
            "gradient_norm": 3.0,
            "learning_rate": 0.2,
            "step_ms": 2000.0,
            "data_share": 0.25,
            "forward_share": 0.375,
            "backward_share": 0.375,
        }
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0, 3000, [0, 500, 1000, 1500, 2000, 2500, 3000]), (-1, 1, None)],
)
def test_ticks_are_round_and_inside(low, high, expected):
    found = ticks(low, high)
    assert 3 <= len(found) <= 8
    assert low <= found[0] <= found[-1] <= high + 1e-9
    if expected is not None:
        assert found == pytest.approx(expected)


def test_the_picture_has_ink_where_the_curve_is(tmp_path):
    file = tmp_path / "curves.png"
    rows = [{"step": step, "loss": 1 / step, "validation_F": 0.5} for step in (1, 2, 4, 8)]
    draw_curves(rows, file)
    picture = cv2.imread(str(file))
    assert picture.shape == (2 * HEIGHT, WIDTH, 3)
    coloured = np.ptp(picture.astype(int), axis=2) > 60
    assert coloured[:HEIGHT].sum() > 500
    assert coloured[HEIGHT:].sum() > 500


@pytest.mark.parametrize("rows", [[], [{"step": 5.0, "loss": 0.5}], [{"step": 5.0, "loss": float("nan")}]])
def test_few_or_no_values_can_be_drawn_too(tmp_path, rows):
    draw_curves(rows, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").is_file()


def test_a_picture_that_cannot_be_written_is_a_sink_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError):
        draw_curves([], tmp_path / "file" / "curves.png")


def test_scores_of_a_flow_network_have_their_own_panel(tmp_path):
    rows = [{"step": 1.0, "loss": 0.5}, {"step": 2.0, "validation_EPE": 1.0, "validation_EPE_moving": 2.0}]
    assert [panel.title for panel in panels_for(rows)] == ["loss", "end-point error, px"]
    draw_curves(rows, tmp_path / "curves.png")
    picture = cv2.imread(str(tmp_path / "curves.png"))[HEIGHT:]
    assert (np.ptp(picture.astype(int), axis=2) > 60).sum() > 50
    assert panels_for(rows[:1])[1].title == "validation scores"


@pytest.mark.parametrize("line", ["10,oops", "10,0.5,surplus", ",0.5", "10,\x00"])
def test_what_is_no_number_in_the_curves_names_file_and_line(tmp_path, line):
    file = tmp_path / "curves.csv"
    file.write_text(f"step,loss\n5,0.5\n{line}\n", encoding="utf-8")
    with pytest.raises(WeightsError, match=r"curves\.csv, by line 3: a number is missing or cannot be read"):
        read_rows(file, 10)
