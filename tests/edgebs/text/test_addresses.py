"""Secrets in the names of sources. The canary in each address must be gone, and what helps must be left."""

import pytest

from edgebs.errors import SourceError
from edgebs.text import reason_without_secrets, source_name, without_secrets
from edgebs.video import Source

CANARY = "hunter2"

ADDRESSES = {
    "rtsp://user:hunter2@host": "rtsp://user:***@host",
    "rtsp://user:hunter2@host:554/a?channel=1": "rtsp://user:***@host:554/a?channel=1",
    "RTSPS://user:hunter2@[::1]:322/x": "RTSPS://user:***@[::1]:322/x",
    "rtsp://:hunter2@host/x": "rtsp://:***@host/x",
    "rtsp://user:a/hunter2@host/x": "rtsp://user:***@host/x",
    "rtsp://user:a@hunter2@host/x": "rtsp://user:***@host/x",
    "rtsp://user:a:hunter2@host/x": "rtsp://user:***@host/x",
    "rtsp://user:a?hunter2@host/x": "rtsp://user:***@host/x",
    "rtsp://user:a#hunter2@host/x": "rtsp://user:***@host/x",
    "rtsp://user:a hunter2@host/x": "rtsp://user:***@host/x",
    "rtsp://user:a'hunter2@host/x": "rtsp://user:***@host/x",
    "rtsp://user:a%40hunter2@host/x": "rtsp://user:***@host/x",
    "rtsp://user%3Ahunter2@host/x": "rtsp://***@host/x",
    "http://hunter2@host/x": "http://***@host/x",
    "rtsp:/user:hunter2@host/x": "rtsp:/user:***@host/x",
    "user:hunter2@192.168.1.2:554/x": "user:***@192.168.1.2:554/x",
    "//user:hunter2@host/x": "//user:***@host/x",
    "http://host/x.cgi?user=admin&password=hunter2&channel=1": (
        "http://host/x.cgi?user=admin&password=***&channel=1"
    ),
    "rtsp://host/user=admin&password=hunter2&channel=1": "rtsp://host/user=admin&password=***&channel=1",
    "rtsp://host/user=admin_password=hunter2_channel=1_stream=0.sdp": "rtsp://host/user=admin_password=***",
    "http://host/?loginuse=admin&loginpas=hunter2": "http://host/?loginuse=***&loginpas=***",
    "http://host/?a=1&pwd=hunter2": "http://host/?a=1&pwd=***",
    "http://host/?a=1&PassWord=hunter2": "http://host/?a=1&PassWord=***",
    "http://host/?a=1;password=hunter2": "http://host/?a=1;password=***",
    "http://host/?password=a&hunter2&x=1": "http://host/?password=***&x=1",
    "http://host/?password=a#hunter2": "http://host/?password=***",
    "http://host/?password=a hunter2": "http://host/?password=***",
    "http://host/?password%3Dhunter2": "http://host/?password%3D***",
    "http://host/?access_token=hunter2": "http://host/?access_token=***",
    "http://host/?apiKey=hunter2&x=2": "http://host/?apiKey=***&x=2",
    "http://host/?auth=hunter2": "http://host/?auth=***",
    "http://host/?sig=hunter2": "http://host/?sig=***",
    "rtsp://host/11?psk=hunter2": "rtsp://host/11?psk=***",
    "http://proxy/?source=rtsp://user:hunter2@host": "http://proxy/?source=rtsp://user:***@host",
    "http://proxy/x?a=1&b=http://host/?token=hunter2": "http://proxy/x?a=1&b=http://host/?token=***",
    "http://host/?client.secret=hunter2": "http://host/?client.secret=***",
    "http://host/a?X-Amz-Signature=hunter2&X-Amz-Date=1": "http://host/a?X-Amz-Signature=***&X-Amz-Date=1",
    "http://host/#token=hunter2": "http://host/#token=***",
    "http://host/?p=hunter2": "http://host/?p=***",
    "http://proxy/?url=rtsp%3A%2F%2Fuser%3Ahunter2%40host": "http://proxy/?url=rtsp%3A%2F%2F***%40host",
    "srt://host:7001?passphrase=hunter2&mode=caller": "srt://host:7001?passphrase=***&mode=caller",
    "rtspsrc location=rtsp://u:hunter2@host user-id=u user-pw=hunter2 ! appsink": (
        "rtspsrc location=rtsp://u:***@host user-id=u user-pw=*** ! appsink"
    ),
    'rtspsrc location="rtsp://u:a hunter2@host" user-pw="a hunter2" ! appsink': (
        'rtspsrc location="rtsp://u:***@host" user-pw=*** ! appsink'
    ),
    "rtspsrc location=rtsp://host user-pw = (string)hunter2 ! appsink": (
        "rtspsrc location=rtsp://host user-pw = (string)*** ! appsink"
    ),
    "rtspsrc location=rtsp://host user-pw=a\\ hunter2 ! appsink": (
        "rtspsrc location=rtsp://host user-pw=*** ! appsink"
    ),
    "srtsrc uri=srt://host?passphrase=hunter2 ! appsink": "srtsrc uri=srt://host?passphrase=*** ! appsink",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_named_without_its_secrets(address):
    assert source_name(address) == ADDRESSES[address]
    assert source_name(ADDRESSES[address]) == ADDRESSES[address]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_text_of_a_library_that_repeats_the_address_is_cleaned(address):
    said = reason_without_secrets(OSError(5, "Input/output error", address), address)
    assert CANARY not in said
    assert "Input/output error" in said
    assert CANARY not in reason_without_secrets(f"[tcp] '{address}': refused. See {address}.", address)


@pytest.mark.parametrize(
    "text",
    [
        "/data/10:00@yard.mp4",
        "masks/key=1/token=2",
        "2026-11-25T10:00:00.mp4",
        "http://host/path@2x",
        "rtsp://10.0.0.1:554/stream?channel=1&subtype=0",
        "camera 0: 4 frames at 3.0 fps, threshold=0.5",
        "ffplay 'rtsp://user:***@host/x'. Check the user and password.",
        "v4l2src device=/dev/video0 ! video/x-raw,width=640 ! appsink",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(text):
    assert without_secrets(text) == text
    assert source_name(text) == text


def test_a_file_that_looks_like_an_address_keeps_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b@c").touch()
    assert source_name("a:b@c") == "a:b@c"


def test_errors_and_sources_hide_secrets_by_themselves():
    assert str(SourceError("rtsp://u:hunter2@host/x hung up")) == "rtsp://u:***@host/x hung up"
    source = Source([], name="GStreamer pipeline 'rtspsrc location=rtsp://h user-pw=hunter2 ! appsink'")
    assert source.name == "GStreamer pipeline 'rtspsrc location=rtsp://h user-pw=*** ! appsink'"


def test_a_long_text_is_searched_in_time_that_grows_with_its_length():
    # Steps, not seconds: nested repetition would need hours here, and the test never end.
    assert without_secrets("a" * 100_000) == "a" * 100_000
    assert len(without_secrets("http://" + "token" * 2_000)) == 10_007
