"""Films that are damaged, unusual or hard to name: what is there is read, and what is missing is said."""

from __future__ import annotations

import logging
import os
import signal
import threading
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from fakes.process.programs import program
from fakes.process.waiting import WATCHDOG_S
from fakes.video.films import (
    add_video,
    cut_out,
    encode,
    number_of,
    numbered,
    overwrite,
    packet_places,
    write_film,
)

from edgebs.errors import SourceError
from edgebs.video.open import local_path, open_source


def read(path: Path | str) -> tuple[list[int], list[int], list[float | None]]:
    """Numbers of the pictures, frames missing before each, and times."""
    frames = list(open_source(path))
    return (
        [number_of(frame.image) for frame in frames],
        [frame.missing_before for frame in frames],
        [frame.captured_s for frame in frames],
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mov", ".ts"])
def test_a_frame_that_cannot_be_decoded_is_passed_over_counted_and_named(tmp_path, suffix, caplog):
    codec = "mpeg2video" if suffix == ".ts" else "mjpeg"
    file = write_film(tmp_path / f"v{suffix}", codec=codec)
    if suffix == ".ts":
        content = file.read_bytes()
        packets = [content[n : n + 188] for n in range(0, len(content), 188)]
        starts = [n for n, packet in enumerate(packets) if packet[1:3] == b"\x41\x00"]
        del packets[starts[7] : starts[8]]
        file.write_bytes(b"".join(packets))
    else:
        overwrite(file, packet_places(file)[7:8])
    numbers, missing, times = read(file)
    assert numbers == [n for n in range(20) if n != 7]
    assert missing == [1 if number == 8 else 0 for number in numbers]
    assert times == pytest.approx([number / 20 for number in numbers])
    assert "1 frame is missing, at 7 (0.35 s); masks repeat the one before" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
@pytest.mark.parametrize("damage", ["overwritten", "cut out"])
def test_frames_that_a_damaged_file_lost_leave_the_others_at_their_places(tmp_path, suffix, damage, caplog):
    file = write_film(tmp_path / f"v{suffix}", 40)
    places = packet_places(file)
    start, end = places[12][0] - 60, places[17][0] + 100
    if damage == "cut out":
        cut_out(file, start, end)
    else:
        overwrite(file, [(start, end - start)])
    source = open_source(file)
    frames = list(source)
    numbers = [round(frame.captured_s * 20) for frame in frames]
    assert 33 <= len(frames) <= 35
    for frame, number in zip(frames, numbers, strict=True):
        assert number_of(frame.image) == number % 25
    assert numbers[-1] == 39
    assert source.losses.missing == 40 - len(frames)
    assert f"{40 - len(frames)} frames are missing, at 1" in caplog.text


def test_a_damaged_first_frame_keeps_its_place(tmp_path):
    file = write_film(tmp_path / "v.mkv", 10)
    overwrite(file, packet_places(file)[:1])
    numbers, missing, times = read(file)
    assert (numbers[0], missing[0]) == (1, 1)
    assert times[0] == pytest.approx(0.05)


def test_a_second_pass_counts_no_loss_again(tmp_path):
    file = write_film(tmp_path / "v.mp4", 10)
    overwrite(file, packet_places(file)[4:5])
    with open_source(file, loop=True) as source:
        frames = [next(source) for _ in range(25)]
        assert source.losses.missing == 1
    assert all(before.captured_s < after.captured_s for before, after in pairwise(frames))


def test_a_cut_jpeg_inside_a_film_is_missing_and_not_half_grey(tmp_path):
    file = write_film(tmp_path / "v.avi")
    position, size = packet_places(file)[5]
    overwrite(file, [(position + size // 2, size - size // 2)])
    assert read(file)[0] == [n for n in range(20) if n != 5]


def test_a_film_of_variable_rate_loses_nothing_by_its_gaps(tmp_path, caplog):
    stamps = [0, 1, 3, 4, 7, 8, 9, 12, 14, 15, 19, 20, 22]
    for suffix in (".mkv", ".mp4"):
        file = write_film(tmp_path / f"v{suffix}", len(stamps), stamps=stamps)
        source = open_source(file)
        frames = list(source)
        assert source.has_variable_rate
        assert [frame.captured_s for frame in frames] == pytest.approx([s / 20 for s in stamps], abs=1e-3)
        assert source.losses.missing == 0
    assert caplog.text == ""


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(1, 100), Fraction(1, 2), 120])
def test_the_rate_is_the_one_of_the_time_stamps(tmp_path, fps):
    source = open_source(write_film(tmp_path / "v.mkv", 10, codec="mpeg4", fps=fps))
    assert source.fps == pytest.approx(float(fps))
    assert not source.has_variable_rate
    assert len(list(source)) == 10


def test_a_cover_before_the_film_is_passed_over(tmp_path):
    file = tmp_path / "v.mp4"
    with av.open(str(file), "w") as container:
        cover = add_video(container, "mjpeg", size=(64, 128))
        film = add_video(container, "mpeg4")
        container.mux(encode(cover, numbered(20, (64, 128)), 0))
        for number in range(20):
            container.mux(encode(film, numbered(number), number))
        container.mux(cover.encode(None))
        container.mux(film.encode(None))
    source = open_source(file)
    assert (source.size, source.frame_count) == ((48, 64), 20)
    assert [number_of(frame.image) for frame in source] == list(range(20))


def test_of_two_films_in_a_file_the_chosen_one_is_named(tmp_path, caplog):
    file = tmp_path / "v.mkv"
    with av.open(str(file), "w") as container:
        streams = [add_video(container, "mpeg4"), add_video(container, "mpeg4", size=(96, 128))]
        for number in range(10):
            for stream in streams:
                container.mux(encode(stream, numbered(number, (stream.height, stream.width)), number))
        for stream in streams:
            container.mux(stream.encode(None))
    source = open_source(file)
    assert "holds 2 videos: stream" in caplog.text
    assert f"({'mpeg4'}, {source.size[1]}x{source.size[0]}) is used" in caplog.text
    assert len(list(source)) == 10


def test_pictures_far_apart_beside_sound_are_found(tmp_path):
    file = tmp_path / "v.mkv"
    with av.open(str(file), "w", options={"max_interleave_delta": "0"}) as container:
        film = add_video(container, "mjpeg", fps=Fraction(1, 100))
        sound = container.add_stream("pcm_s16le", rate=8000)
        silence = np.zeros((1, 160), np.int16)
        for number in range(2):
            container.mux(encode(film, numbered(number), number))
            for piece in range(5000):
                frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
                frame.rate, frame.pts = 8000, (number * 5000 + piece) * 160
                container.mux(sound.encode(frame))
        container.mux(film.encode(None))
    assert [number_of(frame.image) for frame in open_source(file)] == [0, 1]


NAMES = [
    b"2026-11-25T10:00:00.mp4",
    b"-x.mp4",
    b"a%03d.mp4",
    b"who? #1.mp4",
    b"two\nlines.mp4",
    b"caf\xe9.mp4",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_file_is_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "plain.mp4", 3)
    os.rename(b"plain.mp4", name)  # noqa: PTH104 - a name that is no text
    for spec in (os.fsdecode(name), Path(os.fsdecode(name)), tmp_path / os.fsdecode(name)):
        assert len(list(open_source(spec))) == 3


def test_file_addresses_are_decoded():
    assert local_path("file:///a%20b/c%C3%A9.mp4") == Path("/a b/cé.mp4")
    assert local_path("file://localhost/a.mp4") == local_path("FILE:///a.mp4") == Path("/a.mp4")
    assert os.fsencode(local_path("file:///caf%E9.mp4")) == b"/caf\xe9.mp4"
    assert local_path("/100%25.mp4") == Path("/100%25.mp4")
    assert local_path("-") == Path("/dev/stdin")


def test_a_named_pipe_is_read_also_when_its_writer_comes_later(tmp_path):
    content = write_film(tmp_path / "v.mkv").read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Timer(0.3, lambda: pipe.write_bytes(content))
    writer.start()
    try:
        assert [number_of(frame.image) for frame in open_source(pipe)] == list(range(20))
    finally:
        writer.join(WATCHDOG_S)
    with pytest.raises(SourceError, match="is a pipe and cannot be repeated"):
        open_source(pipe, loop=True)


def test_closing_a_pipe_that_nothing_comes_from_ends_its_reader(tmp_path):
    content = write_film(tmp_path / "v.mkv", 40).read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)
    writer = threading.Thread(target=os.write, args=(descriptor, content), daemon=True)
    writer.start()
    source = open_source(pipe)
    reader = threading.Thread(target=lambda: list(source), daemon=True)
    reader.start()
    writer.join(WATCHDOG_S)
    source.close()
    reader.join(WATCHDOG_S)
    os.close(descriptor)
    assert not reader.is_alive()


INTERRUPTED = """
import sys
from edgebs.video.open import open_source
print("waiting", flush=True)
try:
    open_source(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted")
"""


def test_waiting_for_a_pipe_can_be_interrupted(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with (
        program(INTERRUPTED, tmp_path / "pipe", says="waiting") as process,
        open(tmp_path / "pipe", "wb"),  # noqa: PTH123 - returns when the other side has opened it
    ):
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WATCHDOG_S)
    assert (out, err) == ("interrupted\n", "")


def test_what_is_no_video_in_a_pipe_is_refused(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"no video" * 100,))
    writer.start()
    with pytest.raises(SourceError, match="is a pipe that cannot be read as a video"):
        open_source(pipe)
    writer.join(WATCHDOG_S)


