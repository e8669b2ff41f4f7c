import re
import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.metrics.classification import auroc
from audio_anomaly_detector.plotting import latent_map
from audio_anomaly_detector.plotting.canvas import figure_png, figure_with_axes, save_figure
from audio_anomaly_detector.plotting.evaluation_plots import (
    PLOTS,
    applicable,
    draw,
    evaluation_sheet,
    save_plots,
)
from audio_anomaly_detector.plotting.latent_map import tsne
from audio_anomaly_detector.plotting.training_curves import save_training_curves
from synthetic_evaluations import CASES, HISTORY, synthetic_evaluation

PNG = b"\x89PNG"


def texts(figure):
    """Everything that stands in a figure, legends and tick labels included."""
    return "\n".join(t.get_text() for t in figure.findobj(mpl.text.Text))


@pytest.mark.parametrize(
    ("case", "name"), [(case, name) for case in CASES for name in applicable(CASES[case])]
)
def test_every_plot_copes_with_every_case_that_it_applies_to(case, name):
    figure = Figure()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PLOTS[name].draw(figure.add_subplot(), CASES[case])
        figure.draw_without_rendering()
    assert texts(figure).strip()


def test_what_the_detector_cannot_have_is_left_out():
    without = [name for name in PLOTS if name not in ("latents", "training_curves")]
    assert applicable(CASES["without networks"]) == without
    assert applicable(CASES["bare"]) == without[:-1]
    for case in CASES.keys() - {"without networks", "bare"}:
        assert applicable(CASES[case]) == list(PLOTS)


@pytest.mark.parametrize("case", ["ordinary", "without networks", "bare", "hostile names"])
def test_the_sheet_holds_every_plot_that_applies_and_no_hole(case):
    figure = evaluation_sheet(CASES[case])
    figure.draw_without_rendering()
    assert CASES[case].title in texts(figure)
    titles = {axes.get_title(loc="left").split(":")[0].split(" (")[0] for axes in figure.axes}
    assert {"Anomaly scores", "ROC", "Decisions at the threshold"} <= titles
    assert len(titles - {""}) == len(applicable(CASES[case]))
    width, height = figure.get_size_inches() * figure.dpi
    ends = [axes.get_tightbbox() for axes in figure.axes]
    for end in ends:  # the last panel of every row reaches the right border
        right = max(other.x1 for other in ends if other.y0 < end.y1 and other.y1 > end.y0)
        assert right > 0.96 * width
    assert min(end.y0 for end in ends) < 0.1 * height


def test_ten_thousand_clips():
    data = synthetic_evaluation(9500, 500, latents=None)
    figures = {name: draw(name, data) for name in applicable(data)}
    for figure in figures.values():
        figure.draw_without_rendering()
    histogram = figures["score_histograms"].axes[0]
    assert histogram.get_yscale() == "log"  # the few anomalous clips stay visible
    filled = [patch.get_data().values.sum() for patch in histogram.patches if patch.get_fill()]
    assert filled == [9500, 500]
    assert "9500 clips" in texts(figures["calibration"])
    for name in ("roc", "f1_by_threshold"):
        assert max(len(line.get_xdata()) for line in figures[name].axes[0].lines) >= 10_000, name


def test_what_takes_the_width_of_a_page():
    for case, wide in (("ordinary", ["training_curves"]), ("without networks", ["components"])):
        data = CASES[case]
        found = [name for name in applicable(data) if PLOTS[name].is_wide(data)]
        assert found == wide
        widths = {name: draw(name, data).get_figwidth() for name in applicable(data)}
        assert all((widths[name] == max(widths.values())) == (name in wide) for name in widths)
    many = CASES["many components"]
    heights = {name: draw(name, many).get_figheight() for name in ("roc", "components")}
    assert heights["components"] > heights["roc"]


def test_plots_say_what_they_show():
    data = CASES["ordinary"]
    assert f"AUROC {data.metrics.auroc}" in texts(draw("roc", data))
    assert f"PR AUC {data.metrics.average_precision}" in texts(draw("precision_recall", data))
    f1 = texts(draw("f1_by_threshold", data))
    assert re.search(r"oracle: best F1 0\.\d{3}, needs labels", f1)
    assert f"threshold 1.5: F1 {data.metrics.f1.value:.3f}" in f1
    histogram = texts(draw("score_histograms", data))
    assert "normal (30)" in histogram
    assert "anomalous (20)" in histogram
    assert "threshold 1.5" in histogram


def test_the_f1_curve_is_that_of_the_decisions():
    data = CASES["few"]
    line = next(a for a in draw("f1_by_threshold", data).axes[0].lines if a.get_label() == "F1")
    assert line.get_drawstyle() == "steps-pre"  # a level's figure holds below it
    levels, values = line.get_data()
    for level, value in zip(levels, values, strict=True):
        # just below a level its clip is decided anomalous (score > threshold)
        decided = data.scores > level - 1e-9
        hits = (decided & (data.labels == 1)).sum()
        assert value == pytest.approx(2 * hits / (decided.sum() + (data.labels == 1).sum()))


def test_components_stand_beside_the_joined_score():
    axes = draw("components", CASES["ordinary"]).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(names) == ["a_1", "b", "joined score"]
    drawn = dict(zip(names, axes.collections[-1].get_offsets()[:, 0], strict=True))
    data = CASES["ordinary"]
    assert drawn["joined score"] == pytest.approx(data.metrics.auroc.value)
    assert drawn["b"] == pytest.approx(auroc(data.labels, data.components["b"]))
    assert "(highest 30 of 41)" in texts(draw("components", CASES["many components"]))


