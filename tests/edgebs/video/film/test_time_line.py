"""Positions, times and gaps, from hand-made pictures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgebs.video import Gap, Losses
from edgebs.video.film.decode import Picture
from edgebs.video.film.survey import Chunk, Slots, avi_index
from edgebs.video.film.time_line import TimeLine
from edgebs.video.live import LiveClock, has_own_times

IMAGE = np.zeros((4, 4, 3), np.uint8)


def picture(time_s: float | None, *, slot: int | None = None, lost: int = 0) -> Picture:
    return Picture(IMAGE, (0.0, 255.0), time_s, slot, lost, 0, False, 0.0)


def placed(line: TimeLine, pictures: list[Picture], **options: bool) -> list[tuple[float | None, int]]:
    return [line.place(item, **options) for item in pictures]


def test_times_start_at_zero_and_a_gap_is_frames_that_are_missing() -> None:
    losses = Losses()
    line = TimeLine(10.0, losses, is_regular=True)
    got = placed(line, [picture(s) for s in (7.0, 7.1, 7.4, 7.5)])
    assert [time_s for time_s, _ in got] == pytest.approx([0, 0.1, 0.4, 0.5])
    assert [missing for _, missing in got] == [0, 0, 2, 0]
    assert losses.gaps == [Gap(2, 2, 0.2)]
    assert line.position == 5


def test_at_a_variable_rate_only_packets_that_gave_no_picture_are_missing() -> None:
    line = TimeLine(10.0, Losses(), is_regular=False)
    got = placed(line, [picture(0.0), picture(0.5), picture(0.7, lost=1)])
    assert [missing for _, missing in got] == [0, 0, 1]


@pytest.mark.parametrize("stamps", [[0.0, 0.1, 3600.0, 3600.1], [50.0, 50.1, 0.0, 0.1]])
def test_time_stamps_that_start_anew_are_no_gap(stamps: list[float]) -> None:
    losses = Losses()
    line = TimeLine(10.0, losses, is_regular=True, length_s=100.0)
    got = placed(line, [picture(s) for s in stamps])
    assert [time_s for time_s, _ in got] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert (losses.missing, losses.jumps) == (0, 1)


def test_a_long_gap_inside_the_length_of_the_file_is_a_gap() -> None:
    losses = Losses()
    line = TimeLine(10.0, losses, is_regular=True, length_s=60.0)
    placed(line, [picture(0.0), picture(30.0)])
    assert losses.missing == 299


def test_positions_are_slots_where_there_are_no_time_stamps() -> None:
    losses = Losses()
    line = TimeLine(10.0, losses, is_regular=True)
    got = placed(line, [picture(None, slot=slot) for slot in (0, 1, 5)])
    assert [time_s for time_s, _ in got] == pytest.approx([0, 0.1, 0.5])
    assert [missing for _, missing in got] == [0, 0, 3]


def test_without_times_frames_are_counted() -> None:
    line = TimeLine(10.0, Losses(), is_regular=True)
    assert [t for t, _ in placed(line, [picture(None)] * 3)] == pytest.approx([0, 0.1, 0.2])
    assert TimeLine(None, Losses(), is_regular=False).place(picture(None)) == (None, 0)


def test_times_go_on_in_the_next_pass_and_rise_always() -> None:
    line = TimeLine(10.0, Losses(), is_regular=True)
    first = placed(line, [picture(s) for s in (0.2, 0.3, 0.3)])
    line.rewind()
    second = placed(line, [picture(s) for s in (0.2, 0.3)])
    assert [t for t, _ in first + second] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_a_replaced_rate_counts() -> None:
    line = TimeLine(10.0, Losses(), is_regular=True, replaced_fps=5.0)
    assert [t for t, _ in placed(line, [picture(s) for s in (0, 0.1, 0.3)])] == pytest.approx([0, 0.2, 0.6])


def test_the_warning_names_places_and_counts_the_rest() -> None:
    losses = Losses()
    for position in range(0, 70, 10):
        losses.add_gap(Gap(position, 2, position / 10))
    losses.add_damaged(9)
    (missing, damaged) = losses._sentences()
    assert missing.startswith("14 frames are missing, at 0-1 (0.00 s), 10-11 (1.00 s)")
    assert "40-41 (4.00 s) and 2 more places; masks repeat" in missing
    assert damaged == "1 frame is damaged and used as decoded: 9"


INDEX = (Chunk(4, 100), Chunk(112, 90), Chunk(210, 110), Chunk(328, 90), Chunk(426, 1), Chunk(436, 80))


def slots(packets: list[tuple[int, int]]) -> list[int]:
    found = Slots(INDEX)
    chunks = [Chunk(offset, size) for offset, size in packets]
    for number in range(len(chunks)):
        found.add(chunks[number : number + 5])
    return [found.next_shown() for chunk in chunks if chunk.size > 1]


def test_chunks_are_found_by_their_place_in_the_index() -> None:
    whole = [(chunk.offset + 1000, chunk.size) for chunk in INDEX]
    assert slots(whole) == [0, 1, 2, 3, 5]
    assert slots([whole[0], *whole[3:]]) == [0, 3, 5]


def test_chunks_that_moved_are_found_by_sizes_and_distances() -> None:
    moved = [(offset - 150, size) for offset, size in [(c.offset + 1000, c.size) for c in INDEX][3:]]
    assert slots([(1004, 100), *moved]) == [0, 3, 5]


def test_without_an_index_packets_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.avi").write_bytes(b"RIFF" + bytes(100))
    assert avi_index(tmp_path / "a.avi", 0) == ()
    found = Slots(())
    found.add([Chunk(5, 9)])
    found.add([Chunk(25, 9)])
    found.fail()
    found.add([Chunk(45, 9)])
    assert [found.next_shown(), found.next_shown()] == [0, 2]


def test_live_frames_keep_the_time_at_which_they_were_sent() -> None:
    """One second of frames waits while the caller is busy, and then comes at once."""
    clock = LiveClock(uses_stamps=True)
    arrivals = [(n / 25, 100 + n / 25) for n in range(10)] + [(n / 25, 101.4) for n in range(10, 35)]
    times = [clock.captured_s(stamp, arrived) for stamp, arrived in arrivals]
    assert times == pytest.approx([100 + n / 25 for n in range(35)], abs=0.005)


def test_live_times_never_lie_after_arrival_and_always_rise() -> None:
    clock = LiveClock(uses_stamps=True)
    arrivals = [(5.0, 10.0), (5.1, 10.05), (900.0, 10.2), (3.0, 10.3), (3.0, 10.4), (None, 10.5), (3.1, 10.6)]
    times = [clock.captured_s(stamp, arrived) for stamp, arrived in arrivals]
    assert all(after > before for before, after in pairwise(times))
    assert all(time_s <= arrived for time_s, (_, arrived) in zip(times, arrivals, strict=True))


def test_time_stamps_that_ffmpeg_makes_up_are_not_used() -> None:
    assert not has_own_times("mpjpeg")
    assert has_own_times("mov,mp4,m4a,3gp,3g2,mj2")
    clock = LiveClock(uses_stamps=False)
    assert [clock.captured_s(n / 25, 50 + 3 * n) for n in range(3)] == [50, 53, 56]
