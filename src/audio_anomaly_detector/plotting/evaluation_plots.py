"""The evaluation plots: each one function that draws `EvaluationData` on an axes.

To add a plot, write a function and enter it in `PLOTS`, with its place on the sheet.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from scipy import stats
from sklearn.metrics import precision_recall_curve, roc_curve

from audio_anomaly_detector.files import write_bytes
from audio_anomaly_detector.metrics.classification import MAX_FPR
from audio_anomaly_detector.plotting.canvas import (
    DPI,
    GRID,
    INK,
    MUTED,
    NORMAL,
    ORACLE,
    SMALL,
    add_legend,
    add_legend_below,
    drawable,
    empty_panel,
    figure_png,
    figure_with_axes,
    scale_score_axis,
    start_panel,
)
from audio_anomaly_detector.plotting.component_plot import MOST_COMPONENTS, draw_components
from audio_anomaly_detector.plotting.evaluation_data import EvaluationData
from audio_anomaly_detector.plotting.latent_map import TITLE as LATENT_TITLE
from audio_anomaly_detector.plotting.latent_map import draw_latent_map
from audio_anomaly_detector.plotting.training_curves import draw_training_curves

COLUMNS = 3  # of the sheet
FIGURE_HEIGHT = 4.8  # inches, of a plot in a figure of its own
SCORE = "anomaly score (no unit, higher = more anomalous)"


def plot_score_histograms(ax: Axes, data: EvaluationData) -> None:
    """Draw the distribution of scores by label, in shared bins, with the threshold."""
    start_panel(ax, "Anomaly scores", SCORE, "clips in bin")
    width = scale_score_axis(ax, data.scores)
    low, high = float(data.scores.min()), float(data.scores.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    n_bins = int(np.clip(2 * math.sqrt(len(data.scores)), 8, 60))
    if width is None:
        edges = np.linspace(low, high, n_bins + 1)
    else:
        ends = np.arcsinh([low / width, high / width])
        edges = width * np.sinh(np.linspace(ends[0], ends[1], n_bins + 1))
        edges[[0, -1]] = low, high  # rounding must not push the extreme clips out of their bins
    highest = 0.0
    for group in data.groups:
        label, colour = f"{group.name} ({len(group.scores)})", group.colour
        counts, _ = np.histogram(group.scores, edges)
        ax.stairs(counts, edges, fill=True, alpha=0.35, color=colour)
        ax.stairs(counts, edges, linewidth=1.6, color=colour, label=label)
        highest = max(highest, float(counts.max()))
    if highest > 200:  # a linear axis would hide the few clips of the tail
        ax.set_yscale("log")
        ax.set_ylim(bottom=0.7)
    else:
        ax.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    _mark_threshold(ax, data.threshold)
    add_legend(ax)


def plot_roc(ax: Axes, data: EvaluationData) -> None:
    """Draw the ROC with its area, the partial area shaded, and where the threshold stands."""
    title = "ROC"
    metrics = data.metrics
    if data.unlabelled or metrics is None:
        empty_panel(ax, title, str(data.unlabelled))
        return
    start_panel(
        ax, title, "false-alarm rate (share of normal clips)", "recall (share of anomalies)"
    )
    fpr, tpr, _ = roc_curve(data.labels, data.scores, drop_intermediate=False)
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="chance")
    ax.plot(fpr, tpr, color=NORMAL, linewidth=2, label=f"AUROC {metrics.auroc}")
    inside = np.append(fpr[fpr <= MAX_FPR], MAX_FPR)
    ax.fill_between(
        inside,
        np.append(tpr[fpr <= MAX_FPR], np.interp(MAX_FPR, fpr, tpr)),
        color=NORMAL,
        alpha=0.2,
        linewidth=0,
        label=f"pAUC({MAX_FPR}) {metrics.partial_auroc}",
    )
    _mark_operating_point(ax, metrics.false_alarm_rate.value, metrics.recall.value)
    _unit_square(ax)
    add_legend(ax, "lower right")


def plot_precision_recall(ax: Axes, data: EvaluationData) -> None:
    """Draw precision against recall with the average precision."""
    title = "Precision and recall"
    metrics = data.metrics
    if data.unlabelled or metrics is None:
        empty_panel(ax, title, str(data.unlabelled))
        return
    start_panel(
        ax, title, "recall (share of anomalies)", "precision (share of decisions that are right)"
    )
    precision, recall, _ = precision_recall_curve(data.labels, data.scores)
    share = metrics.n_anomalous / (metrics.n_anomalous + metrics.n_normal)
    ax.axhline(share, color=MUTED, linewidth=1, linestyle=":", label=f"chance {share:.3f}")
    ax.plot(
        recall,
        precision,
        color=NORMAL,
        linewidth=2,
        drawstyle="steps-post",
        label=f"PR AUC {metrics.average_precision}",
    )
    _mark_operating_point(ax, metrics.recall.value, metrics.precision.value)
    _unit_square(ax)
    add_legend(ax, "lower left")


def plot_f1_by_threshold(ax: Axes, data: EvaluationData) -> None:
    """Draw F1, precision and recall for every threshold; the best is marked as an oracle's."""
    title = "F1 by threshold"
    if data.unlabelled:
        empty_panel(ax, title, data.unlabelled)
        return
    start_panel(ax, title, f"threshold on the {SCORE}", "F1, precision, recall")
    precision, recall, levels = precision_recall_curve(data.labels, data.scores)
    precision, recall = precision[:-1], recall[:-1]  # the last point decides nothing
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    scale_score_axis(ax, data.scores)
    # A clip is anomalous where score > threshold: level k's figures hold from level k-1 up to k.
    curves = (
        ("precision", precision, "#56B4E9", 1.1),
        ("recall", recall, "#009E73", 1.1),
        ("F1", f1, NORMAL, 2.2),
    )
    for name, values, colour, width in curves:
        ax.plot(levels, values, color=colour, linewidth=width, label=name, drawstyle="steps-pre")
    best = int(np.argmax(f1))
    ax.plot(
        [(levels[max(best - 1, 0)] + levels[best]) / 2],
        [f1[best]],
        "D",
        color=ORACLE,
        markersize=7,
        label=f"oracle: best F1 {f1[best]:.3f}, needs labels",
    )
    ax.set_ylim(-0.02, 1.05)
    chosen = data.metrics.f1.value if data.metrics else None
    _mark_threshold(ax, data.threshold, "" if chosen is None else f": F1 {chosen:.3f}")
    add_legend_below(ax)


