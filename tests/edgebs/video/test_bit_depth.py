"""Frames of more than 8 bits: one mapping a stream, stated or refused."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from fakes.process.command import Command
from fakes.video.picture_bytes import png, png16, thermal, write_pictures
from fakes.video.picture_folders import masks_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgebs
from bench.parity import parity_stream
from bench.scored.masks import mask_values, region_values
from calib.frames.make import make_calibration_set
from edgebs.bundle import Bundle
from edgebs.errors import SourceError
from edgebs.video.bit_depth import EightBits
from edgebs.video.open import open_source
from edgebs.video.picture_file import read_frame

COUNTS = np.array([[6000, 7000, 7300], [8500, 9000, 7750]], np.uint16)
SCALED = [[0, 0, 51], [255, 255, 128]]
"""COUNTS with 7000 to 8500 as 0 to 255: 300 of 1500 is 51, the half 127.5."""


WHOLE = {
    ending: bytes(
        cv2.imencode(ending, np.arange(4 * 6 * 4, dtype=np.uint8).reshape(4, 6, 4)[..., :channels])[1]
    )
    for ending, channels in ((".png", 4), (".jpg", 3), (".bmp", 3), (".tif", 3), (".ppm", 3), (".webp", 4))
}
"""A small picture of each kind."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def f_measure(found: np.ndarray, true: np.ndarray) -> float:
    both = np.count_nonzero(found & true)
    return 2 * both / (np.count_nonzero(found) + np.count_nonzero(true))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize("shape", ["grey", "one channel", "colour"])
def test_values_of_every_depth_are_mapped_by_the_range_and_cut_to_it(dtype, shape):
    values = COUNTS.astype(dtype)
    given = {"grey": values, "one channel": values[..., None], "colour": np.stack([values] * 3, -1)}[shape]
    frame = EightBits((7000, 8500)).frame(given, "frame 0")
    assert frame.dtype == np.uint8
    assert frame.shape == (2, 3, 3)
    assert np.array_equal(frame, np.stack([SCALED] * 3, -1))


def test_bool_and_small_floats_have_their_ranges_too():
    assert EightBits((0, 1)).frame(np.array([[False, True]]), "f").tolist() == [[[0] * 3, [255] * 3]]
    assert EightBits((-1.0, 1.0)).frame(np.array([[-1.0, 0.2, 1.0]]), "f")[0, :, 0].tolist() == [0, 153, 255]


def test_8_bit_frames_are_passed_on_without_a_range_and_stretched_by_one():
    frame = np.full((4, 6, 3), 100, np.uint8)
    frame[0] = 150
    assert EightBits().frame(frame, "f") is frame
    assert EightBits().frame(frame, "f", own=(0.0, 255.0)) is frame
    assert EightBits((100, 200)).frame(frame, "f")[0, 0, 0] == 128


def test_the_mapping_stays_the_same_for_the_whole_stream():
    first, later = np.array([[7000, 8500]], np.uint16), np.array([[7700, 7800]], np.uint16)
    frames = list(open_source([first, later], value_range=(7000, 8500)))
    assert [frame.image[0, :, 0].tolist() for frame in frames] == [[0, 255], [119, 136]]


@pytest.mark.parametrize(
    ("values", "value_range", "expected"),
    [
        (COUNTS, (0, 100), "values from 6000 to 9000, none of them inside the range 0,100.*--range"),
        (COUNTS, (0, 70000), "uint16 values, at most 65535, and the range 0,70000 goes beyond"),
        (np.array([[1, 2]], np.uint8), (7000, 8500), "uint8 values, at most 255"),
        (np.array([[1.0, np.nan]]), (0, 1), r"1 of 2 values are not finite"),
        (np.array([["a"]]), (0, 1), "frame 0 is <U1"),
        (np.zeros((2, 3, 4), np.uint16), (0, 1), r"uint16 \(2, 3, 4\)"),
        (np.zeros((0, 3), np.uint16), (0, 1), "empty"),
    ],
)
def test_values_that_a_range_cannot_map_are_refused(values, value_range, expected):
    with pytest.raises(SourceError, match=f"(?s){expected}"):
        EightBits(value_range).frame(values, "frame 0")


