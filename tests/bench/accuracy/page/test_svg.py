from xml.etree import ElementTree

from bench.accuracy.page import Line, bars, colour_of, plot


def test_a_plot_is_xml_with_its_names_escaped_and_its_points_in_the_square():
    text = plot(
        "a < b", "recall", "precision", [Line(name="x & y", colour="#123456", points=[(0, 0), (1, 1)])]
    )
    root = ElementTree.fromstring(text)
    lines = list(root.iter("{http://www.w3.org/2000/svg}polyline"))
    assert lines[0].get("points") == "48,368 368,48"
    assert "a < b" in "".join(root.itertext())
    assert "x & y" in "".join(root.itertext())


def test_one_point_is_a_mark():
    text = plot("t", "x", "y", [Line(name="m", colour="red", points=[(0.5, 0.5)], is_dashed=True)])
    circle = next(iter(ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}circle")))
    assert (circle.get("cx"), circle.get("cy"), circle.get("fill")) == ("208", "208", "none")


def test_bars_have_the_length_of_their_value_and_a_dash_where_there_is_none():
    text = bars("F", {"a": [0.5, None]}, ["one", "two"])
    root = ElementTree.fromstring(text)
    widths = [rect.get("width") for rect in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths == ["210.0", "0.0"]
    assert "–" in list(root.itertext())


def test_more_contestants_than_colours_start_again():
    assert colour_of(6) == colour_of(0)
