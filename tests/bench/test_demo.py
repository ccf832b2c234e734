"""bench/demo.py: what it runs in which order, at which scale, and what it leaves; every command is faked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import demo
from bench.scenes.clip import ClipOptions
from edgebs.machine.cpu import Cpu, cpu_from_text

RUN = {
    "fps": 10.0, "times_baseline": 2.0, "times_paper": None, "peak_rss_mb": 1234.0,
}  # fmt: skip


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The command lines that were run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "SCENE", ClipOptions(size=(48, 64), frames=4, seed=5))
    monkeypatch.setattr(demo, "SHOWN", (2,))
    return []


def run_into(typed: list[list[str]], code: int = 0) -> demo.Callable[[Sequence[str]], int]:
    def run(command: Sequence[str]) -> int:
        typed.append(list(command)[3:])
        return code

    return run


def test_the_shipped_model_comes_before_anything_that_needs_pytorch(typed: list[list[str]]) -> None:
    assert demo.main([], run_into(typed)) == 0
    assert [words[0] for words in typed] == [
        "doctor", "run", "bench", "calibrate", "export", "export", "inspect", "bench", "bench",
    ]  # fmt: skip
    assert Path("demo/picture.png").stat().st_size > 0
    assert next(iter(json.loads(Path("demo/times.json").read_text()))) == "render the clip"


def test_a_step_that_fails_ends_the_demo_with_its_exit_code(typed: list[list[str]]) -> None:
    assert demo.main(["export"], run_into(typed, code=3)) == 3
    assert len(typed) == 1


def test_the_second_part_adds_its_times_to_those_of_the_first(typed: list[list[str]]) -> None:
    demo.main(["first"], run_into(typed))
    demo.main(["export"], run_into(typed))
    assert {"render the clip", "calibrate demo/street.avi"} <= set(
        json.loads(Path("demo/times.json").read_text())
    )


@pytest.mark.parametrize(
    ("words", "shown"),
    [(["export", "--paper"], "64"), (["export", "--width", "12"], "12")],
)
def test_the_scale_can_be_chosen(typed: list[list[str]], words: list[str], shown: str) -> None:
    demo.main(words, run_into(typed))
    export = next(words for words in typed if words[0] == "export")
    assert export[export.index("--width") + 1] == shown


@pytest.mark.parametrize("width", ["0", "4097", "wide"])
def test_a_width_that_no_network_has_is_wrong_usage(
    typed: list[list[str]], capsys: pytest.CaptureFixture[str], width: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        demo.main(["--width", width], run_into(typed))
    assert ended.value.code == 2
    assert width in capsys.readouterr().err


def test_few_cores_or_no_vnni_mean_small_networks() -> None:
    vnni = Cpu(
        architecture="x86_64", features=("avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_vnni")
    )
    plain = cpu_from_text("flags : avx2 fma", {}, machine="x86_64")
    assert demo.scale_for(vnni, 2) == demo.SMALL
    assert demo.scale_for(plain, 16) == demo.SMALL


def test_the_tables_hold_stages_machine_and_figures() -> None:
    cpu = Cpu(architecture="x86_64", name="Some CPU", features=("avx2",))
    table = demo.stage_table({"export crossnet": 61.25}, cpu, 2)
    assert "| export crossnet | 61.2 |" in table
    assert "2 cores, Some CPU: avx2." in table
    record = {
        "runs": [{"bundle": "demo/bundles/b", "mode": mode, **RUN} for mode in ("sequential", "pipelined")]
    }
    assert "| b | 10.0 | 10.0 | 2.0 |  | 1,234 |" in demo.paper_table([record])


def test_each_command_is_a_stage_of_its_own() -> None:
    commands = [*demo.first_commands(), *demo.export_commands(demo.SMALL)]
    assert len({demo.stage_of(command.split()) for command in commands}) == len(commands)
