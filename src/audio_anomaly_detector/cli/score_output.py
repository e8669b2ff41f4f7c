"""Scores as they come: rows for people and pipes, or a JSON list."""

import json
import textwrap
from types import TracebackType
from typing import TYPE_CHECKING, Self

from audio_anomaly_detector.cli.console import in_terminal, out
from audio_anomaly_detector.cli.tables import WIDE, Column, RunningTable
from audio_anomaly_detector.errors import ClipError

if TYPE_CHECKING:
    from audio_anomaly_detector.data.clips import Clip
    from audio_anomaly_detector.score import Score
    from audio_anomaly_detector.scoring.series import Evidence


_VERDICTS = {"normal": "normal", "anomalous": "ANOMALOUS", "unlike": "unlike"}
_LEVELS = {"none": "normal", "warning": "warning", "alarm": "ALARM"}


class ScoreRows:
    """A row for each clip: verdict, score, p-value, the families that are most unusual, remarks.

    A narrow terminal has the threshold at the end.

    Args:
        threshold: the decision threshold for clips of the usual length.
        series: show the evidence of a series, too.
    """

    def __init__(self, threshold: float, series: bool = False) -> None:
        self._threshold = f"{threshold:.2f}"
        self._in_terminal = in_terminal()
        self._narrow = self._in_terminal and out.width < WIDE
        columns = [
            Column("verdict", 9),
            Column("score", 6, is_number=True),
            Column("threshold", 9, is_number=True),
            Column("p-value", 8, is_number=True),
            Column("most unusual", 18 if self._narrow else 36),
        ]
        if self._narrow:
            del columns[2]
        if series:
            columns.append(Column("series", 17))
        if not self._in_terminal:
            columns.append(Column("remarks", 0))
        self._table = RunningTable("clip", columns)

    def __enter__(self) -> Self:
        """Begin; the header comes with the first row."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say the threshold, if there was no room for it."""
        if self._narrow and kind is None:
            out.print(f"threshold {self._threshold}")

    def add(
        self, clip: "Clip", outcome: "Score | ClipError", evidence: "Evidence | None" = None
    ) -> None:
        """Print the row of a clip."""
        said = [] if evidence is None else [_series(evidence)]
        if isinstance(outcome, ClipError):
            self._row([clip.name, "failed", "", "", "", "", *said], [outcome.reason])
            return
        shown = 1 if self._narrow else 2
        highest = sorted(outcome.families.items(), key=lambda item: -item[1])[:shown]
        cells = [
            clip.name,
            _verdict(outcome),
            f"{outcome.score:.2f}",
            f"{outcome.threshold:.2f}",
            outcome.p_shown,
            ", ".join(f"{name} {value:+.1f}" for name, value in highest),
            *said,
        ]
        self._row(cells, [*_worst(outcome), *outcome.remarks])

    def _row(self, cells: list[str], remarks: list[str]) -> None:
        if self._narrow:
            del cells[3]
        if not self._in_terminal:
            cells.append("; ".join(remarks))
        self._table.row(*cells, below=remarks)


def _verdict(score: "Score") -> str:
    """The verdict, or the level of an anomalous clip where there are two."""
    if score.verdict == "anomalous" and score.level is not None:
        return _LEVELS[score.level]
    return _VERDICTS[score.verdict]


def _series(evidence: "Evidence") -> str:
    counted = f"{evidence.anomalous} of {evidence.judged}"
    return f"PERSISTENT {counted}" if evidence.persistent else counted


def _worst(score: "Score") -> list[str]:
    """When a long recording is most unusual, unless it is normal."""
    worst = score.worst
    if worst is None or score.verdict == "normal":
        return []
    told = f"score {worst.score:.2f}"
    if worst.score > worst.threshold:
        told += f", above {worst.threshold:.2f}"
    return [f"most unusual from {worst.start:.0f} to {worst.end:.0f} s ({told})"]


class ScoreList:
    """A JSON list, an element for each clip; whole even if it ends early."""

    def __init__(self) -> None:
        self._count = 0

    def __enter__(self) -> Self:
        """Open the list."""
        print("[", end="", flush=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the list."""
        print("\n]" if self._count else "]")

    def add(
        self, clip: "Clip", outcome: "Score | ClipError", evidence: "Evidence | None" = None
    ) -> None:
        """Print an element: what `Score.to_dict` says, or the error."""
        facts = {"error": outcome.reason} if isinstance(outcome, ClipError) else outcome.to_dict()
        if evidence is not None:
            facts |= {"series": evidence._asdict()}
        element = json.dumps({"path": str(clip.path), **facts}, indent=2, allow_nan=False)
        print("," * (self._count > 0) + "\n" + textwrap.indent(element, "  "), end="", flush=True)
        self._count += 1