@pytest.mark.parametrize(("transfer", "kind"), [(16, "PQ"), (18, "HLG")])
def test_a_film_in_hdr_is_named_once(tmp_path, caplog, transfer, kind):
    file = write_film(tmp_path / "v.mkv", 5, codec="mpeg2video", color_trc=transfer)
    assert len(list(open_source(file))) == 5
    assert caplog.text.count(f"is HDR ({kind}) and is not tone-mapped") == 1


def test_a_change_of_size_in_a_film_is_an_error_with_both_sizes(tmp_path):
    sizes = [(48, 64)] * 5 + [(32, 48)] * 5
    jpegs = [cv2.imencode(".jpg", numbered(n, size))[1].tobytes() for n, size in enumerate(sizes)]
    (tmp_path / "v.mjpeg").write_bytes(b"".join(jpegs))
    read = []
    with pytest.raises(
        SourceError, match="changes its size at frame 5: pictures of 64x48 before, 48x32 from"
    ):
        read.extend(open_source(tmp_path / "v.mjpeg"))
    assert len(read) == 5


def test_pictures_are_those_of_opencv_to_the_bit(tmp_path):
    for codec, suffix in (("mpeg4", ".mp4"), ("mjpeg", ".avi"), ("ffv1", ".mkv")):
        file = write_film(tmp_path / f"v{suffix}", codec=codec)
        capture = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG)
        for frame in open_source(file):
            assert np.array_equal(frame.image, capture.read()[1])
        assert not capture.read()[0]


