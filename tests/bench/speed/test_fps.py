import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fakes.networks.backends import fake_manifest, grey_frame

from bench.speed.fps import (
    PAPER,
    TAIL,
    WARM_UP,
    Samples,
    _count_sequential,
    _is_the_papers,
    _warnings,
    bench_fps,
    bundles_here,
    write_record,
)
from bench.tables import fps_table
from edgebs.errors import EdgebsError, SourceError
from edgebs.video.open import open_source
from export.models.reference import TorchReference


@pytest.fixture(scope="module")
def record(tiny_bundle, street_video):
    return bench_fps([tiny_bundle.path], street_video, frames=12, repeats=3, reference=TorchReference())


def test_the_record_holds_what_other_tools_rely_on(record):
    assert set(record) >= {"frames", "size", "runs", "baseline", "paper", "machine"}
    assert record["paper"]["fps"] == 5.33
    assert "2080 Ti" in PAPER["what"]
    for run in record["runs"]:
        assert set(run) >= {
            "bundle",
            "model",
            "backend",
            "precision",
            "mode",
            "fps",
            "latency_ms",
            "stages_ms",
        }
        assert set(run["latency_ms"]) == {"p50", "p90", "p99"}
        assert set(run["stages_ms"]) >= {"pre", "cue", "segment", "post"}
        assert 20 < run["peak_rss_mb"] < 300
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_both_modes_run_every_frame_and_warm_up_is_not_counted(record):
    pipelined = next(run for run in record["runs"] if run["mode"] == "pipelined")
    sequential = next(run for run in record["runs"] if run["mode"] == "sequential")
    assert pipelined["frames_in"] == pipelined["frames_out"] == 12 + 3 * (WARM_UP + TAIL)
    assert sequential["frames_in"] == sequential["frames_out"] == 12
    assert pipelined["frames_dropped"] == 0
    assert len(pipelined["fps_repeats"]) == len(record["baseline"]["fps_repeats"]) == 3


def test_an_untrained_network_is_named_so(record):
    assert not record["runs"][0]["trained"]


def test_the_figures_agree_with_each_other(record):
    for run in record["runs"]:
        # Width 4 is not the network that the paper timed.
        assert run["times_paper"] is None
        assert run["times_baseline"] == pytest.approx(run["fps"] / record["baseline"]["fps"])


def test_a_frame_after_the_other_takes_its_reading_and_its_latency(monkeypatch):
    now = SimpleNamespace(s=0.0)

    def read_in_3_ms():
        for _ in range(9):
            now.s += 0.003
            yield grey_frame(1)

    def process_in_7_ms(_frame, _captured_s):
        now.s += 0.007
        return SimpleNamespace(
            latency_ms=7.0, stages_ms=dict.fromkeys(("pre", "cue", "segment", "post"), 1.75)
        )

    monkeypatch.setattr("bench.speed.fps.time", SimpleNamespace(perf_counter=lambda: now.s))
    samples = Samples()
    _count_sequential(SimpleNamespace(process=process_in_7_ms), open_source(read_in_3_ms()), 4, samples)
    assert samples.fps == pytest.approx([100])
    assert samples.stages_ms["read"] == pytest.approx([3, 3, 3, 3])
    assert samples.latency_ms == [7, 7, 7, 7]
    assert (samples.frames_in, samples.frames_out) == (4, 4)


def test_the_table_shows_every_run_the_baseline_and_the_paper(record):
    assert len(fps_table(record).rows) == len(record["runs"]) + 2


def test_without_a_baseline_nothing_is_compared_with_it(tiny_bundle, street_video):
    record = bench_fps([tiny_bundle.path], street_video, frames=2, repeats=1)
    assert record["baseline"] is None
    assert record["runs"][0]["times_baseline"] is None


def test_a_record_is_kept_whole(record, tmp_path):
    write_record(record, tmp_path / "results" / "a.json")
    assert json.loads((tmp_path / "results" / "a.json").read_text()) == record
    (tmp_path / "file").touch()
    with pytest.raises(EdgebsError, match="cannot be written"):
        write_record(record, tmp_path / "file" / "a.json")


def test_what_cannot_be_measured_is_named(tiny_bundle, tmp_path, monkeypatch):
    with pytest.raises(SourceError, match=r"no-such\.mp4"):
        bench_fps([tiny_bundle.path], tmp_path / "no-such.mp4", frames=2, repeats=1)
    monkeypatch.setattr("bench.speed.fps.shipped_models", dict)
    with pytest.raises(EdgebsError, match="edgebs export"):
        bundles_here(tmp_path)


def test_the_shipped_models_are_measured_where_no_bundle_is_named(tmp_path):
    shipped = bundles_here(tmp_path)
    assert {"edge", "edge-fp32", "bmn-bsn", "cdn-medal"} <= set(shipped)


def test_repeats_that_disagree_are_named():
    quiet = {"bundle": "a", "mode": "pipelined", "fps_repeats": [10.0, 11.0]}
    disturbed = {"bundle": "b", "mode": "pipelined", "fps_repeats": [10.0, 20.0]}
    (warning,) = _warnings([quiet, disturbed], None)
    assert warning == "b pipelined: the repeats range from 10.00 to 20.00 fps"


def test_only_the_papers_segmenter_is_compared_with_the_paper():
    facts = fake_manifest().networks["segment"]
    papers = replace(facts, description={"network": "crossnet", "width": 64})
    assert _is_the_papers(fake_manifest(networks={"segment": papers}, size=(256, 256)))
    assert not _is_the_papers(fake_manifest(networks={"segment": papers}, size=(512, 512)))
    assert not _is_the_papers(fake_manifest())
