import multiprocessing
import subprocess
import sys
from itertools import islice

import numpy as np
import pytest
from fakes.networks.toy_task import draw, draw_and_die, draw_and_fail

from edgebs.errors import ExportError, SourceError
from export.training.stream.workers import rendered


def take(render, count, workers):
    sequences = rendered(render, 9, 2, workers)
    try:
        return list(islice(sequences, count))
    finally:
        sequences.close()


def test_sequences_come_in_order_and_end_with_the_reader():
    got = take(draw, 7, workers=2)
    assert [index for index, _ in got] == list(range(2, 9))
    for index, samples in got:
        for (frame, cue, labels), expected in zip(samples, draw(9, index), strict=True):
            assert np.array_equal(frame, expected[0])
            assert cue.dtype == np.float16
            assert np.array_equal(cue, expected[1])
            assert np.array_equal(labels, expected[2])
    assert multiprocessing.active_children() == []


def test_a_process_that_dies_is_an_error_and_no_hang():
    with pytest.raises(ExportError, match=r"renders sequence \d ended with exit code 7"):
        take(draw_and_die, 9, workers=2)
    assert multiprocessing.active_children() == []


def test_a_renderer_that_fails_names_the_sequence():
    with pytest.raises(ExportError, match="rendering sequence 3 failed: ArithmeticError: no such square"):
        take(draw_and_fail, 9, workers=1)


def refuse(_seed, _index):
    raise SourceError("gt000001.png is (4, 4), its frame (8, 8)")


def test_an_error_that_a_user_can_repair_keeps_its_class_and_words():
    with pytest.raises(SourceError, match=r"^gt000001.png is \(4, 4\), its frame \(8, 8\)$"):
        take(refuse, 1, workers=1)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sequence_without_samples_is_an_error(workers):
    with pytest.raises(ExportError, match="sequence 2 has no sample"):
        take(nothing, 1, workers)


def nothing(_seed, _index):
    return []


def test_what_the_processes_import_brings_no_torch():
    modules = ("samples.scenes", "samples.background", "samples.flow", "samples.mixture", "corpus.samples")
    code = "".join(f"import export.training.{module}\n" for module in modules)
    code += "import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
