"""What was measured of explanations, summed up in a page, a table and a picture."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from audio_anomaly_detector.benchmark.altered_recordings import ALTERATIONS
from audio_anomaly_detector.benchmark.explained_machines import (
    NORMAL,
    OTHER_RULES,
    Measured,
)
from audio_anomaly_detector.benchmark.explained_maps import DELETED_ABOVE, OVERLAP_ABOVE
from audio_anomaly_detector.files import write_csv, write_text
from audio_anomaly_detector.metrics.bootstrap import resample_counts
from audio_anomaly_detector.metrics.intervals import (
    Interval,
    exact_interval,
    percentile_interval,
)
from audio_anomaly_detector.plotting.canvas import (
    DPI,
    INK,
    SERIES,
    save_figure,
    start_panel,
)
from audio_anomaly_detector.provenance import PACKAGE
from audio_anomaly_detector.seeding import derive_seed

PAGE, TABLE, PICTURE = "explanations.md", "explanations.csv", "images/explanations.png"
ALL = "all faults"
_RESAMPLES = 2000
_SAID_SHOWN = 3


@dataclass(frozen=True)
class Row:
    """One quantity over the clips of one fault, condition or alteration.

    Args:
        of: see `Measured`; or `ALL`, at all signal-to-noise ratios or one.
        quantity: what was measured.
        clips: over how many.
        mean: of the values; of zeros and ones a share.
        interval: of it, 95 %.
        said: kinds of findings and in how many clips, the most frequent first; not of alterations,
            about which sentences are said.
    """

    of: str
    quantity: str
    clips: int
    mean: float
    interval: Interval
    said: list[tuple[str, int]]


Rows = Mapping[tuple[str, str], Row]


def summed_up(measured: Iterable[Measured]) -> Rows:
    """One row for each quantity of each fault, and of all of them; by both names."""
    groups: dict[tuple[str, str], list[Measured]] = defaultdict(list)
    for one in measured:
        groups[one.of, one.quantity].append(one)
        if one.of != NORMAL and one.of not in ALTERATIONS:
            groups[ALL, one.quantity].append(one)
            groups[f"{ALL}, {one.machine.partition(' at ')[2]}", one.quantity].append(one)
    return {
        (of, quantity): Row(
            of,
            quantity,
            len(group),
            float(np.mean([one.value for one in group])),
            _interval(np.array([one.value for one in group]), f"{of} {quantity}"),
            [] if of in ALTERATIONS else _said(group),
        )
        for (of, quantity), group in groups.items()
    }


def _said(group: Sequence[Measured]) -> list[tuple[str, int]]:
    kinds = [dict.fromkeys(filter(None, one.said.split("; "))) for one in group]
    return Counter(kind for each in kinds for kind in each).most_common()


def _interval(values: NDArray[np.float64], name: str) -> Interval:
    """Of a share the exact one, of other means a bootstrap over clips."""
    if np.isin(values, (0, 1)).all():
        return exact_interval(int(values.sum()), len(values))
    rng = np.random.default_rng(derive_seed(0, name))
    counts = resample_counts(len(values), _RESAMPLES, rng)
    return percentile_interval(counts @ values / len(values))


def write_pages(measured: Sequence[Measured], out: Path, command: str) -> None:
    """Write page, table and picture.

    Args:
        measured: of all machines.
        out: folder.
        command: that made them.

    Raises:
        UserError: they cannot be written.
    """
    rows = summed_up(measured)
    write_text(out / PAGE, "\n".join(_page(rows, _machines(measured), command)))
    columns = ("of", "quantity", "clips", "mean", "low", "high", "said")
    lines = (
        [
            row.of,
            row.quantity,
            row.clips,
            *(f"{value:.4f}" for value in (row.mean, *row.interval)),
            "; ".join(f"{kind} {count}" for kind, count in row.said),
        ]
        for row in rows.values()
    )
    write_csv(out / TABLE, columns, lines)
    save_figure(draw_explanations(rows), out / PICTURE)


def _machines(measured: Sequence[Measured]) -> str:
    """Names of the synthetic machines and their signal-to-noise ratios; empty: there are none."""
    names = [one.machine.split(" at ") for one in measured if one.of not in ALTERATIONS]
    each, ratios = (list(dict.fromkeys(name[part] for name in names)) for part in (0, 1))
    return f"{', '.join(each)}; each at {', '.join(ratios)}" if names else ""


def _faults(rows: Rows) -> list[str]:
    """Names of the faults, sorted, then all of them and all at each signal-to-noise ratio."""
    names = dict.fromkeys(of for of, _ in rows if of != NORMAL and of not in ALTERATIONS)
    return sorted(names, key=lambda name: (name.startswith(ALL), name))


_INTRODUCTION = (
    "Synthetic machines, one microphone, with faults of severity .4 to 1. But for the column "
    "*above threshold* all is of clips whose score exceeds it; `n` is their number. Intervals of "
    "95 % take clips as independent: exact ones of shares (Clopper and Pearson, 1934), bootstraps "
    "of other means."
)
_WHERE = (
    "Share of clips in which the peak of a map lies where the fault's own power exceeds all the "
    "rest and changes the level by 3 dB, within one band and one frame. *Map for the kind*: the "
    "narrow map for steady faults, the fast one for impacts; *further out*: the map whose peak is "
    "the larger multiple of the median peak of normal clips; no knowledge of the fault is used. "
    "*Random*: the share of the map where a peak would be right. Random place, *spectrogram* (its "
    "loudest cell) and *difference* (to the mean normal spectrogram) are on the map for the kind. "
    f"*IoU*: overlap of all that exceeds {OVERLAP_ABOVE['narrow']:g} (narrow) or "
    f"{OVERLAP_ABOVE['fast']:g} (fast) standard deviations with the true region, at levels chosen "
    "on machines with tuning faults. A faulty machine is scaled to the power of a healthy one; "
    "that all the rest is quieter so is not counted as a true place. A fault that nowhere exceeds "
    "the rest has none, and counts as missed."
)
_WORDS = (
    "*Right kind*: one of at most five findings is of a kind that is right of the fault, by the "
    "table in `benchmark/fault_words.py`; *first*: the strongest is. *Figure*: of faults with a "
    "steady rate or frequency, a finding of the right kind states it within 3 %; *stated*: of the "
    "figures that findings of the right kind state, those that are right. *audio-anomaly*: a "
    "finding of that package (rules; all learned clips as its reference) may stand for the right "
    "kind, generously."
)
_DELETED = (
    f"What the maps mark (a mean of neighbouring cells beyond {DELETED_ABOVE['narrow']:g} standard "
    f"deviations in the narrow map or {DELETED_ABOVE['fast']:g} in the fast one) gets the levels "
    "that normal clips have there at the same ranks, with the phase of the clip: share of clips "
    "whose score then falls below the threshold, where as much is changed at a random place, where "
    "the true region is changed instead, and where the fault alone is taken out and the rest is as "
    "before. The last two are what the check can reach: a fault that is 5 dB below the rest of its "
    "cell is no part of the true region and is scored all the same."
)
_RECORDED = (
    "Real recordings, at most two microphones, held out and altered. *Named*: as what it is; *said "
    "of the recording*: anything, so that no fault of the machine is named."
)


def _page(rows: Rows, machines: str, command: str) -> Iterator[str]:
    yield "# How right explanations are\n"
    yield f"    {command}\n"
    yield f"Version of the program: {version(PACKAGE)}.\n"
    if machines:
        yield f"{_INTRODUCTION} Machines: {machines}.\n"
        faults = _faults(rows)
        yield "## Where\n"
        yield f"{_WHERE}\n"
        yield from _table(rows, faults, _PLACES)
        yield "## In which words\n"
        yield f"{_WORDS}\n"
        yield from _table(rows, faults, _SAID, "right kind")
        yield "## Normal clips\n"
        yield from _table(rows, [NORMAL], _OF_NORMAL)
        yield "## Deletion\n"
        yield f"{_DELETED}\n"
        yield from _table(rows, faults, _DELETION)
    alterations = [name for name in ALTERATIONS if (name, "words of a fault") in rows]
    if alterations:
        yield "## Faults of the recording\n"
        yield f"{_RECORDED}\n"
        yield from _table(rows, alterations, _OF_RECORDING)
    if machines:
        yield f"![Right places and right words by fault]({PICTURE})\n"


# Heading and quantity.
_PLACES = {
    "above threshold": "above threshold",
    "map for the kind": "peak: map for the kind",
    "further out": "peak: map further out",
    "narrow": "peak: narrow map",
    "fast": "peak: fast map",
    "random": "peak: random place",
    "spectrogram": "peak: spectrogram",
    "difference": "peak: difference to the mean normal",
    "IoU": "overlap",
}
_SAID = {
    "right kind": "right kind",
    "first": "right kind first",
    "figure": "right figure",
    "stated": "right of stated figures",
    OTHER_RULES: f"{OTHER_RULES}: right kind",
    "nothing said": "nothing said",
}
_OF_NORMAL = {
    f"{OTHER_RULES}: words of a fault": f"{OTHER_RULES}: words of a fault",
    "called anomalous": "called anomalous",
    "words of a fault": "words of a fault",
    "words of the recording": "words of the recording",
}
_DELETION = {
    "what is marked": "deletion: what is marked",
    "as much elsewhere": "deletion: elsewhere",
    "the true region": "deletion: the true region",
    "the fault itself": "deletion: the fault itself",
    "area": "deletion: area",
}
_OF_RECORDING = {
    "named": "named",
    "said of the recording": "said of the recording",
    "words of a fault": "words of a fault",
}


def _table(
    rows: Rows, names: Sequence[str], quantities: Mapping[str, str], said_with: str = ""
) -> Iterator[str]:
    """A line for each name; with what was said most often if a quantity is given for it.

    The number of clips is that of the last quantity, which all of them have.
    """
    heads = ["", "n", *quantities, *(["said most"] if said_with else [])]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'---:|' * (len(quantities) + 1)}{'---|' if said_with else ''}"
    for name in names:
        found = [rows.get((name, quantity)) for quantity in quantities.values()]
        clips = 0 if found[-1] is None else found[-1].clips
        cells = [name, str(clips), *map(_shown, found)]
        if said_with:
            row = rows.get((name, said_with))
            said = [] if row is None else row.said[:_SAID_SHOWN]
            cells.append(", ".join(f"{kind} {count}" for kind, count in said))
        yield f"| {' | '.join(cells)} |"
    yield ""


def _shown(row: Row | None) -> str:
    if row is None:
        return "–"
    low, high = row.interval
    return f"{row.mean:.0%} [{low:.0%}, {high:.0%}]"


def draw_explanations(rows: Rows) -> Figure:
    """Right places and right words by fault, with intervals."""
    names = [name for name in _faults(rows) if (name, "right kind") in rows][::-1]
    figure = Figure(figsize=(8, 0.35 * len(names) + 1.6), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, title, quantity, colour in (
        (axes[0], "Peak of the map in the true region", "peak: map for the kind", SERIES[0]),
        (axes[1], "Right kind of words", "right kind", SERIES[1]),
    ):
        start_panel(ax, title, "share of clips above the threshold", "")
        for place, name in enumerate(names):
            row = rows.get((name, quantity))
            if row is not None:
                ax.barh(place, row.mean, color=colour, height=0.7)
                ax.plot(row.interval, [place, place], color=INK, linewidth=1)
        ax.set_xlim(0, 1)
        ax.set_yticks(range(len(names)), names, fontsize=7, parse_math=False)
    return figure