def test_histograms_lose_no_clip():
    for case in ("ordinary", "outliers", "one clip", "equal scores", "zeros and an outlier"):
        data = CASES[case]
        stairs = draw("score_histograms", data).axes[0].patches
        filled = [patch for patch in stairs if patch.get_fill()]
        assert sum(patch.get_data().values.sum() for patch in filled) == len(data.scores)


@pytest.mark.parametrize(
    ("case", "name", "why"),
    [
        ("unlabelled", "roc", "needs labels"),
        ("normals only", "precision_recall", "no anomalous clips among 9"),
        ("anomalies only", "calibration", "known to be normal"),
        ("unlabelled", "confusion", "of 15 clips"),
        ("one clip", "latents", "at least 5 clips"),
        ("collapsed latents", "latents", "collapsed"),
    ],
)
def test_an_empty_panel_says_why(case, name, why):
    assert why in texts(draw(name, CASES[case])).replace("\n", " ")


def test_single_files_are_the_same_bytes_for_the_same_data(tmp_path):
    before = dict(mpl.rcParams)
    pictures = save_plots(synthetic_evaluation(30, 20), tmp_path)
    assert list(pictures) == list(PLOTS)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.png" for name in PLOTS}
    again = synthetic_evaluation(30, 20)
    for name in ("roc", "latents", "components", "training_curves"):
        png = (tmp_path / f"{name}.png").read_bytes()
        assert png.startswith(PNG)
        assert png == figure_png(draw(name, again))
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == []


def test_pictures_that_no_longer_apply_are_removed(tmp_path):
    save_plots(CASES["ordinary"], tmp_path)
    (tmp_path / "photo.png").touch()
    pictures = save_plots(CASES["without networks"], tmp_path)
    assert list(pictures) == applicable(CASES["without networks"])
    assert {path.name for path in tmp_path.iterdir()} == {
        "photo.png",
        *(f"{name}.png" for name in pictures),
    }


@pytest.mark.parametrize(
    ("case", "shown"),
    [
        # 5 of 5 recalled and 0 false alarms are no certainty.
        (
            synthetic_evaluation(
                5,
                5,
                scores=np.repeat([0.0, 2.0], 5),
                decisions=np.repeat([False, True], 5),
            ),
            [
                ("5", "100% of 5", "95 %: 48% to 100%"),
                ("0", "0% of 5", "95 %: 0% to 52%"),
                ("0", "0% of 5", "95 %: 0% to 52%"),
                ("5", "100% of 5", "95 %: 48% to 100%"),
            ],
        ),
        (
            synthetic_evaluation(2, 0, scores=np.array([0.0, 2.0]), decisions=np.array([0, 1])),
            [
                ("1", "50% of 2", "95 %: 1% to 99%"),
                ("1", "50% of 2", "95 %: 1% to 99%"),
                ("0", "no such clips"),
                ("0", "no such clips"),
            ],
        ),
    ],
)
def test_the_confusion_matrix_has_exact_intervals(case, shown):
    found = [text.get_text() for text in draw("confusion", case).axes[0].texts]
    assert found == ["\n".join(lines) for lines in shown]


def test_training_curves_are_written_from_the_history_alone(tmp_path):
    save_training_curves(HISTORY[:1], tmp_path / "curves.png")
    early = (tmp_path / "curves.png").read_bytes()
    save_training_curves(HISTORY, tmp_path / "curves.png")
    assert early.startswith(PNG)
    assert early != (tmp_path / "curves.png").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "roc.png"
    figure, _ = figure_with_axes(2, 2)
    save_figure(figure, path)
    old = path.read_bytes()
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(UserError, match="file"):
        save_figure(figure, blocked / "roc.png")  # fails for root too
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_figure(figure, path)
    assert path.read_bytes() == old
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "roc.png"]


def test_png_holds_no_date_and_no_version():
    png = figure_png(figure_with_axes(2, 2)[0])
    assert b"matplotlib" not in png
    assert b"tEXt" not in png


def test_tsne_keeps_clusters_together_and_follows_the_seed():
    generator = np.random.default_rng(0)
    cluster = np.repeat([0, 1], 20)
    latents = generator.normal(size=(40, 8)) + 20 * cluster[:, None]
    first, again, other = tsne(latents, 0), tsne(latents, 0), tsne(latents, 1)
    assert np.array_equal(first.coordinates, again.coordinates)
    assert first.coordinates.shape == other.coordinates.shape == (40, 2)
    centres = [first.coordinates[cluster == c].mean(axis=0) for c in (0, 1)]
    distances = [np.linalg.norm(first.coordinates - centre, axis=1) for centre in centres]
    assert np.array_equal(np.argmin(distances, axis=0), cluster)


def test_tsne_of_few_many_and_bad_latents(monkeypatch):
    assert tsne(np.eye(4)).coordinates is None
    assert tsne(np.eye(5)).coordinates.shape == (5, 2)
    monkeypatch.setattr(latent_map, "MOST", 20)
    many = tsne(np.random.default_rng(0).normal(size=(50, 3)))
    assert many.coordinates.shape == (20, 2)
    assert len(set(many.indices.tolist())) == 20
    assert many.note == "20 of 50 clips, drawn at random"
    with pytest.raises(ValueError, match="finite"):
        tsne(np.full((9, 2), np.nan))


@pytest.mark.parametrize(
    "changes",
    [
        {"scores": np.zeros(3)},
        {"scores": np.full(4, np.nan)},
        {"components": {"a": np.zeros(5)}},
        {"latents": np.zeros((3, 2))},
        {"names": []},
    ],
)
def test_data_that_does_not_fit_is_refused(changes):
    with pytest.raises(ValueError, match=r"clips|finite"):
        synthetic_evaluation(2, 2, **changes)
