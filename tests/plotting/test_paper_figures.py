"""Figures for papers: their files, sizes and text."""

import xml.etree.ElementTree as ET
from typing import get_args

import matplotlib as mpl
import pytest
from matplotlib.text import Text

from audio_anomaly_detector.choices import FigureKind
from audio_anomaly_detector.plotting.evaluation_plots import PLOTS, applicable
from audio_anomaly_detector.plotting.paper_figures import (
    COLUMN,
    TWO_COLUMNS,
    draw_for_paper,
    figure_file,
    remove_figures,
    save_figures,
)
from synthetic_evaluations import CASES, synthetic_evaluation

# What is drawn in different ways: lines and areas, an image, points with a colour bar, facets.
DIFFERENT = ("roc", "confusion", "latents", "training_curves")


def file(name, kind, case="ordinary"):
    return figure_file(draw_for_paper(name, CASES[case]), kind)


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_pdf_embeds_true_type_fonts(name):
    pdf = file(name, "pdf")
    assert pdf.startswith(b"%PDF-")
    assert pdf.count(b"/FontFile2") == pdf.count(b"/Type /FontDescriptor") > 0
    assert b"/Type3" not in pdf


@pytest.mark.parametrize("name", DIFFERENT)
def test_an_svg_is_sound_and_needs_no_font(name):
    root = ET.fromstring(file(name, "svg"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert float(root.get("width").removesuffix("pt")) == pytest.approx(
        72 * (TWO_COLUMNS if name == "training_curves" else COLUMN)
    )
    assert not list(root.iter("{http://www.w3.org/2000/svg}text"))


def test_lines_and_text_are_no_pixels():
    assert b"/Subtype /Image" not in file("roc", "pdf")
    assert b"<image" not in file("roc", "svg")


@pytest.mark.parametrize("kind", get_args(FigureKind))
def test_the_same_data_gives_the_same_bytes(kind, monkeypatch):
    before = dict(mpl.rcParams)
    first = {name: file(name, kind) for name in DIFFERENT}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")  # no date is taken from the clock or from here
    again = synthetic_evaluation(30, 20)
    for name, content in first.items():
        assert content == figure_file(draw_for_paper(name, again), kind), name
        assert mpl.__version__.encode() not in content, name
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("case", ["ordinary", "many components", "unlabelled", "hostile names"])
def test_everything_fits_into_its_column(case):
    data = CASES[case]
    for name in applicable(data):
        figure = draw_for_paper(name, data)
        assert figure.get_figwidth() == (TWO_COLUMNS if PLOTS[name].is_wide(data) else COLUMN)
        figure.draw_without_rendering()
        drawn = figure.get_tightbbox()  # inches
        assert drawn.x0 > -0.02, name
        assert drawn.x1 < figure.get_figwidth() + 0.02, name
        sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text()}
        assert 6 <= min(sizes) <= max(sizes) <= 9, name


def test_a_legend_below_covers_no_label():
    axes = draw_for_paper("f1_by_threshold", CASES["ordinary"]).axes[0]
    axes.figure.draw_without_rendering()
    assert axes.get_legend().get_window_extent().y1 < axes.xaxis.label.get_window_extent().y0


def test_only_figures_are_removed(tmp_path):
    folder = tmp_path / "figures"
    remove_figures(folder)
    save_figures(CASES["bare"], folder, "svg")
    assert {path.name for path in folder.iterdir()} == {
        f"{name}.svg" for name in applicable(CASES["bare"])
    }
    (folder / "mine.svg").touch()
    remove_figures(folder)
    assert [path.name for path in folder.iterdir()] == ["mine.svg"]
    (folder / "mine.svg").unlink()
    (folder / "roc.png").touch()
    remove_figures(folder)
    assert not folder.exists()