@pytest.mark.parametrize(("degrees", "turn"), [(90, -1), (-90, 1), (180, 2)])
def test_a_film_is_turned_as_its_display_matrix_says(tmp_path, degrees, turn):
    file = tmp_path / "v.mp4"
    with av.open(str(file), "w") as container:
        stream = add_video(container, "mpeg4")
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV writes no display matrix")
        stream.set_display_rotation(degrees)
        picture = numbered(3)
        picture[:, 40:] = 240
        container.mux(encode(stream, picture, 0))
        container.mux(encode(stream, picture, 1))
        container.mux(stream.encode(None))
    image = next(open_source(file)).image
    expected = np.rot90(picture, -turn)
    assert image.shape == expected.shape
    capture = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG)
    assert np.array_equal(image, capture.read()[1])


def test_nothing_is_written_to_stderr_by_a_damaged_film(tmp_path, capfd, caplog):
    file = write_film(tmp_path / "v.mp4", codec="mpeg4")
    overwrite(file, packet_places(file)[3:6], 0x5A)
    with caplog.at_level(logging.CRITICAL):
        list(open_source(file))
    assert capfd.readouterr().err == ""


def test_a_film_that_begins_late_is_whole_and_is_still_found_cut(tmp_path):
    file = write_film(tmp_path / "late.mkv", stamps=range(2000, 2020))
    assert read(file)[0] == list(range(20))
    assert open_source(file).frame_count == 20
    places = packet_places(file)
    file.write_bytes(file.read_bytes()[: places[10][0]])
    with pytest.raises(SourceError, match="is truncated: it promises 20 frames and stops after 10"):
        read(file)


def test_frames_before_the_start_of_an_edit_list_are_not_missing(tmp_path, caplog):
    file = tmp_path / "edited.mp4"
    with av.open(str(file), "w", options={"avoid_negative_ts": "disabled"}) as container:
        stream = add_video(container, "mjpeg")
        for number in range(20):
            container.mux(encode(stream, numbered(number), number - 9))
        container.mux(stream.encode(None))
    with av.open(str(file)) as container:
        assert (container.streams.video[0].frames, float(container.duration)) == (20, 11 / 20 * av.time_base)
    assert read(file) == (list(range(9, 20)), [0] * 11, pytest.approx([n / 20 for n in range(11)]))
    assert not caplog.records


def test_a_film_whose_writer_stopped_before_the_first_frame_holds_none(tmp_path):
    file = tmp_path / "v.avi"
    with av.open(str(file), "w") as container:
        add_video(container, "mjpeg")
        container.start_encoding()
    with pytest.raises(SourceError, match="holds no frame that can be decoded"):
        open_source(file)


def test_a_long_pause_is_named_and_not_filled_with_masks(tmp_path, caplog):
    stamps = [*range(10), *range(20 * 3600, 20 * 3600 + 10)]  # an hour at 20 frames/s
    file = write_film(tmp_path / "v.mkv", stamps=stamps)
    numbers, missing, times = read(file)
    assert (numbers, missing) == (list(range(20)), [0] * 20)
    assert times == pytest.approx([stamp / 20 for stamp in stamps])
    assert "the recording pauses once (before frame 10, 3600 s): masks are not repeated" in caplog.text
    assert len(caplog.records) == 1