def test_a_uniform_first_frame_proves_nothing_about_the_range_and_the_next_one_does():
    depth = EightBits((7000, 8500))
    assert not depth.frame(np.zeros((2, 2), np.uint16), "frame 0").any()
    with pytest.raises(SourceError, match="frame 1 holds values from 1 to 2"):
        depth.frame(np.array([[1, 2]], np.uint16), "frame 1")


@pytest.mark.parametrize("value_range", [(5, 5), (9, 1), (0, float("nan")), (0, float("inf")), (1,), "ab", 7])
def test_what_is_no_range_is_a_value_error(value_range):
    with pytest.raises(ValueError, match="value_range must be"):
        open_source([], value_range=value_range)


def test_a_change_of_depth_in_a_stream_is_named(tmp_path):
    wide = np.linspace(0, 65535, 24).reshape(4, 6).astype(np.uint16)
    narrow = cv2.imencode(".png", np.zeros((4, 6), np.uint8))[1].tobytes()
    folder = write_pictures(tmp_path / "f", {"1.png": png16(wide), "2.png": narrow})
    with pytest.raises(SourceError, match=r"2\.png .frame 1. is uint8, the frames before it uint16"):
        list(open_source(folder))


def test_thermal_counts_in_a_folder_are_refused_with_the_values_and_a_range_that_fits(tmp_path):
    frames, _ = thermal(2)
    folder = write_pictures(tmp_path / "f", {f"{n}.png": png16(frame) for n, frame in enumerate(frames)})
    with pytest.raises(
        SourceError, match=r"0\.png .frame 0. holds uint16 values from 7000 to 7705"
    ) as refused:
        open_source(folder)
    assert "--range 6900,7800" in str(refused.value)
    low, high = 6900, 7800
    first = next(open_source(folder, value_range=(low, high))).image
    assert np.array_equal(first[..., 0], np.rint((frames[0] - low) * 255.0 / (high - low)))


