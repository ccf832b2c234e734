from html.parser import HTMLParser

import pytest
from fakes.video.scored import write_cdnet

from bench.accuracy import evaluate
from bench.accuracy.page import Report
from edgebs.errors import SinkError

VOID = {"meta", "img", "link", "br", "circle", "line", "rect", "polyline"}


class Page(HTMLParser):
    """Checks that tags are closed in order, and collects what is there."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.sources, self.text = [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.sources += [values[name] for name in ("src", "href") if values.get(name)]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):  # noqa: ARG002
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def data(tmp_path):
    write_cdnet(tmp_path / "data/in & out/a<b", levels=(5, 200, 6, 201))
    return tmp_path / "data"


def test_the_page_is_whole_and_loads_nothing_from_outside(tiny_bundle, data, tmp_path):
    report = Report(tmp_path / "report.html")
    record = evaluate([tiny_bundle.path], data, against=("mog2", "knn"), sequence_done=report.add)
    report.write(record)
    page = Page((tmp_path / "report.html").read_text())
    assert page.open == []
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert page.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert page.tags.count("svg") == 3
    # Each shown frame, and beside it a mask by each of three.
    assert len(page.sources) == 4 * page.tags.count("figure")
    for words in ("a<b", "mean of in & out", "Mean Dice", "missed (false negative)", "unweighted mean"):
        assert words in page.text
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".html"] == ["report.html"]


def test_a_report_is_not_replaced_without_force(tmp_path):
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(SinkError, match=r"report\.html exists already.*--force"):
        Report(tmp_path / "report.html")
    Report(tmp_path / "report.html", force=True)
    assert (tmp_path / "report.html").read_text() == "mine"


def test_a_folder_is_no_report_even_by_force(tmp_path):
    with pytest.raises(SinkError, match=r"is a folder.*report\.html"):
        Report(tmp_path, force=True)
