"""Bad inputs: each ends in one clear message and exit code 1 or 2: no traceback, no signal, no hang."""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes.networks.backends import fake_manifest
from fakes.process.command import EXPORTER, Command
from fakes.video.bad_inputs import ARRAYS, GOOD, SOURCES, UNUSUAL, Case, Workshop, cases
from hypothesis import given, settings
from hypothesis import strategies as st

import edgebs
from edgebs.bundle.manifest import Manifest
from edgebs.cues.kept import load_background
from edgebs.errors import BundleError, EdgebsError
from edgebs.pipeline import Pipeline
from edgebs.text import printable, reason_without_secrets, source_name, without_secrets

WATCHDOG_S = 240
ALL = cases()


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("bad"))


@pytest.fixture(autouse=True)
def _watchdog() -> Iterator[None]:
    faulthandler.dump_traceback_later(WATCHDOG_S, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capfd)


def test_there_are_hundreds_of_them_and_all_differ() -> None:
    assert len({case.name for case in ALL}) == len(ALL) >= 400
    assert len({case.words for case in ALL}) == len(ALL)


def require_clear(case: Case, code: int, err: str) -> None:
    assert code in (1, 2), (code, err)
    if case.code != 12:
        assert code == case.code, err
    assert "Traceback" not in err
    if code == 1:
        (line,) = [line for line in err.splitlines() if line.startswith("edgebs: error: ")]
        assert len(line) > len("edgebs: error: ") + 10
        assert case.says in line
    else:
        assert "Error" in err or "edgebs: error: " in err or "Usage" in err


@pytest.mark.parametrize("case", ALL, ids=[ascii(case.name) for case in ALL])
def test_a_bad_input_on_the_command_line(
    case: Case, workshop: Workshop, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = workshop.words(case)
    with warnings.catch_warnings():
        code, _, err = command(*words)
    require_clear(case, code, err)
    assert not list(tmp_path.iterdir())
    assert not any(workshop.out.rglob("*"))


IN_A_PROCESS = [case for number, case in enumerate(ALL) if number % 31 == 0]


@pytest.mark.parametrize("case", IN_A_PROCESS, ids=[ascii(case.name) for case in IN_A_PROCESS])
def test_a_bad_input_in_a_process_of_its_own(case: Case, workshop: Workshop, tmp_path: Path) -> None:
    if EXPORTER.intersection(case.words[:1]):
        pytest.importorskip("torch", reason="needs pip install 'edgebs[export]'")
    done = subprocess.run(
        [sys.executable, "-m", "edgebs.cli", *workshop.words(case)],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.DEVNULL,
        timeout=WATCHDOG_S,
        check=False,
    )
    require_clear(case, done.returncode, done.stderr.decode())


@pytest.fixture(scope="module")
def pipeline(workshop: Workshop) -> Iterator[Pipeline]:
    with edgebs.load(workshop.bundle, threads=1) as loaded:
        yield loaded


EXPECTED = (EdgebsError, ValueError, TypeError)
"""What a wrong argument may raise."""


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_that_is_no_frame_is_refused_and_the_next_frame_is_taken(
    pipeline: Pipeline, kind: str
) -> None:
    with pytest.raises(EXPECTED) as error:
        pipeline.process(ARRAYS[kind])
    assert len(str(error.value)) > 10
    assert pipeline.process(GOOD).mask.shape == GOOD.shape[:2]


@pytest.mark.parametrize("kind", UNUSUAL)
def test_a_frame_may_lie_in_memory_as_it_likes(pipeline: Pipeline, kind: str) -> None:
    frame = UNUSUAL[kind]()
    pipeline.reset()
    shown = pipeline.process(frame)
    pipeline.reset()
    assert np.array_equal(pipeline.process(np.ascontiguousarray(frame)).mask, shown.mask)


@pytest.mark.parametrize("kind", SOURCES)
def test_what_is_no_source_is_refused(pipeline: Pipeline, kind: str) -> None:
    with pytest.raises(EXPECTED) as error:
        list(pipeline.run(SOURCES[kind]))
    assert len(str(error.value)) > 10


CALM = settings(derandomize=True, deadline=None, max_examples=40)


@CALM
@given(
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ),
    )
)
def test_a_manifest_of_anything_is_refused_by_name(data: dict[str, object]) -> None:
    with pytest.raises(BundleError, match="manifest of anything"):
        Manifest.from_json({**data, "format": 1}, "manifest of anything")


@CALM
@given(st.text(max_size=80))
def test_no_text_is_too_odd_to_be_shown(text: str) -> None:
    for shown in (printable(text), source_name(text), without_secrets(text)):
        assert isinstance(shown, str)
    assert printable(text).encode("utf-8").decode("utf-8") == printable(text)
    assert without_secrets(without_secrets(text)) == without_secrets(text)


@CALM
@given(st.text(alphabet="abc/@:?&#=.%' ", min_size=1, max_size=12))
def test_a_password_of_any_characters_is_hidden(password: str) -> None:
    address = f"rtsp://user:{password}CANARY{password}@host/x"
    assert "CANARY" not in source_name(address)
    assert "CANARY" not in reason_without_secrets(f"{address}: refused", address)


@CALM
@given(st.binary(max_size=300))
def test_no_bytes_are_a_background(content: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "b.npz"
        file.write_bytes(content)
        with pytest.raises(BundleError, match=r"b\.npz"):
            load_background(file, fake_manifest())
