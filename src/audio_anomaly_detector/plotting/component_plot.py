"""How well each component of the score separates the classes alone."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from audio_anomaly_detector.metrics.classification import auroc
from audio_anomaly_detector.plotting.canvas import (
    ANOMALOUS,
    MUTED,
    NORMAL,
    UNKNOWN,
    scale_score_axis,
    start_panel,
)

Floats = NDArray[np.float64]
TITLE = "Components of the score"
JOINED_TITLE = "joined score"
MOST_COMPONENTS = 30


def draw_components(
    ax: Axes,
    components: Mapping[str, Floats],
    scores: Floats,
    labels: NDArray[np.int64] | None,
) -> None:
    """Draw the AUROC of each component beside that of the joined score, or their values.

    Args:
        ax: the axes.
        components: by name, ``(n,)`` calibrated scores z; at least one.
        scores: ``(n,)`` joined scores.
        labels: ``(n,)`` of 0 normal, 1 anomalous, both of them there; None to draw the values.
    """
    if labels is None:
        _draw_values(ax, components)
    else:
        _draw_auroc(ax, {JOINED_TITLE: scores, **components}, labels)


def _draw_auroc(ax: Axes, columns: Mapping[str, Floats], labels: NDArray[np.int64]) -> None:
    aurocs = {name: auroc(labels, column) for name, column in columns.items()}
    shown = _highest({name: value for name, value in aurocs.items() if value is not None})
    start_panel(ax, _title(shown, columns), "AUROC of the component alone", "")
    rows = np.arange(len(shown))
    colours = [ANOMALOUS if name == JOINED_TITLE else NORMAL for name in shown]
    values = list(shown.values())
    ax.hlines(rows, 0.5, values, color=colours, linewidth=1.4)
    ax.scatter(values, rows, color=colours, s=28, zorder=3)
    ax.axvline(0.5, color=MUTED, linewidth=1, linestyle=":")
    ax.set_xlim(min(0.45, min(values) - 0.03), 1.02)
    _name_rows(ax, shown)


def _draw_values(ax: Axes, columns: Mapping[str, Floats]) -> None:
    shown = _highest({name: float(np.median(column)) for name, column in columns.items()})
    label = "calibrated score z of all clips (5, 25, 50, 75, 95 %)"
    start_panel(ax, _title(shown, columns), label, "")
    scale_score_axis(ax, np.concatenate([columns[name] for name in shown]))
    ax.boxplot(
        [columns[name] for name in shown],
        positions=np.arange(len(shown)),
        orientation="horizontal",
        whis=(5, 95),
        widths=0.6,
        flierprops={"marker": ".", "markersize": 2.5, "markeredgecolor": UNKNOWN},
        medianprops={"color": ANOMALOUS},
    )
    ax.axvline(0, color=MUTED, linewidth=1, linestyle=":")
    _name_rows(ax, shown)


def _highest(figures: dict[str, float]) -> dict[str, float]:
    return dict(sorted(figures.items(), key=lambda item: item[1])[-MOST_COMPONENTS:])


def _title(shown: Mapping[str, float], columns: Mapping[str, Floats]) -> str:
    if len(shown) < len(columns):
        return f"{TITLE} (highest {len(shown)} of {len(columns)})"
    return TITLE


def _name_rows(ax: Axes, shown: Mapping[str, float]) -> None:
    ax.set_yticks(range(len(shown)), list(shown), parse_math=False)
    ax.set_ylim(-0.7, len(shown) - 0.3)
