"""The answers of the benchmark of decisions: kept by machine, summed up in a page and a picture."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from audio_anomaly_detector.benchmark.field import Answer, RealMachine, SyntheticMachine
from audio_anomaly_detector.engines import Failed, Processes
from audio_anomaly_detector.errors import Interrupted
from audio_anomaly_detector.files import hold_folder, write_csv, write_text
from audio_anomaly_detector.metrics.intervals import Interval, percentile_interval
from audio_anomaly_detector.plotting.canvas import DPI, NORMAL, save_figure, start_panel
from audio_anomaly_detector.progress import Progress
from audio_anomaly_detector.provenance import PACKAGE
from audio_anomaly_detector.seeding import derive_seed

PAGE = "decisions.md"
PICTURE = "decisions.png"
_CELLS = "machines"
_RESAMPLINGS = 2000
_SEED = 0  # of intervals and randomised p-values

Machine = SyntheticMachine | RealMachine


@dataclass(frozen=True)
class Row:
    """What came of one question, over all machines.

    Args:
        learned: what the detectors were fitted on.
        asked: what the clips were.
        machines: how many there are.
        false_alarms: share of normal clips called anomalous; None: no normal clips were asked.
        interval: of it, over machines.
        unlike: share of normal clips called unlike the learned ones.
        found: share of anomalous clips called anomalous; None: none were asked.
        found_unlike: share of them called unlike.
        uniformity: p-value of a Kolmogorov-Smirnov test that the p-values of normal clips, one for
            each machine, are uniform; None without p-values.
    """

    learned: str
    asked: str
    machines: int
    false_alarms: float | None
    interval: Interval | None
    unlike: float | None
    found: float | None
    found_unlike: float | None
    uniformity: float | None


def run_machines(
    machines: Sequence[Machine], out: Path, workers: int, progress: Progress
) -> list[str]:
    """Ask every machine that has not answered yet, each in a process of its own.

    Returns:
        Those that failed, and why.

    Raises:
        UserError: another run is writing into the folder, or it cannot be written.
    """
    failures = []
    with hold_folder(out):
        missing = [machine for machine in machines if not _file(out, machine).exists()]
        done = len(machines) - len(missing)
        progress.advance("machines", done, len(machines))
        try:
            with closing(Processes(workers=workers).map(_ask, missing)) as results:
                for index, result in results:
                    machine = missing[index]
                    if isinstance(result, Failed):
                        failures.append(f"{machine}: {result.reason}")
                    else:
                        write_csv(_file(out, machine), Answer._fields, result)
                    done += 1
                    progress.advance("machines", done, len(machines))
        except Interrupted as interruption:
            interruption.add_note(
                f"{done} of {len(machines)} machines are finished; start the same command again "
                "to go on"
            )
            raise
    return failures


def summed_up(machines: Sequence[Machine], out: Path) -> list[Row]:
    """The answers of the machines that are finished, in the order in which they were asked."""
    answers: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    for machine in machines:
        path = _file(out, machine)
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                for line in csv.DictReader(file):
                    answer = Answer._make(line[name] for name in Answer._fields)
                    answers[answer.learned, answer.asked].append(answer)
    return [_row(*key, given) for key, given in answers.items()]


def write_page(rows: Sequence[Row], out: Path, command: str) -> None:
    """Write the table and the picture.

    Args:
        rows: of `summed_up`.
        out: folder.
        command: that made them.

    Raises:
        UserError: they cannot be written.
    """
    lines = [
        "| learned from | asked | machines | false alarms [95 %] | normal, unlike | faults found "
        "| faulty, unlike | uniform |",
        "|---|---|---|---|---|---|---|---|",
        *(_line(row) for row in rows),
    ]
    head = f"# Decisions\n\nMade by `{command}`, version {version(PACKAGE)}.\n\n"
    write_text(out / PAGE, head + "\n".join(lines) + f"\n\n![False alarms]({PICTURE})\n")
    save_figure(draw_false_alarms(rows), out / PICTURE)


def draw_false_alarms(rows: Sequence[Row]) -> Figure:
    """False alarms of every question with their intervals."""
    shown = [row for row in rows if row.false_alarms is not None and row.interval is not None]
    figure = Figure(figsize=(8, 0.24 * len(shown) + 1), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    start_panel(ax, "False alarms among unseen normal clips", "share", "")
    places = np.arange(len(shown))[::-1]
    values = np.array([row.false_alarms for row in shown])
    ends = np.array([row.interval for row in shown])
    ax.errorbar(
        values, places, xerr=np.abs(ends.T - values), fmt="o", color=NORMAL, capsize=2, ms=4
    )
    ax.axvspan(0.05, 0.15, color=NORMAL, alpha=0.12, linewidth=0)
    ax.set_yticks(places, [f"{row.learned}: {row.asked}" for row in shown], fontsize=7)
    ax.set_xlim(-0.02, 1.02)
    return figure


def _ask(machine: Machine) -> list[Answer]:
    return list(machine.answers())


def _file(out: Path, machine: Machine) -> Path:
    """Answers of another version are not these answers."""
    return out / _CELLS / version(PACKAGE) / f"{machine.key}.csv"


def _row(learned: str, asked: str, answers: Sequence[Answer]) -> Row:
    machines = sorted({answer.machine for answer in answers})
    normal, normal_unlike = _shares(answers, 0, machines)
    found, found_unlike = _shares(answers, 1, machines)
    return Row(
        learned,
        asked,
        len(machines),
        _mean(normal),
        None if normal is None or len(machines) < 2 else _interval(normal),
        _mean(normal_unlike),
        _mean(found),
        _mean(found_unlike),
        _uniformity(answers, machines),
    )


def _shares(
    answers: Sequence[Answer], label: int, machines: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | tuple[None, None]:
    """Share of clips that are anomalous, and unlike, by machine, ``(m,)`` each."""
    verdicts: dict[str, list[str]] = defaultdict(list)
    for answer in answers:
        if int(answer.label) == label:
            verdicts[answer.machine].append(answer.verdict)
    if not verdicts:
        return None, None
    anomalous, unlike = (
        np.array([verdicts[name].count(verdict) / len(verdicts[name]) for name in machines])
        for verdict in ("anomalous", "unlike")
    )
    return anomalous, unlike


def _mean(shares: NDArray[np.float64] | None) -> float | None:
    return None if shares is None else float(shares.mean())


def _interval(shares: NDArray[np.float64]) -> Interval:
    """Over machines, by the bootstrap."""
    rng = np.random.default_rng(derive_seed(_SEED, "machines"))
    drawn = rng.integers(0, len(shares), (_RESAMPLINGS, len(shares)))
    return percentile_interval(shares[drawn].mean(1))


def _uniformity(answers: Sequence[Answer], machines: Sequence[str]) -> float | None:
    """Of one normal clip a machine; ranks are randomised within their steps."""
    rng = np.random.default_rng(derive_seed(_SEED, "p-values"))
    first: dict[str, float] = {}
    for answer in answers:
        if int(answer.label) == 0 and answer.p_value != "" and answer.machine not in first:
            step = float(answer.p_step)
            first[answer.machine] = float(answer.p_value) - rng.random() * step
    if len(first) < len(machines) or len(first) < 5:
        return None
    return float(stats.ks_1samp(list(first.values()), stats.uniform.cdf).pvalue)


def _line(row: Row) -> str:
    interval = "" if row.interval is None else f" [{row.interval.low:.0%}, {row.interval.high:.0%}]"
    cells = [
        row.learned,
        row.asked,
        str(row.machines),
        "" if row.false_alarms is None else f"{row.false_alarms:.0%}{interval}",
        _percent(row.unlike),
        _percent(row.found),
        _percent(row.found_unlike),
        "" if row.uniformity is None else f"{row.uniformity:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
