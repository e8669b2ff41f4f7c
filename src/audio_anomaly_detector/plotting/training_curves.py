"""Losses by epoch, one facet a stage; redrawn during training, so cheap to draw."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator

from audio_anomaly_detector.plotting.canvas import (
    INK,
    MUTED,
    SERIES,
    add_legend_below,
    figure_with_axes,
    save_figure,
    start_panel,
)

HistoryRow = Mapping[str, Any]
WATCHED = "watch_"  # columns of metrics on labelled test clips, which change no result
NOT_LOSSES = ("stage", "epoch", "learning_rate")
TITLE = "Training"
WATCHED_COLOURS = (INK, MUTED)


def draw_training_curves(ax: Axes, history: Sequence[HistoryRow]) -> None:
    """Draw every loss term of every stage, and watched metrics on an axis of their own.

    Args:
        ax: an axes made by `add_subplot`; its place is divided among the stages.
        history: at least one row, each an epoch: "stage", "epoch" (from 1), loss terms by name,
            "watch_..." for metrics on labelled test clips; "learning_rate" is not drawn.
    """
    stages = list(dict.fromkeys(str(row["stage"]) for row in history))
    place = ax.get_subplotspec()
    assert place is not None
    figure = ax.figure
    cells = place.subgridspec(1, len(stages))
    ax.remove()
    for column, stage in enumerate(stages):
        facet = figure.add_subplot(cells[column])
        rows = [row for row in history if row["stage"] == stage]
        _draw_stage(facet, f"{TITLE}: {stage}", rows)


def save_training_curves(history: Sequence[HistoryRow], path: Path) -> None:
    """Write the curves so far as PNG, whole or not at all; `UserError` if it cannot be written."""
    figure, ax = figure_with_axes(12, 4)
    draw_training_curves(ax, history)
    save_figure(figure, path)


def _draw_stage(ax: Axes, title: str, rows: list[HistoryRow]) -> None:
    start_panel(ax, title, "epoch", "loss")
    names = list(dict.fromkeys(name for row in rows for name in row if name not in NOT_LOSSES))
    losses = [name for name in names if not name.startswith(WATCHED)]
    marker = "o" if len(rows) < 30 else None
    drawn: list[float] = []
    for index, name in enumerate(losses):
        epochs, values = _series(rows, name)
        drawn += values
        ax.plot(
            epochs,
            values,
            color=SERIES[index % len(SERIES)],
            linestyle=("-", "--", ":")[index // len(SERIES) % 3],
            linewidth=1.6,
            marker=marker,
            markersize=3,
            label=name.replace("_", " "),
        )
    if drawn and 0 < 20 * min(drawn) < max(drawn):
        ax.set_yscale("log")
        ax.yaxis.set_minor_locator(NullLocator())  # minor ticks are most of the time to draw
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    watched = [name for name in names if name.startswith(WATCHED)]
    if not watched:
        add_legend_below(ax)
        return
    right = ax.twinx()
    start_panel(right, "", "", "metric on watched test clips")
    right.grid(visible=False)
    right.spines["right"].set_visible(True)
    right.set_ylim(0, 1.02)
    for index, name in enumerate(watched):
        epochs, values = _series(rows, name)
        right.plot(
            epochs,
            values,
            color=WATCHED_COLOURS[index % len(WATCHED_COLOURS)],
            linestyle="-.",
            linewidth=1.4,
            label=f"{name.removeprefix(WATCHED).replace('_', ' ')} (right)",
        )
    add_legend_below(ax, right)


def _series(rows: list[HistoryRow], name: str) -> tuple[list[int], list[float]]:
    """Return the epochs for which a column has a figure, and the figures."""
    known = [row for row in rows if row.get(name) is not None]
    return [int(row["epoch"]) for row in known], [float(row[name]) for row in known]
