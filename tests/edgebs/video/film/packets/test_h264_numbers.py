"""Pictures that were lost before a container was made: found by the numbers that H.264 gives them."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from fakes.video.films import SIZE, encode, number_of, numbered

from edgebs.video.open import open_source

pytestmark = pytest.mark.skipif("libx264" not in av.codecs_available, reason="this PyAV has no H.264 encoder")

LOST = 17


def elementary(frames: int = 40, **options: str) -> bytes:
    """Numbered pictures in H.264 without a container; one slice each, a key frame every 12."""
    codec = av.CodecContext.create("libx264", "w")
    codec.height, codec.width = SIZE
    codec.pix_fmt, codec.time_base, codec.framerate = "yuv420p", Fraction(1, 20), Fraction(20)
    codec.options = {
        "x264-params": "slices=1:threads=1:keyint=12:scenecut=0",
        "bf": "0",
        "crf": "10",
        **options,
    }
    stream = type("Stream", (), {"codec_context": codec, "encode": codec.encode})
    packets = [bytes(p) for n in range(frames) for p in encode(stream, numbered(n), n)]
    return b"".join([*packets, *map(bytes, codec.encode(None))])


def damaged(content: bytes, damage: str, picture: int = LOST) -> bytes:
    slices = [found.start() for found in re.finditer(rb"\x00\x00\x01[\x41\x61\x01\x65]", content)]
    begin, end = slices[picture] + 4, slices[picture + 1] - 1
    noise = np.random.default_rng(0).integers(1, 255, end - begin, np.uint8).tobytes()
    inside = {"header": b"\1\1" + content[begin + 2 : end], "noise": noise, "removed": b""}[damage]
    return content[:begin] + inside + content[end:]


def stored(folder: Path, content: bytes, suffix: str) -> Path:
    """The stream in a container whose time stamps run on over what is lost."""
    raw = folder / "v.h264"
    raw.write_bytes(content)
    if suffix == ".h264":
        return raw
    file = folder / f"v{suffix}"
    with av.open(str(raw), options={"framerate": "20"}) as source, av.open(str(file), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            packet.stream, packet.time_base = stream, Fraction(1, 20)
            packet.pts = packet.dts = number
            packet.duration = 1
            target.mux(packet)
    return file


@pytest.mark.parametrize("suffix", [".h264", ".ts", ".mkv"])
@pytest.mark.parametrize("damage", ["header", "noise"])
def test_a_picture_lost_before_the_time_stamps_were_made_is_missed(tmp_path, suffix, damage, caplog):
    file = stored(tmp_path, damaged(elementary(), damage), suffix)
    frames = list(open_source(file))
    positions = np.cumsum([frame.missing_before + 1 for frame in frames]) - 1
    # From the next key frame on nothing is guessed.
    numbers = [number_of(f.image) for f, position in zip(frames, positions, strict=True) if position >= 24]
    assert numbers == [position % 25 for position in range(24, 40)]
    assert sum(frame.missing_before for frame in frames) == 1
    assert frames[-1].captured_s == pytest.approx(39 / 20)
    assert f"1 frame is missing, at {LOST} (0.85 s)" in caplog.text


@pytest.mark.parametrize(
    ("suffix", "bframes"), [(".h264", "0"), (".h264", "3"), (".ts", "0"), (".mkv", "0"), (".mp4", "0")]
)
def test_a_whole_stream_misses_nothing(tmp_path, suffix, bframes, caplog):
    file = stored(tmp_path, elementary(bf=bframes), suffix)
    frames = list(open_source(file))
    assert len(frames) == 40
    assert not any(frame.missing_before for frame in frames)
    assert not caplog.records


def test_a_film_joined_to_another_misses_nothing(tmp_path, caplog):
    file = tmp_path / "v.ts"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"bf": "3"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(40):
            container.mux(encode(stream, numbered(number), number))
        container.mux(stream.encode(None))
    file.write_bytes(2 * file.read_bytes())
    frames = list(open_source(file))
    assert len(frames) == 80
    assert not any(frame.missing_before for frame in frames)
    assert not [record for record in caplog.records if "missing" in record.message]