def plot_confusion(ax: Axes, data: EvaluationData) -> None:
    """Draw the confusion matrix, shaded by share of the row, with exact intervals."""
    title = "Decisions at the threshold"
    metrics = data.metrics
    if metrics is None:
        decided = int(data.decisions.sum())
        why = f"needs labels; {decided} of {len(data.scores)} clips\nwere decided anomalous"
        empty_panel(ax, title, why)
        return
    start_panel(ax, title, "decision", "label")
    ax.grid(visible=False)
    count = np.reshape(metrics.confusion, (2, 2))  # (label, decision)
    # Of each row the share decided anomalous; of the rest it is the complement.
    rates = (metrics.false_alarm_rate, metrics.recall)
    share = np.array([[1 - (rate.value or 0), rate.value or 0] for rate in rates])
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(count):
        text = f"{value}\nno such clips"
        low, high = rates[row].low, rates[row].high
        if low is not None and high is not None:
            low, high = (low, high) if column == 1 else (1 - high, 1 - low)
            text = (
                f"{value}\n{share[row, column]:.0%} of {count[row].sum()}\n"
                f"95 %: {low:.0%} to {high:.0%}"
            )
        colour = "white" if share[row, column] > 0.5 else INK
        ax.text(column, row, text, ha="center", va="center", fontsize=10.5, color=colour)
    ax.set_xticks([0, 1], ["normal", "anomalous"])
    ax.set_yticks([0, 1], ["normal", "anomalous"], rotation=90, va="center")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def plot_calibration(ax: Axes, data: EvaluationData) -> None:
    """Draw how often normal test clips have a p-value up to x: x itself, if calibrated."""
    title = "Calibration of p-values"
    normals = data.p_values if data.labels is None else data.p_values[data.labels == 0]
    if data.labels is None or not len(normals):
        empty_panel(ax, title, "needs test clips that are\nknown to be normal")
        return
    start_panel(ax, title, "p-value x", "share of normal test clips with p ≤ x")
    grid = np.linspace(0, 1, 401)
    low, high = (stats.binom.ppf(q, len(normals), grid) / len(normals) for q in (0.025, 0.975))
    label = f"95 % of calibrated detectors ({len(normals)} clips)"
    ax.fill_between(grid, low, high, color=GRID, linewidth=0, label=label)
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":", label="ideal")
    steps = np.concatenate([[0], np.sort(normals), [1]])
    share = np.concatenate([[0], np.arange(1, len(normals) + 1) / len(normals), [1]])
    ax.plot(
        steps, share, color=NORMAL, linewidth=2, drawstyle="steps-post", label="normal test clips"
    )
    ax.text(
        0.97,
        0.03,
        "above the band: too many false alarms",
        transform=ax.transAxes,
        ha="right",
        fontsize=SMALL,
        color=MUTED,
    )
    _unit_square(ax)
    add_legend(ax, "upper left")


