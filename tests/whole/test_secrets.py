"""A canary for a password: every command that takes a source, with addresses that fail and that work."""

import json
from pathlib import Path

import pytest
from fakes.networks.small_bundle import small_bundle
from fakes.process.command import Command
from fakes.video.motion_jpeg import jpeg, motion_jpeg_camera
from fakes.video.picture_folders import moving_bar, picture_folder

CANARY = "xCANARYx"
FAILING = [
    f"rtsp://user:{CANARY}@127.0.0.1:9/x",
    f"rtsp://user:a/{CANARY}@127.0.0.1:9/x",
    f"http://127.0.0.1:9/x.cgi?user=admin&password={CANARY}",
    f"user:{CANARY}@127.0.0.1/x",
    f"rtspsrc location=rtsp://127.0.0.1:9 user-pw={CANARY} ! decodebin ! appsink",
    f"nonsense://user:{CANARY}@127.0.0.1:9/?token={CANARY}",
]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capfd)


@pytest.fixture
def camera():
    """An HTTP camera that sends three pictures as MJPEG, and then hangs up."""
    pictures = [jpeg(frame) for frame in moving_bar(3)]
    with motion_jpeg_camera(lambda _: pictures) as sending:
        yield f"http://user:{CANARY}@127.0.0.1:{sending.server_port}/video.mjpg?token={CANARY}&channel=1"


def require_silence(said: tuple[int, str, str], *folders: Path) -> None:
    _, out, err = said
    assert CANARY not in out + err
    assert "Traceback" not in err
    for file in (file for folder in folders for file in folder.rglob("*")):
        assert CANARY not in file.name
        assert file.is_dir() or CANARY.encode() not in file.read_bytes()


@pytest.mark.parametrize("address", FAILING)
def test_no_command_repeats_the_secrets_of_an_address_that_fails(command, tmp_path, address):
    bundle = small_bundle(tmp_path / "bundle").path
    other = picture_folder(tmp_path / "pictures", moving_bar(3))
    out = tmp_path / "out"
    commands = [
        ("run", bundle, "--source", address, "--mask", out),
        ("-v", "run", bundle, "--source", address, "--source", other, "--json"),
        ("run", bundle, "--source", address, "--mask", address),
        ("calibrate", address, "--out", out),
        (
            "bench",
            bundle,
            "--fps",
            "--source",
            address,
            "--baseline",
            "none",
            "--out",
            tmp_path / "record.json",
        ),
        ("parity", bundle, "--source", address),
        ("export", "edge", "--source", address, "--out", out, "--weights", "random"),
    ]
    if ":/" in address:  # where no source is asked for, an address is known by its scheme
        commands += [("eval", bundle, "--data", address), ("run", address, "--source", other)]
        commands += [("inspect", bundle, address), ("run", bundle, address)]
    for words in commands:
        said = command(*words)
        assert said[0] in (1, 2), words
        require_silence(said, tmp_path)


def test_no_output_holds_the_secrets_of_an_address_that_works(command, tmp_path, camera):
    bundle = small_bundle(tmp_path / "bundle").path
    other = picture_folder(tmp_path / "pictures", moving_bar(3))
    background = ("--mask", tmp_path / "masks", "--overlay", tmp_path / "o.avi", "--frames", 2)
    one = command("-v", "run", bundle, "--source", camera, *background, "--json")
    assert one[0] == 0, one
    require_silence(one, tmp_path)
    code, out, err = command("run", bundle, "--source", camera, "--source", other, "--json")
    require_silence((code, out, err), tmp_path)
    assert json.loads(out)["cameras"][0]["source"].startswith("http://user:***@127.0.0.1:")
    assert "channel=1" in json.loads(out)["cameras"][0]["source"]


def test_the_record_of_a_benchmark_names_its_source_without_secrets(monkeypatch, tmp_path, camera):
    from bench.speed import fps

    bundle = small_bundle(tmp_path / "bundle").path
    pictures = picture_folder(tmp_path / "pictures", moving_bar(3))
    opened = fps.open_source
    # A camera that hangs up is no benchmark: frames of a folder, under the camera's address.
    monkeypatch.setattr(fps, "open_source", lambda _, **options: opened(pictures, **options))
    monkeypatch.setattr(fps, "peak_rss_mb", lambda *_: 1.0)
    record = fps.bench_fps([bundle], camera, frames=5, repeats=1)
    fps.write_record(record, tmp_path / "record.json")
    assert CANARY not in (tmp_path / "record.json").read_text()
    assert record["source"].startswith("http://user:***@127.0.0.1:")


def test_a_worker_that_fails_repeats_no_secret(monkeypatch, tmp_path):
    from bench.speed import fps
    from edgebs.errors import EdgebsError

    monkeypatch.setattr(fps.sys, "executable", "/bin/false")
    with pytest.raises(EdgebsError) as error:
        fps.peak_rss_mb(small_bundle(tmp_path / "b").path, FAILING[0], 1)
    assert CANARY not in str(error.value)


def test_a_traceback_hides_what_a_library_repeats(capsys):
    from edgebs.machine.console import _print_traceback

    error = RuntimeError(f"cannot open {FAILING[0]}")
    error.__cause__ = OSError(5, "refused", FAILING[2])
    _print_traceback(RuntimeError, error, None)
    said = capsys.readouterr().err
    assert CANARY not in said
    assert "cannot open rtsp://user:***@127.0.0.1:9/x" in said
