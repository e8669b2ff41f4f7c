"""The pictures of a leaderboard: AUROC by machine type, paired leads, ROC curves."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from audio_anomaly_detector.benchmark.leaderboard import Entry, Leaderboard
from audio_anomaly_detector.metrics.protocol import ProtocolEstimate
from audio_anomaly_detector.plotting.canvas import (
    ANOMALOUS,
    DPI,
    MUTED,
    NORMAL,
    ORACLE,
    SERIES,
    add_legend,
    start_panel,
)

_ROC_LINES = 6
_PANELS_WIDE = 5


def draw_leaderboard(leaderboard: Leaderboard) -> dict[str, Figure]:
    """All pictures of a leaderboard by name."""
    figures = {"machines": draw_machines(leaderboard), "roc": draw_roc(leaderboard)}
    if leaderboard.ours is not None:
        figures["leads"] = draw_leads(leaderboard)
    if leaderboard.decisions:
        figures["calibration"] = draw_calibration(leaderboard)
    return figures


def draw_machines(leaderboard: Leaderboard) -> Figure:
    """AUROC of every line by machine type, with 95 % intervals over clips."""
    lines = leaderboard.entries[::-1]
    types = [*leaderboard.machine_types, "mean"]
    wide = min(len(types), _PANELS_WIDE)
    high = -(-len(types) // wide)
    size = (2.2 + 2.1 * wide, high * (1.3 + 0.28 * len(lines)))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    panels = figure.subplots(high, wide, sharey=True, squeeze=False)
    for ax in panels.flat[len(types) :]:
        ax.remove()
    rows = np.arange(len(lines))
    for ax, machine in zip(panels.flat, types, strict=False):
        start_panel(ax, machine, "AUROC", "")
        results = [
            line.result.mean if machine == "mean" else line.result.types[machine] for line in lines
        ]
        values, errors = _values_and_errors(results)
        ax.barh(rows, values, color=[_colour(line) for line in lines], height=0.7)
        ax.errorbar(values, rows, xerr=errors, fmt="none", ecolor=MUTED, elinewidth=1, capsize=2)
        ax.axvline(0.5, color=MUTED, linewidth=0.8, linestyle="--")
        ax.set_xlim(0, 1)
    panels[0, 0].set_yticks(rows, [line.title for line in lines], parse_math=False)
    return figure


def draw_leads(leaderboard: Leaderboard) -> Figure:
    """How far our detector is ahead of every other line, paired on the same folds."""
    ours = leaderboard.ours
    assert ours is not None
    lines = [line for line in leaderboard.entries[::-1] if line.lead is not None]
    figure = Figure(figsize=(7.5, 1.3 + 0.28 * len(lines)), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    start_panel(ax, f"{ours.title}: lead over", "difference of mean AUROC", "")
    rows = np.arange(len(lines))
    leads = [line.lead.mean for line in lines if line.lead is not None]
    values, errors = _values_and_errors(leads)
    for row, line in enumerate(lines):
        ax.errorbar(
            values[row],
            row,
            xerr=errors[:, row : row + 1],
            fmt="o",
            color=_colour(line),
            capsize=3,
            markersize=5,
        )
    ax.axvline(0, color=MUTED, linewidth=0.8, linestyle="--")
    ax.set_yticks(rows, [line.title for line in lines], parse_math=False)
    return figure


def draw_roc(leaderboard: Leaderboard) -> Figure:
    """ROC curves of the strongest lines: each id's folds pooled, then the mean over ids.

    Pooled in calibrated units, like the pAUC: a fold alone holds out too few normals for a curve.
    """
    figure = Figure(figsize=(6, 5.4), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    start_panel(
        ax, "ROC, folds pooled, mean over ids", "false alarm rate", "share of anomalous clips found"
    )
    rates = np.linspace(0, 1, 201)
    strongest = [line for line in leaderboard.entries if not line.is_oracle][:_ROC_LINES]
    for line, colour in zip(strongest, SERIES, strict=False):
        ax.plot(rates, _mean_roc(line, rates), color=colour, label=line.title, linewidth=1.6)
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle="--")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.01)
    add_legend(ax, "lower right")
    return figure


def draw_calibration(leaderboard: Leaderboard) -> Figure:
    """Share of unseen clips with a p-value up to each value: normal ones belong on the diagonal."""
    figure = Figure(figsize=(5 * len(leaderboard.decisions), 4.6), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(leaderboard.decisions), squeeze=False)[0]
    for ax, decisions in zip(panels, leaderboard.decisions, strict=True):
        start_panel(ax, decisions.title, "p-value", "share of clips up to it")
        for name, colour in (("normal", NORMAL), ("anomalous", ANOMALOUS)):
            ax.ecdf(getattr(decisions, name), color=colour, label=f"{name}, unseen", linewidth=1.6)
        ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle="--")
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1.01)
        add_legend(ax, "lower right")
    return figure


def draw_learning_curve(title: str, leaderboards: list[Leaderboard]) -> Figure:
    """Mean AUROC against the number of normals, ours and the baselines that end highest.

    Args:
        title: of the picture.
        leaderboards: of the same setting, each with its number of normals, ascending.
    """
    figure = Figure(figsize=(7, 4.6), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    start_panel(ax, title, "normal clips to learn from", "mean AUROC")
    strongest = [line.title for line in leaderboards[-1].entries if not line.is_oracle][:_ROC_LINES]
    for name, colour in zip(strongest, SERIES, strict=False):
        points = [
            (leaderboard.setting.train_clips, line.result.mean)
            for leaderboard in leaderboards
            for line in leaderboard.entries
            if line.title == name
        ]
        counts = np.array([count for count, _ in points])
        values, errors = _values_and_errors([mean for _, mean in points])
        ax.errorbar(
            counts, values, yerr=errors, marker="o", color=colour, capsize=2, label=name, alpha=0.9
        )
    ax.set_xscale("log")
    ticks = [leaderboard.setting.train_clips or 0 for leaderboard in leaderboards]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.minorticks_off()
    add_legend(ax, "lower right")
    return figure


def _values_and_errors(
    estimates: list[ProtocolEstimate],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values ``(n,)`` and how far their intervals reach below and above, ``(2, n)``."""
    values = np.array([each.value for each in estimates])
    return values, np.abs(np.array([each.over_clips for each in estimates]).T - values)


def _mean_roc(line: Entry, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    curves = []
    for ids in line.scores.values():
        for by_seed in ids.values():
            for folds in by_seed.values():
                normal, anomalous = (np.concatenate(side) for side in zip(*folds, strict=True))
                labels = np.repeat([0, 1], [len(normal), len(anomalous)])
                false, true, _ = roc_curve(labels, np.concatenate([normal, anomalous]))
                curves.append(np.interp(rates, false, true))
    mean: NDArray[np.float64] = np.mean(curves, axis=0)
    return mean


def _colour(line: Entry) -> str:
    if line.is_oracle:
        return ORACLE
    if line.is_ours:
        return NORMAL
    return ANOMALOUS if line.is_baseline else MUTED