def plot_latents(ax: Axes, data: EvaluationData) -> None:
    """Draw the t-SNE of the quantised latents, coloured by score."""
    place = data.latent_map
    if place.coordinates is None:
        empty_panel(ax, LATENT_TITLE, place.note)
        return
    labels = None if data.labels is None else data.labels[place.indices]
    draw_latent_map(ax, place.coordinates, data.scores[place.indices], labels, place.note)


def plot_components(ax: Axes, data: EvaluationData) -> None:
    """Draw the AUROC of each component alone, or without labels its values."""
    labels = None if data.unlabelled else data.labels
    draw_components(ax, data.components, data.scores, labels)


def plot_training_curves(ax: Axes, data: EvaluationData) -> None:
    """Draw the losses of every stage by epoch."""
    draw_training_curves(ax, data.history)


class Plot(NamedTuple):
    """One of `PLOTS`.

    Attributes:
        draw: draws it on an axes.
        applies: whether the data can have it; without networks there are no latents, for example.
        columns: of the three of the sheet.
        height: of its row of the sheet.
        is_wide: whether it takes the whole width of a page.
        own_height: of a figure of its own, inches.
    """

    draw: Callable[[Axes, EvaluationData], None]
    applies: Callable[[EvaluationData], bool] = lambda _: True
    columns: int = 1
    height: float = 1.0
    is_wide: Callable[[EvaluationData], bool] = lambda _: False
    own_height: Callable[[EvaluationData], float] = lambda _: FIGURE_HEIGHT


def _components_height(data: EvaluationData) -> float:
    return max(FIGURE_HEIGHT, 1.2 + 0.22 * min(len(data.components), MOST_COMPONENTS))


PLOTS = {
    "score_histograms": Plot(plot_score_histograms),
    "roc": Plot(plot_roc),
    "precision_recall": Plot(plot_precision_recall),
    "f1_by_threshold": Plot(plot_f1_by_threshold),
    "confusion": Plot(plot_confusion),
    "calibration": Plot(plot_calibration),
    "latents": Plot(plot_latents, lambda data: data.latents is not None, height=1.15),
    "components": Plot(
        plot_components,
        lambda data: bool(data.components),
        columns=2,
        height=1.15,
        is_wide=lambda data: data.latents is None,  # its row of the sheet is its own then
        own_height=_components_height,
    ),
    "training_curves": Plot(
        plot_training_curves,
        lambda data: bool(data.history),
        columns=COLUMNS,
        height=0.9,
        is_wide=lambda _: True,
    ),
}


