"""The answers of the benchmark of decisions, summed up in a page, a table and a picture."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from audio_anomaly_detector.benchmark.decisions import DRAWS, uniformity
from audio_anomaly_detector.benchmark.field import AS_LEARNED, OURS, RARE, REAL, USUAL, Answer
from audio_anomaly_detector.files import write_csv, write_text
from audio_anomaly_detector.metrics.intervals import Interval, clustered_interval
from audio_anomaly_detector.plotting.canvas import (
    DPI,
    GRID,
    INK,
    NORMAL,
    UNKNOWN,
    save_figure,
    start_panel,
)
from audio_anomaly_detector.provenance import PACKAGE
from audio_anomaly_detector.seeding import derive_seed

PAGE, TABLE, PICTURE = "decisions.md", "decisions.csv", "images/decisions.png"
_SEED = 0  # of the randomised p-values
_LEAST_MACHINES = 5  # of a test that p-values are uniform
_BOUNDS = (0.05, 0.15)  # of false alarms at a nominal 10 %, for the eye
_INTRODUCTION = (
    "False alarms are unseen normal clips called anomalous, with a 95 % interval over machines "
    "(Korn and Graubard, 1998); *unlike* are clips whose verdict says that they are recorded "
    "differently, which are no alarms; faults found are anomalous clips called anomalous. The "
    "nominal rate is 10 % unless a column says otherwise. The machines are synthetic, one "
    "microphone at 0 dB, with faults that no tuning has seen. *Uniform* is the p-value of a "
    "Kolmogorov–Smirnov test that p-values of unseen normal clips are uniform, one clip a machine, "
    f"median of {DRAWS} draws."
)


@dataclass(frozen=True)
class Shares:
    """What the clips of one label were called, mean over machines.

    Args:
        clips: how many.
        anomalous: share called anomalous.
        interval: of it, over machines; None of a single machine.
        unlike: share called unlike the learned ones.
    """

    clips: int
    anomalous: float
    interval: Interval | None
    unlike: float


@dataclass(frozen=True)
class Row:
    """What came of one question, over all machines.

    Args:
        part: that it belongs to.
        machine: of a real machine its name, which is not summed up with others.
        learned: what the detectors were fitted on.
        asked: what the clips were.
        method: that decided.
        nominal: rate of false alarms.
        machines: how many there are.
        normal: None: no normal clips were asked.
        anomalous: likewise.
        uniformity: p-value of the test that p-values are uniform; None where there are none, or
            too few machines.
    """

    part: str
    machine: str
    learned: str
    asked: str
    method: str
    nominal: float
    machines: int
    normal: Shares | None
    anomalous: Shares | None
    uniformity: float | None


def summed_up(answers: Sequence[Answer]) -> list[Row]:
    """One row for each question, in the order in which they were asked."""
    groups: dict[tuple[str, str, str, str, str, float], list[Answer]] = defaultdict(list)
    for answer in answers:
        machine = answer.machine if answer.part == REAL else ""
        key = (answer.part, machine, answer.learned, answer.asked, answer.method, answer.nominal)
        groups[key].append(answer)
    return [
        Row(
            *key,
            len({answer.machine for answer in given}),
            _shares(given, 0),
            _shares(given, 1),
            _uniformity(given),
        )
        for key, given in groups.items()
    ]


def write_pages(rows: Sequence[Row], out: Path, command: str) -> None:
    """Write page, table and picture.

    Args:
        rows: of `summed_up`.
        out: folder.
        command: that made them.

    Raises:
        UserError: they cannot be written.
    """
    write_text(out / PAGE, "\n".join(_page(rows, command)))
    write_csv(out / TABLE, _COLUMNS, map(_fields, rows))
    save_figure(draw_decisions(rows), out / PICTURE)


def draw_decisions(rows: Sequence[Row]) -> Figure:
    """False alarms, and normal clips called unlike, of our detector for every question."""
    asked = [row for row in _ours(rows) if row.normal is not None]
    alike = [row for row in asked if not row.machine and row.asked == AS_LEARNED]
    others = [row for row in asked if not row.machine and row.asked != AS_LEARNED]
    panels = {
        "clips like those learned": alike,
        "other lengths and conditions": others,
        "real machines, later clips": [row for row in asked if row.machine],
    }
    panels = {title: shown for title, shown in panels.items() if shown}
    heights = [len(shown) + 3 for shown in panels.values()] or [1]
    figure = Figure(figsize=(8, 0.22 * sum(heights) + 1), dpi=DPI, layout="constrained")
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (title, shown) in zip(axes, panels.items(), strict=False):
        _draw_shares(ax, title, shown)
    if panels:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _draw_shares(ax: Axes, title: str, rows: Sequence[Row]) -> None:
    start_panel(ax, f"Unseen normal clips: {title}", "share of clips", "")
    places = np.arange(len(rows))[::-1]
    called = [row.normal for row in rows if row.normal is not None]
    alarms = np.array([each.anomalous for each in called])
    unlike = np.array([each.unlike for each in called])
    ax.barh(places, alarms, color=NORMAL, height=0.7, label="false alarm, with 95 % interval")
    ax.barh(places, unlike, left=alarms, color=GRID, height=0.7, label="unlike: no alarm")
    for place, each in zip(places, called, strict=True):
        if each.interval is not None:
            ax.plot(each.interval, [place, place], color=INK, linewidth=1)
    ax.axvspan(*_BOUNDS, color=NORMAL, alpha=0.12, linewidth=0)
    ax.axvline(USUAL, color=UNKNOWN, linewidth=0.8, linestyle="--")
    ax.set_yticks(places, [_question(row) for row in rows], fontsize=7, parse_math=False)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set_xlim(0, 1)


def _question(row: Row) -> str:
    parts = (row.machine, row.learned, row.asked if row.asked != AS_LEARNED else "")
    return ": ".join(filter(None, parts))


def _page(rows: Sequence[Row], command: str) -> Iterator[str]:
    yield "# Decisions\n"
    yield f"    {command}\n"
    yield f"{_INTRODUCTION} Version of the program: {version(PACKAGE)}.\n"
    alike = [row for row in _synthetic(rows) if row.asked == AS_LEARNED]
    if alike:
        yield "## Clips like those learned\n"
        yield (
            "10-s clips, learned as they are, or from few recordings that the program cuts; the "
            "hall of recordings longer than a minute changes from minute to minute.\n"
        )
        yield from _alike(alike, rows)
    others = [row for row in _synthetic(rows) if row.asked != AS_LEARNED]
    if others:
        yield "## Other lengths and conditions\n"
        yield (
            "Learned from 10-s clips. Of another machine all clips count as faults: those not "
            "called anomalous or unlike are misses.\n"
        )
        yield from _table(_HEADS, map(_cells, others))
    if len(_methods(rows)) > 1:
        yield "## Common ways to a threshold\n"
        yield (
            "False alarms / faults found by our detector and by other rules: on the scores of "
            "log-mel statistics with Mahalanobis distance (*log-mel*), and on our left-out scores, "
            "each clip for itself whatever recording it is of. *Gamma*: the 90th percentile of a "
            "gamma distribution, as the baseline of the DCASE challenge; *contamination*: the 90th "
            "percentile of the scores, as PyOD; *conformal*: ranks, of log-mel on the half of the "
            "clips that was not fitted on. The first two take the scores of the very clips that "
            "log-mel was fitted on, as their authors do: there are more features than clips, so "
            "that these lie close together and every other clip far from them.\n"
        )
        yield from _by_method(rows)
    real = [row for row in _ours(rows) if row.machine]
    if real:
        yield "## Real machines\n"
        yield (
            "Learned from the first part of the normal clips, and asked about the later ones. No "
            "groups are given: the fit finds by itself which neighbours are alike.\n"
        )
        yield from _table(("machine", *_HEADS), ([row.machine, *_cells(row)] for row in real))
    yield f"![Unseen normal clips: false alarms, and clips called unlike]({PICTURE})\n"


_HEADS = (
    "learned from",
    "asked",
    "machines",
    "false alarms",
    "normal, unlike",
    "faults found",
    "faulty, unlike",
    "uniform",
)


def _cells(row: Row) -> list[str]:
    return [
        row.learned,
        row.asked,
        str(row.machines),
        _with_interval(row.normal),
        "" if row.normal is None else _percent(row.normal.unlike),
        "" if row.anomalous is None else _percent(row.anomalous.anomalous),
        "" if row.anomalous is None else _percent(row.anomalous.unlike),
        "" if row.uniformity is None else f"{row.uniformity:.2f}",
    ]


def _alike(alike: Sequence[Row], rows: Sequence[Row]) -> Iterator[str]:
    """Both nominal rates in one line."""
    rare = {row.learned: row for row in rows if row.nominal == RARE and row.asked == AS_LEARNED}
    heads = [head for head in _HEADS if head != "asked"]

    def line(row: Row) -> list[str]:
        cells = _cells(row)
        at_rare = rare.get(row.learned)
        found = None if at_rare is None else at_rare.anomalous
        return [
            cells[0],
            *cells[2:],
            _with_interval(None if at_rare is None else at_rare.normal),
            "" if found is None else _percent(found.anomalous),
        ]

    yield from _table(
        (*heads, f"false alarms at {RARE:.0%}", f"found at {RARE:.0%}"), map(line, alike)
    )


def _by_method(rows: Sequence[Row]) -> Iterator[str]:
    methods = _methods(rows)
    at_usual = {
        (row.machine, row.part, row.learned, row.asked, row.method): row
        for row in rows
        if row.nominal == USUAL
    }
    questions = list(dict.fromkeys(key[:-1] for key in at_usual))

    def line(question: tuple[str, str, str, str]) -> list[str]:
        cells = []
        for method in methods:
            row = at_usual.get((*question, method))
            normal = None if row is None else row.normal
            anomalous = None if row is None else row.anomalous
            shares = [
                "–" if shares is None else _percent(shares.anomalous)
                for shares in (normal, anomalous)
            ]
            cells.append(" / ".join(shares))
        machine, _, learned, asked = question
        return [": ".join(filter(None, (machine, learned))), asked, *cells]

    yield from _table(("learned from", "asked", *methods), map(line, questions))


def _table(heads: Sequence[str], lines: Iterator[list[str]] | map) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|---|---|{'---:|' * (len(heads) - 2)}"
    for line in lines:
        yield f"| {' | '.join(line)} |"
    yield ""


_COLUMNS = (
    "part",
    "machine",
    "learned",
    "asked",
    "method",
    "nominal",
    "machines",
    *(
        f"{label}_{name}"
        for label in ("normal", "anomalous")
        for name in ("clips", "called_anomalous", "low", "high", "called_unlike")
    ),
    "uniformity",
)


def _fields(row: Row) -> list[object]:
    start = [row.part, row.machine, row.learned, row.asked, row.method, row.nominal, row.machines]
    both = [value for shares in (row.normal, row.anomalous) for value in _numbers(shares)]
    return [*start, *both, "" if row.uniformity is None else f"{row.uniformity:.4f}"]


def _numbers(shares: Shares | None) -> list[object]:
    if shares is None:
        return [0, "", "", "", ""]
    ends = ["", ""] if shares.interval is None else [f"{end:.4f}" for end in shares.interval]
    return [shares.clips, f"{shares.anomalous:.4f}", *ends, f"{shares.unlike:.4f}"]


def _ours(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.method == OURS and row.nominal == USUAL]


def _synthetic(rows: Sequence[Row]) -> list[Row]:
    return [row for row in _ours(rows) if not row.machine]


def _methods(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.method for row in rows))


def _shares(answers: Sequence[Answer], label: int) -> Shares | None:
    verdicts: dict[str, list[str]] = defaultdict(list)
    for answer in answers:
        if answer.label == label:
            verdicts[answer.machine].append(answer.verdict)
    if not verdicts:
        return None

    def share(verdict: str) -> NDArray[np.float64]:
        """By machine, ``(m,)``."""
        return np.array([own.count(verdict) / len(own) for own in verdicts.values()])

    anomalous, clips = share("anomalous"), sum(map(len, verdicts.values()))
    interval = None
    if len(verdicts) > 1:
        interval = clustered_interval(anomalous, clips // len(verdicts))
    return Shares(clips, float(anomalous.mean()), interval, float(share("unlike").mean()))


def _uniformity(answers: Sequence[Answer]) -> float | None:
    """Of normal clips; ranks are randomised within their steps."""
    rng = np.random.default_rng(derive_seed(_SEED, "p-values"))
    unseen: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        if answer.label == 0 and answer.p_value != "":
            randomised = float(answer.p_value) - rng.random() * float(answer.p_step)
            unseen[answer.machine].append(randomised)
    if len(unseen) < _LEAST_MACHINES:
        return None
    return uniformity(list(unseen.values()), rng)


def _with_interval(shares: Shares | None) -> str:
    if shares is None:
        return ""
    if shares.interval is None:
        return _percent(shares.anomalous)
    low, high = shares.interval
    return f"{_percent(shares.anomalous)} [{low:.0%}, {high:.0%}]"


def _percent(share: float) -> str:
    return f"{share:.1%}" if 0 < share < 0.0995 else f"{share:.0%}"
