"""What the terminal shows: progress, tables and one-line messages."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

if TYPE_CHECKING:  # heavy, and already there when their things are to be shown
    from audio_anomaly_detector.benchmark.leaderboard import Leaderboard
    from audio_anomaly_detector.data.clips import Clip
    from audio_anomaly_detector.data.inspection import Inspection
    from audio_anomaly_detector.metrics.classification import Metrics
    from audio_anomaly_detector.progress import Epoch
    from audio_anomaly_detector.score import Score

# Results go to stdout, all that goes on meanwhile to stderr: pipes stay clean.
# A pipe has no width; tables there are as wide as they like.
_width = None if sys.stdout.isatty() else 160
out = Console(width=_width, highlight=False, soft_wrap=True, markup=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
_COLUMNS_SHOWN = 6  # machine types of a table that a terminal has room for


def start_logging(verbosity: int) -> None:
    """Send the package's log to stderr: warnings, with 1 progress in words, with 2 everything."""
    level = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    handler = RichHandler(console=err, show_time=False, show_path=False)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("audio_anomaly_detector")
    logger.handlers[:] = [handler]
    logger.setLevel(level)


class ProgressDisplay:
    """Shows a bar for what goes on and a line for every epoch.

    Args:
        quiet: show nothing.
        epochs: print a line for every epoch.
    """

    def __init__(self, quiet: bool, epochs: bool) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=err,
            transient=True,
            disable=quiet,
        )
        self._epochs = epochs and not quiet
        self._task: TaskID | None = None
        self._what = ""

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self._bar.stop()

    def advance(self, what: str, done: int, total: int) -> None:
        """Move the bar."""
        if self._task is None or what != self._what:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task, self._what = self._bar.add_task(what, total=total), what
        self._bar.update(self._task, completed=done, total=total)

    def epoch(self, epoch: Epoch, watched: Mapping[str, float]) -> None:
        """Print the epoch's losses and, where labels are watched, ROC AUC and PR AUC."""
        if not self._epochs:
            return
        losses = "  ".join(f"{name} {value:.4f}" for name, value in epoch.losses.items())
        titles = {"auroc": "test ROC AUC", "average_precision": "test PR AUC"}
        labels = "".join(f"  {titles[name]} {value:.3f}" for name, value in watched.items())
        self._bar.console.print(f"{epoch.stage:<12}epoch {epoch.epoch:>3}  {losses}{labels}")


def print_inspection(inspection: Inspection) -> None:
    """A row for each machine id, then every problem."""
    table = Table(title=f"{inspection.root} ({inspection.layout} layout)", title_justify="left")
    for name in ("condition", "machine", "id"):
        table.add_column(name)
    for name in ("normal", "anomalous", "unknown", "unusable", "minutes"):
        table.add_column(name, justify="right")
    for name in ("split", "rates in Hz", "channels"):
        table.add_column(name)
    for machine in inspection.machines:
        prescribed = machine.train or machine.test
        table.add_row(
            machine.condition or "–",
            machine.machine_type or "–",
            machine.machine_id,
            str(machine.normal),
            str(machine.anomalous),
            str(machine.unknown),
            str(machine.unusable),
            f"{machine.seconds / 60:.1f}",
            f"{machine.train} train, {machine.test} test" if prescribed else "made by the seed",
            ", ".join(map(str, machine.sample_rates)),
            ", ".join(map(str, machine.channels)),
        )
    out.print(table)
    for problem in inspection.problems:
        out.print(f"problem: {problem}")
    if not inspection.problems:
        out.print("no problems found")


def print_scores(scored: Sequence[tuple[Clip, Score]]) -> None:
    """A row for each clip: verdict, score, p-value, the families that stand out."""
    table = Table()
    table.add_column("clip", overflow="fold")
    table.add_column("verdict")
    for name in ("score", "threshold", "p-value"):
        table.add_column(name, justify="right")
    table.add_column("most unusual")
    for clip, score in scored:
        loudest = sorted(score.families.items(), key=lambda item: -item[1])[:2]
        table.add_row(
            clip.name,
            "ANOMALOUS" if score.is_anomalous else "normal",
            f"{score.score:.2f}",
            f"{score.threshold:.2f}",
            f"{score.p_value:.3g}",
            ", ".join(f"{name} {value:+.1f}" for name, value in loudest),
        )
    out.print(table)


def print_metrics(title: str, metrics: Metrics | None) -> None:
    """The metrics with their 95 % intervals, and the confusion matrix."""
    if metrics is None:
        out.print(f"{title}: no labels, so no metrics; the scores are written")
        return
    table = Table(title=title, title_justify="left")
    table.add_column("metric")
    table.add_column("value [95 % interval]")
    for row in metrics.rows():
        table.add_row(row.title, str(row.estimate))
    out.print(table)
    counts = metrics.confusion
    out.print(
        f"of {metrics.n_anomalous} anomalous clips {counts.true_positive} found, "
        f"of {metrics.n_normal} normal clips {counts.false_positive} false alarms "
        f"(threshold {metrics.threshold:.3f})"
    )


def print_leaderboard(title: str, leaderboard: Leaderboard, verdict: str) -> None:
    """The benchmark's lines from the highest mean AUROC down; its pages show every column."""
    types = leaderboard.machine_types
    if len(types) > _COLUMNS_SHOWN:
        types = []
    table = Table(title=title, title_justify="left")
    table.add_column("detector")
    for name in types:
        table.add_column(name, justify="right")
    table.add_column("mean AUROC [95 %]", justify="right")
    table.add_column("lead of ours [95 %]", justify="right")
    for lines in leaderboard.groups.values():
        table.add_section()
        for line in lines:
            table.add_row(
                f"{line.title} (oracle)" if line.is_oracle else line.title,
                *(f"{line.result.types[name].value:.3f}" for name in types),
                str(line.result.mean),
                "" if line.lead is None else str(line.lead.mean),
            )
    out.print(table)
    if verdict:
        out.print(verdict)
