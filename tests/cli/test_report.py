"""The report is one page that holds all it shows, for images, tables and autoencoders."""

import base64
import io
import re
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import latens
from latens.cli.report import charts, columns, sections
from latens.cli.report.pictures import figure, pixels
from latens.data import load
from latens.neural.rows import split

VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Checks that tags close, and collects headings, text and addresses."""

    def __init__(self, page):
        super().__init__()
        self.open, self.headings, self.addresses, self.text = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def read(run):
    page = (run / "report.html").read_text()
    reader = Reader(page)
    assert reader.open == []
    assert all(address.startswith("data:image/png;base64,") for address in reader.addresses)
    assert not re.search(r"https?://|<script|@import|url\(", page)
    return page, reader


def test_the_page_of_images(run):
    page, reader = read(run)
    assert reader.headings[:2] == ["Originals and reconstructions", "Samples"]
    shown = {"How it learned", "The latent map", "Where the information sits", "What the dimensions mean", "Settings"}
    assert shown <= set(reader.headings)
    assert "Data and draws" not in reader.headings
    assert "prefers-color-scheme: dark" in page
    words = " ".join(reader.text)
    assert "180 held-out examples" in words
    assert all(name in words for name in ("−ELBO", "bits", "mutual information", "active units", "MLP((16,))"))


def test_the_page_of_a_table_escapes_names(table):
    page, reader = read(table[0])
    assert "Data and draws" in reader.headings
    assert "Samples" not in reader.headings
    assert "<b>&lt;b&gt;&amp;</b>" in page
    assert "<b>&</b>" not in page


def test_the_report_verb_on_other_data(run, tmp_path, ask):
    np.save(tmp_path / "some.npy", load_digits().images[:30])
    said = ask("report", run, tmp_path / "some.npy", "-o", tmp_path / "other.html")
    assert said["n"] == 30
    assert "On 30 given examples" in (tmp_path / "other.html").read_text()


def test_the_report_can_be_made_again(run, ask):
    before = (run / "report.html").read_text()
    (run / "report.html").unlink()
    ask("report", run)
    assert (run / "report.html").read_text() == before


def picture(tag):
    """The pixels inside an <img>."""
    data = re.search(r'src="data:image/png;base64,([^"]+)"', tag).group(1)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_originals_stand_above_reconstructions(run):
    page, _ = read(run)
    model, source = latens.load(run), load("digits")
    _, held_out = split(len(source), model.validation_fraction, model.seed_)
    chosen = held_out[np.unique(np.linspace(0, len(held_out) - 1, 32).astype(int))][:8]
    both = np.concatenate([source.take(chosen), model.reconstruct(source.take(chosen))])
    part = page.split("Originals and reconstructions")[1]
    expected = picture(figure(pixels(both, model.schema_), 8, "", widest=1040))
    assert (picture(part) == expected).all()


@pytest.mark.parametrize("shape", [(5, 4, 7), (5, 4, 7, 1), (5, 4, 7, 3)])
def test_a_sheet_holds_the_images_with_nothing_between(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    schema = load(images).schema
    found = picture(figure(pixels(images, schema), 3, "alt"))
    assert found.shape == (2 * 4 + 1, 3 * 7 + 2, 4)
    expected = images.reshape(*shape[:3], -1)[4] * np.ones(3, np.uint8)
    assert (found[5:9, 8:15, :3] == expected).all()
    assert (found[:, 7, 3] == 0).all()
    assert (found[:4, :7, 3] == 255).all()


def test_curves_go_through_their_points():
    x, y = np.array([1.0, 2.0, 3.0]), np.array([0.0, np.nan, 10.0])
    drawn = charts.lines([("held", x, y)], "epoch", "about", 3.0)
    axes = charts.Axes((1.0, 3.0), (0.0, 10.6))
    points = re.search(r'points="([^"]+)"', drawn).group(1)
    assert points == f"{axes.px(1):.1f},{axes.py(0):.1f} {axes.px(3):.1f},{axes.py(10):.1f}"
    assert axes.py(10) < axes.py(0) == axes.base


def heights(svg, cls):
    """The heights of the bars of a class, from their paths."""
    found = re.findall(rf'class="{cls}" d="M[\d.]+ ([\d.]+)V([\d.]+)', svg)
    return np.array([float(base) - float(top) for base, top in found])


def test_histogram_bars_are_shares():
    data = np.repeat([0.0, 1.0, 2.0], [10, 30, 60])
    drawn = columns.histogram(data, data, "about")
    bars = heights(drawn, "bar data")
    assert bars[:3] / bars.sum() == pytest.approx([0.1, 0.3, 0.6], abs=0.01)


@pytest.mark.parametrize(
    "data", [np.zeros(5), np.r_[np.zeros(999), 1e6], np.array([1e-300, 2e-300]), np.arange(1000.0) ** 5]
)
def test_a_histogram_of_anything_is_drawn(data):
    drawn = columns.histogram(data, np.full(5, np.nan), "about")
    assert "nan" not in drawn
    assert "inf" not in drawn


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.7, 1e5), (5.0, 5.0), (0.0, 1e-12)])
def test_ticks_are_few_and_inside(low, high):
    found = charts.ticks(low, high, 5)
    assert len(found) <= 7
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)


def test_charts_escape_names():
    drawn = charts.bars([1.0], ["<b>"], "&", "<about>", 0.01)
    assert "<b>" not in drawn
    assert "&lt;about&gt;" in drawn


def test_points_outside_the_map_are_left_out():
    points = np.random.default_rng(0).normal(size=(1000, 2))
    points[0] = 1e6
    ends = (np.full(2, -4.0), np.full(2, 4.0))
    drawn = charts.scatter(points, np.zeros(1000, int), ends, ("x", "y"), "map")
    assert drawn.count("h0") == (np.abs(points) <= 4).all(1).sum()
    ElementTree.fromstring(re.sub(r"=([\w.-]+)(?=[ >/])", r'="\1"', drawn))


def test_draws_that_are_not_counted_are_not_told():
    """A semi-supervised model goes through all classes, and says how many draws it had alone."""
    figures = {"n": 50, "measure": "mass", "k": 4, "log_likelihood": -173.4, "standard_error": 0.7}
    study = SimpleNamespace(
        figures={**figures, "effective_draws": None},
        about={"code": None},
        schema=load("digits").schema,
        judged_on="held-out",
    )
    assert "from 4 weighted draws each, ± 0.70" in sections.figure_cards(study)
    study.figures["effective_draws"] = 2.6
    assert "from 4 weighted draws each, 3 of which count, ± 0.70" in sections.figure_cards(study)
