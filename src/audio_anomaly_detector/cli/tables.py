"""Tables of results: fitted to a terminal, tab-separated lines in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, set_cell_size
from rich.table import Table

from audio_anomaly_detector.cli.console import in_terminal, out, remark
from audio_anomaly_detector.errors import one_line

if TYPE_CHECKING:  # heavy, and already there when their things are to be shown
    from audio_anomaly_detector.benchmark.leaderboard import Leaderboard
    from audio_anomaly_detector.data.inspection import MachineSummary
    from audio_anomaly_detector.data.layouts import Discovery
    from audio_anomaly_detector.metrics.classification import Metrics

WIDE = 100  # columns from which tables show more than the essentials
_SHORTEST_NAME = 16  # characters that are left of a file name, however narrow the terminal is
_TYPES_SHOWN = 6  # machine types of a table that a wide terminal has room for


def print_table(table: Table) -> None:
    """Print a table: drawn in a terminal; in a pipe one header line and one line a row, by tabs."""
    if in_terminal():
        out.print(table, soft_wrap=False)
        return
    headers = [column.header for column in table.columns]
    rows = zip(*(column.cells for column in table.columns), strict=True)
    if table.title:
        remark(str(table.title))
    for cells in (headers, *rows):
        print("\t".join(one_line(cell) for cell in cells))
    if table.caption:
        remark(str(table.caption))


@dataclass(frozen=True)
class Column:
    """A column of a `RunningTable`.

    Args:
        name: in the header.
        width: characters in a terminal; longer cells move the rest to the right.
        is_number: aligned to the right.
    """

    name: str
    width: int
    is_number: bool = False


class RunningTable:
    """A table whose rows are printed as they come: in a pipe separated by tabs.

    In a terminal the first column takes what room the others leave, and shows the end of names
    that are longer, which tells them apart.

    Args:
        names: header of the first column.
        columns: the others.
    """

    def __init__(self, names: str, columns: Sequence[Column]) -> None:
        self._columns = [Column(names, 0), *columns]
        self._in_terminal = in_terminal()
        taken = sum(column.width + 2 for column in columns)
        self._width = max(out.width - taken - 1, _SHORTEST_NAME)
        self._begun = False

    def row(self, *cells: str, below: Sequence[str] = ()) -> None:
        """Print a row.

        Args:
            cells: one for each column.
            below: lines that a terminal shows under the row.
        """
        if not self._begun:
            self._begun = True
            self._print([column.name for column in self._columns])
            if self._in_terminal:
                total = self._width + sum(column.width + 2 for column in self._columns[1:])
                out.print("─" * min(total, out.width))
        self._print([one_line(cell) for cell in cells])
        if self._in_terminal:
            for line in below:
                out.print(f"  {one_line(line)}")

    def _print(self, cells: Sequence[str]) -> None:
        if not self._in_terminal:
            print("\t".join(cells), flush=True)
            return
        first, *others = cells
        shown = [set_cell_size(_end(first, self._width), self._width)]
        for cell, column in zip(others, self._columns[1:], strict=True):
            shown.append(cell.rjust(column.width) if column.is_number else cell.ljust(column.width))
        out.print("  ".join(shown).rstrip())


def _end(name: str, width: int) -> str:
    """The end of a name if there is no room for all of it."""
    if cell_len(name) <= width:
        return name
    while cell_len(name) >= width:
        name = name[1:]
    return f"…{name}"


class InspectionTable:
    """A row for each machine id and a line for each problem, as they come.

    Args:
        found: the clips, from whose labels the columns follow.
    """

    def __init__(self, found: Discovery) -> None:
        clips = found.clips
        there = {
            "normal": any(clip.label == 0 for clip in clips),
            "anomalous": any(clip.label == 1 for clip in clips),
            "unlabelled": any(clip.label is None for clip in clips),
            "unusable": True,
            "train": any(clip.split == "train" for clip in clips),
            "test": any(clip.split == "test" for clip in clips),
        }
        # A pipe always has the same columns.
        self._counts = [name for name, is_there in there.items() if is_there or not in_terminal()]
        columns = [Column(name, len(name), is_number=True) for name in self._counts]
        rest = [Column("minutes", 7, True), Column("Hz", 5, True), Column("channels", 8, True)]
        remark(f"{found.root} ({found.layout} layout)")
        for line in found.reading:
            remark(line)
        self._table = RunningTable("machine", [*columns, *rest])
        self._problems = 0

    def add(self, finding: MachineSummary | str) -> None:
        """Print a finding."""
        if isinstance(finding, str):
            self._problems += 1
            remark(f"problem: {one_line(finding)}")
            return
        counts = {
            "normal": finding.normal,
            "anomalous": finding.anomalous,
            "unlabelled": finding.unknown,
            "unusable": finding.unusable,
            "train": finding.train,
            "test": finding.test,
        }
        key = (finding.condition, finding.machine_type, finding.machine_id)
        self._table.row(
            "/".join(filter(None, key)),
            *(str(counts[name]) for name in self._counts),
            f"{finding.seconds / 60:.1f}",
            ", ".join(map(str, finding.sample_rates)),
            ", ".join(map(str, finding.channels)),
        )

    def finish(self) -> int:
        """Say if there were no problems; how many there were."""
        if not self._problems:
            remark("no problems found")
        return self._problems


def print_metrics(title: str, metrics: Metrics | None) -> None:
    """The metrics with their 95 % intervals, and the confusion matrix."""
    if metrics is None:
        remark(f"{title}: no labels, so no metrics; the scores are written")
        return
    table = _table(title, "metric", "value [95 % interval]")
    for row in metrics.rows():
        table.add_row(row.title, str(row.estimate))
    print_table(table)
    counts = metrics.confusion
    remark(
        f"of {metrics.n_anomalous} anomalous clips {counts.true_positive} found, "
        f"of {metrics.n_normal} normal clips {counts.false_positive} false alarms "
        f"(threshold {metrics.threshold:.3f})"
    )


def print_leaderboard(title: str, leaderboard: Leaderboard, verdict: str) -> None:
    """The benchmark's lines from the highest mean AUROC down; its pages show every column."""
    types = leaderboard.machine_types
    if in_terminal() and (len(types) > _TYPES_SHOWN or out.width < WIDE):
        types = []
    table = _table(title, "detector", *types, "mean AUROC [95 %]", "lead of ours [95 %]")
    for lines in leaderboard.groups.values():
        table.add_section()
        for line in lines:
            table.add_row(
                f"{line.title} (oracle)" if line.is_oracle else line.title,
                *(f"{line.result.types[name].value:.3f}" for name in types),
                str(line.result.mean),
                "" if line.lead is None else str(line.lead.mean),
            )
    print_table(table)
    if verdict:
        remark(verdict)


def _table(title: str, names: str, *numbers: str) -> Table:
    """A table of a column of names, which gives way on a narrow screen, and some of numbers."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column(names, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table