def test_a_folder_that_fills_16_bits_uses_them_and_says_so(tmp_path, caplog):
    wide = np.linspace(3000, 60000, 24).reshape(4, 6).astype(np.uint16)
    folder = write_pictures(tmp_path / "f", {"1.png": png16(wide), "2.png": png16(wide // 30)})
    with caplog.at_level(logging.WARNING):
        first, second = (frame.image[..., 0] for frame in open_source(folder))
    assert np.array_equal(first, np.rint(wide / 257))
    assert np.array_equal(second, np.rint(wide // 30 / 257))
    assert "values from 0 to 65535 become 0 to 255. --range LOW,HIGH" in caplog.text


def test_a_hot_and_a_dead_pixel_do_not_fill_16_bits(tmp_path):
    frame = thermal(1)[0][0]
    frame[0, :2] = 0, 65535
    folder = write_pictures(tmp_path / "f", {"1.png": png16(frame)})
    with pytest.raises(
        SourceError, match=r"uint16 values from 0 to 65535 .98 % of them from 7[01].*--range 6900,7800"
    ):
        open_source(folder)


@pytest.mark.parametrize(("bits", "top"), [(10, 1023), (12, 4095), (14, 16383)])
def test_significant_bits_of_a_png_say_what_its_values_are(tmp_path, bits, top):
    values = np.linspace(1, top, 24).reshape(4, 6).astype(np.uint16)
    as_they_are = write_pictures(tmp_path / "a", {"1.png": png16(values, significant_bits=bits)})
    assert np.array_equal(next(open_source(as_they_are)).image[..., 0], np.rint(values * 255.0 / top))
    scaled = values << (16 - bits)
    folder = write_pictures(tmp_path / "b", {"1.png": png16(scaled, significant_bits=bits)})
    assert np.array_equal(next(open_source(folder)).image[..., 0], np.rint(scaled / 257))


def test_a_pgm_says_its_largest_value(tmp_path):
    values = np.linspace(0, 1023, 24).reshape(4, 6).astype(np.uint16)
    content = b"P5\n# a camera\n6 4\n1023\n" + values.astype(">u2").tobytes()
    folder = write_pictures(tmp_path / "f", {"1.pgm": content})
    assert np.array_equal(next(open_source(folder)).image[..., 0], np.rint(values * 255.0 / 1023))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.float32])
def test_tiff_of_every_depth_is_read_with_a_range_and_never_without_a_word(tmp_path, dtype):
    values = np.tile(COUNTS.astype(dtype), (10, 10))
    content = cv2.imencode(".tif", values)[1].tobytes()
    folder = write_pictures(tmp_path / "f", {"1.tif": content, "2.TIFF": content})
    with pytest.raises(SourceError, match=f"{np.dtype(dtype)}.*6000 .*9000.*range"):
        open_source(folder)
    frames = list(open_source(folder, value_range=(7000, 8500)))
    assert len(frames) == 2
    assert np.array_equal(frames[1].image[..., 0], np.tile(SCALED, (10, 10)))


def test_a_tiff_of_several_pages_is_not_read_as_its_first_one(tmp_path):
    pages = cv2.imencodemulti(".tif", [np.zeros((8, 8), np.uint8)] * 3)[1].tobytes()
    folder = write_pictures(tmp_path / "f", {"stack.tif": pages})
    with pytest.raises(SourceError, match=r"stack\.tif holds 3 pictures .*tiffsplit"):
        open_source(folder)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png([b"\xa0"], 4, depth=1), [255, 0, 255, 0]),
        (png([b"\x1b"], 4, depth=2), [0, 85, 170, 255]),
        (png([bytes([9, 255, 7, 0])], 2, colour_type=4), [9, 7]),
        (
            png([bytes([0, 1])], 2, colour_type=3, chunks=[(b"PLTE", bytes([1, 2, 3, 60, 60, 60]))]),
            [3, 60],
        ),
    ],
    ids=["1 bit", "2 bits", "grey and alpha", "palette"],
)
def test_8_bit_pictures_of_every_kind_become_bgr(tmp_path, content, expected):
    folder = write_pictures(tmp_path / "f", {"1.png": content})
    assert next(open_source(folder)).image[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (COUNTS, "6000 to 9000"),
        (COUNTS.astype(np.float32), "6000 to 9000"),
        (np.zeros((2, 3), bool), "False|0"),
    ],
)
def test_arrays_without_a_range_are_refused_with_the_argument_and_the_values(wrong, expected):
    with pytest.raises(SourceError, match=f"(?s)frame 0 of frames from a list .*{expected}.*value_range="):
        list(open_source([wrong]))


def test_an_opened_source_and_a_video_can_be_stretched(tmp_path):
    source = open_source([np.full((4, 6, 3), level, np.uint8) for level in (100, 150)])
    assert [frame.image[0, 0, 0] for frame in open_source(source, value_range=(100, 200))] == [0, 128]
    file = tmp_path / "v.mkv"
    writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"FFV1"), 10, (64, 48))
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, 32:] = 90
    writer.write(picture)
    writer.release()
    (frame,) = open_source(file, value_range=(0, 100))
    assert (frame.image[0, 0, 0], frame.captured_s) == (0, 0.0)
    assert frame.image[0, 40, 0] in (227, 230, 232)  # 90 or, through YUV, 89 or 91
    with pytest.raises(SourceError, match=r"frame 0 of .*v\.mkv holds uint8 values, at most 255"):
        list(open_source(file, value_range=(0, 1023)))


def write_deep(file: Path, counts: np.ndarray, codec: str, layout: str) -> Path:
    """A video of (T, H, W) or (T, H, W, 3) uint16 values, stored as they are."""
    with av.open(str(file), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = counts.shape[1:3]
        stream.pix_fmt = layout
        for values in counts:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(values, format=layout)))
        container.mux(stream.encode(None))
    return file


