from fakes.video.scored import write_cdnet

from bench.accuracy import evaluate
from bench.tables import eval_table, figure
from edgebs.machine.console import print_table


def test_the_table_names_every_average_and_what_is_untrained(tiny_bundle, tmp_path, capsys):
    write_cdnet(tmp_path / "indoor/dark", levels=(5, 6, 7, 8))
    write_cdnet(tmp_path / "outdoor/light", levels=(200, 201, 202, 203))
    print_table(eval_table(evaluate([tiny_bundle.path], tmp_path, against=("mog2",))))
    text = capsys.readouterr().out
    for words in (
        "8 frames, 8 scored",
        "mean of sequences",
        "pooled pixels",
        "mean of indoor",
        "mean of categories",
        "(untrained)",
        "mean: unweighted over sequences",
        "MOG2, default parameters",
    ):
        assert words in text


def test_figures_have_the_digits_that_mean_something_and_a_dash_where_there_is_none():
    assert [figure(0.98765, measure) for measure in ("F", "Sp", "PWC")] == ["0.988", "0.9877", "0.99"]
    assert figure(None, "F") == "–"