def applicable(data: EvaluationData) -> list[str]:
    """Names of the `PLOTS` that this data can have."""
    return [name for name, plot in PLOTS.items() if plot.applies(data)]


def draw(name: str, data: EvaluationData) -> Figure:
    """Draw one of `PLOTS` in a figure of its own."""
    plot = PLOTS[name]
    figure, ax = figure_with_axes(12 if plot.is_wide(data) else 6.6, plot.own_height(data))
    plot.draw(ax, data)
    if not any(axes.has_data() for axes in figure.axes):
        figure.set_figheight(1.6)  # room for the reason why there is no plot
    return figure


def picture_names() -> list[str]:
    """File names of all `PLOTS`."""
    return [f"{name}.png" for name in PLOTS]


def save_plots(data: EvaluationData, folder: Path) -> dict[str, bytes]:
    """Write each of `PLOTS` that applies as `<name>.png`; remove what others have left there.

    Returns:
        The PNGs by name.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    pictures = {name: figure_png(draw(name, data)) for name in applicable(data)}
    for name, png in pictures.items():
        write_bytes(folder / f"{name}.png", png)
    for name in PLOTS.keys() - pictures.keys():
        (folder / f"{name}.png").unlink(missing_ok=True)
    return pictures


def evaluation_sheet(data: EvaluationData) -> Figure:
    """Draw all of `PLOTS` that apply in one figure (the documented `vqvae_results.png`)."""
    spacing = ConstrainedLayoutEngine(h_pad=0.15, w_pad=0.15, hspace=0.03, wspace=0.02)
    rows = _sheet_rows(data)
    heights = [max(PLOTS[name].height for name in row) for row in rows]
    figure = Figure(figsize=(18, 5.2 * sum(heights)), dpi=DPI, layout=spacing)
    # a grid of its own for each row: long labels of one row make no gaps in the others
    grid = figure.add_gridspec(len(rows), 1, height_ratios=heights)
    for index, row in enumerate(rows):
        widths = [PLOTS[name].columns for name in row]
        cells = grid[index].subgridspec(1, len(row), width_ratios=widths)
        for column, name in enumerate(row):
            PLOTS[name].draw(figure.add_subplot(cells[column]), data)
    count = f"{len(data.scores)} clips"
    if data.metrics is not None:
        count = f"{data.metrics.n_normal} normal and {data.metrics.n_anomalous} anomalous clips"
    title = drawable(f"{data.title} — {count}")
    figure.suptitle(title, fontsize=16, fontweight="bold", color=INK, parse_math=False)
    return figure


def _sheet_rows(data: EvaluationData) -> list[list[str]]:
    """The plots that apply in rows; those of a row share its whole width, so there are no holes."""
    rows: list[list[str]] = []
    free = 0
    for name in applicable(data):
        columns = PLOTS[name].columns
        if columns > free:
            rows.append([])
            free = COLUMNS
        rows[-1].append(name)
        free -= columns
    return rows


def _mark_threshold(ax: Axes, threshold: float, figure: str = "") -> None:
    if math.isfinite(threshold):
        label = f"threshold {threshold:.4g}{figure}"
        ax.axvline(threshold, color=INK, linewidth=1.4, linestyle="--", label=label)
    else:
        ax.plot([], [], color=INK, linestyle="--", label=f"threshold infinite{figure}")


def _mark_operating_point(ax: Axes, x: float | None, y: float | None) -> None:
    """Mark where the threshold stands on a curve, unless it is undefined there."""
    if x is not None and y is not None:
        ax.plot([x], [y], "o", color=INK, markersize=6, clip_on=False, label="at the threshold")


def _unit_square(ax: Axes) -> None:
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.05)