@pytest.mark.parametrize(
    ("codec", "layout", "bits"),
    [
        ("ffv1", "gray16le", 16),
        ("png", "gray16be", 16),
        ("rawvideo", "gray16le", 16),
        ("ffv1", "gray10le", 10),
        ("ffv1", "gray12le", 12),
    ],
)
def test_a_video_of_counts_is_mapped_by_the_same_rule_as_pictures(tmp_path, codec, layout, bits):
    top = 2**bits - 1
    width = top // 43  # 7000 to 8500 of 16 bits, the same share of the others
    counts = np.random.default_rng(0).integers(top // 9, top // 9 + width, (3, 48, 65), np.uint16)
    file = write_deep(tmp_path / f"v.{'mkv' if codec == 'ffv1' else 'nut'}", counts, codec, layout)
    with pytest.raises(SourceError, match=rf"frame 0 of .* small part of 0 to {top}, .*--range \d+,\d+"):
        open_source(file)
    low, high = top // 9, top // 9 + width
    seen = np.stack([frame.image for frame in open_source(file, value_range=(low, high))])
    expected = np.stack([frame.image for frame in open_source(list(counts), value_range=(low, high))])
    np.testing.assert_array_equal(seen, expected)
    assert set(range(0, 256, 5)) <= set(seen.ravel().tolist()) or bits < 16


def test_a_video_that_fills_its_bits_uses_them_and_keeps_that_in_its_second_pass(tmp_path, caplog):
    counts = np.linspace(0, 1023, 48 * 64).astype(np.uint16).reshape(1, 48, 64)
    file = write_deep(tmp_path / "v.mkv", np.concatenate((counts, counts // 8)), "ffv1", "gray10le")
    source = open_source(file, loop=True)
    frames = [next(source).image for _ in range(4)]
    assert (int(frames[0].max()), int(frames[1].max())) == (255, 32)  # 127 of 1023 is 31.7 of 255
    np.testing.assert_array_equal(frames[2:], frames[:2])
    assert "frame 0 of" in caplog.text
    assert "values from 0 to 1023 become 0 to 255. --range LOW,HIGH chooses others" in caplog.text


@pytest.mark.parametrize("layout", ["gbrp10le", "gbrp16le"])
def test_colours_of_more_than_8_bits_keep_their_values(tmp_path, layout):
    bits = int(layout[4:6])
    rgb = np.random.default_rng(0).integers(0, 2**bits, (2, 48, 64, 3), np.uint16)
    file = write_deep(tmp_path / "v.mkv", rgb, "ffv1", layout)
    seen = [frame.image for frame in open_source(file, value_range=(0, 2**bits / 2))]
    expected = np.rint(np.clip(rgb[..., ::-1] / (2**bits / 2), 0, 1) * 255)
    np.testing.assert_array_equal(seen, expected)


def test_edge_finds_a_warm_box_in_a_thermal_video_and_refuses_it_without_a_range(tmp_path, run):
    frames, masks = thermal()
    file = write_deep(tmp_path / "v.mkv", np.stack(frames), "ffv1", "gray16le")
    command = ("run", "edge", "--source", file, "--mask", tmp_path / "masks", "--threads", "1")
    code, out, err = run(*command)
    assert (code, out) == (1, "")
    assert "--range 6900,7800" in err
    code, out, err = run(*command, "--range", "6900,7800")
    assert (code, err) == (0, "")
    found = np.stack(masks_of(tmp_path / "masks")) > 0
    assert f_measure(found[20:], masks[20:]) > 0.8


def test_edge_finds_a_warm_box_in_thermal_counts(tmp_path: Path, run: Command) -> None:
    frames, masks = thermal()
    folder = write_pictures(tmp_path / "f", {f"{n}.png": png16(frame) for n, frame in enumerate(frames)})
    command = ("run", "edge", "--source", folder, "--mask", tmp_path / "masks", "--threads", "1")
    code, out, err = run(*command)
    assert (code, out) == (1, "")
    assert "7000 to 7705" in err
    proposed = re.findall(r"--range (\S+)", err)
    assert proposed == ["6900,7800"]
    code, out, err = run(*command, "--range", *proposed)
    assert (code, err) == (0, "")
    found = np.stack(masks_of(tmp_path / "masks")) > 0
    assert f_measure(found[20:], masks[20:]) > 0.8


def test_edge_takes_the_same_counts_from_python() -> None:
    frames, masks = thermal(40)
    with edgebs.load("edge", threads=1) as pipeline:
        found = [result.mask for result in pipeline.run(list(frames), value_range=(6600, 8900))]
        pipeline.reset()
        one_by_one = [pipeline.process(frame, value_range=(6600, 8900)).mask for frame in frames]
        with pytest.raises(SourceError, match=r"from 7000 to 7705.*value_range="):
            pipeline.process(frames[0])
    assert f_measure(np.stack(found)[20:] > 0, masks[20:]) > 0.8
    assert np.array_equal(found, one_by_one)


def test_a_range_is_given_once_for_all_sources_or_once_each(
    run: Command, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    frames, _ = thermal(4, size=(60, 80))
    warm = write_pictures(tmp_path / "w", {f"{n}.png": png16(frame) for n, frame in enumerate(frames)})
    plain = write_pictures(
        tmp_path / "p",
        {
            f"{n}.png": cv2.imencode(".png", (frame >> 6).astype(np.uint8))[1].tobytes()
            for n, frame in enumerate(frames)
        },
    )
    sources = ("run", tiny_bundle.path, "--source", warm, "--source", plain, "--threads", "1", "--json")
    code, out, _ = run(*sources, "--range", "6600,8900", "--range", "0,255")
    assert code == 0
    assert [camera["frames_out"] for camera in json.loads(out)["cameras"]] == [4, 4]
    code, _, err = run(*sources, "--range", "6600,8900")
    assert code == 1
    assert "at most 255" in err
    code, _, err = run(*sources, *["--range", "0,1"] * 3)
    assert code == 2
    assert "given 3 times for 2 sources" in err


@pytest.mark.parametrize("text", ["7000", "8500,7000", "a,b", "1,2,3", "nan,5", "0,inf", "5,5"])
def test_a_range_that_is_none_is_wrong_usage(run: Command, tiny_bundle: Bundle, text: str) -> None:
    code, _, err = run("run", tiny_bundle.path, "--source", "x.mp4", "--range", text)
    assert code == 2
    assert "LOW,HIGH" in err


def test_calibration_stores_the_frames_that_the_run_sees(tmp_path: Path) -> None:
    frames, _ = thermal(24, size=(60, 80))
    folder = write_pictures(tmp_path / "f", {f"{n}.png": png16(frame) for n, frame in enumerate(frames)})
    with pytest.raises(SourceError, match="--range 6700,7900"):
        make_calibration_set([folder], tmp_path / "none", frames=4)
    made = make_calibration_set([folder], tmp_path / "set", frames=4, value_range=(6600, 8900))
    sample = made.samples[0]
    seen = list(open_source(folder, value_range=(6600, 8900)))[sample.frame_number].image
    assert np.abs(sample.frame.astype(int) - seen).mean() < 2
    assert made.sources[0]["value_range"] == [6600, 8900]


def test_every_command_that_reads_pictures_takes_the_range(
    run: Command, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    frames, masks = thermal(24, size=(60, 80))
    contents = {f"in{n:06d}.png": png16(frame) for n, frame in enumerate(frames, 1)}
    folder = write_pictures(tmp_path / "data/a/input", contents)
    truths = {
        f"gt{n:06d}.png": cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()
        for n, mask in enumerate(masks, 1)
    }
    write_pictures(tmp_path / "data/a/groundtruth", truths)
    commands = {
        "eval": (tiny_bundle.path, "--data", tmp_path / "data"),
        "calibrate": (folder, "--out", tmp_path / "set", "--frames", "4"),
        "bench": (
            tiny_bundle.path, "--fps", "--source", folder, "--frames", "5", "--repeats", "1",
            "--baseline", "none",
        ),
    }  # fmt: skip
    for name, arguments in commands.items():
        code, out, err = run(name, *arguments)
        assert (code, out) == (1, ""), name
        assert "uint16 values from 7004 to 7694" in err, name
        assert run(name, *arguments, "--range", "6600,8900")[0] == 0, name
    code, _, err = run("bench", tiny_bundle.path, "--fps", "--range", "0,9")
    assert (code, "no effect here: rendered scenes have 8 bits" in err) == (2, True)
    assert parity_stream(folder, 2, (6600, 8900))[0][0].dtype == np.uint8


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_damaged_bytes_are_a_source_error_or_a_picture(
    tmp_path: Path, kind: str, data: st.DataObject
) -> None:
    content = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path / f"x{kind}"
    file.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]) or b"\0")
    for read in (read_frame, mask_values, region_values):
        with contextlib.suppress(SourceError):
            assert read(file).dtype == np.uint8
