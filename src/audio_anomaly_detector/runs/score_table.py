"""The table of scores that `aad score` and evaluation write."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.errors import ClipError
from audio_anomaly_detector.files import GrowingCsv
from audio_anomaly_detector.score import Score
from audio_anomaly_detector.scoring.series import Evidence

_COLUMNS = (
    "path",
    "label",
    "score",
    "p_value",
    "p_resolution",
    "p_recording",
    "is_anomalous",
    "recorded_differently",
    "threshold",
    "level",
    "alarm_threshold",
    "worst_start",
    "worst_end",
    "worst_score",
    "remarks",
    "error",
)
_OF_SERIES = ("series_anomalous", "series_judged", "series_persistent")


class ScoreTable:
    """One line per clip, written as they come: the verdict and every component, or the error.

    Used as a context: left without an exception the table gets its name, otherwise the lines so
    far stay in `part`.

    Args:
        path: of the CSV file.
        components: names of the components, see `Scorer.components`.
        series: with columns for the evidence of a series.

    Raises:
        UserError: it cannot be written; here and with every line.
    """

    def __init__(self, path: Path, components: Sequence[str], series: bool = False) -> None:
        self._components = list(components)
        of_series = _OF_SERIES if series else ()
        self._file = GrowingCsv(path, [*_COLUMNS, *of_series, *components])
        self.part = self._file.part

    def __enter__(self) -> Self:
        """The table itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the table if all went well."""
        if kind is None:
            self._file.finish()

    def add(self, clip: Clip, outcome: Score | ClipError, evidence: Evidence | None = None) -> None:
        """Write the line of a clip."""
        of_series = [] if evidence is None else [int(value) for value in evidence]
        known = [clip.name, "" if clip.label is None else clip.label]
        if isinstance(outcome, ClipError):
            unknown = [""] * len(self._components)
            empty = [""] * (len(_COLUMNS) - len(known) - 1)
            self._file.add([*known, *empty, outcome.reason, *of_series, *unknown])
            return
        worst = outcome.worst
        moment = ["", "", ""]
        if worst is not None:
            moment = [_number(worst.start), _number(worst.end), _number(worst.score)]
        self._file.add(
            [
                *known,
                _number(outcome.score),
                _number(outcome.p_value),
                _number(outcome.p_resolution),
                "" if outcome.p_recording is None else _number(outcome.p_recording),
                int(outcome.is_anomalous),
                int(outcome.recorded_differently),
                _number(outcome.threshold),
                outcome.level or "",
                "" if outcome.alarm_threshold is None else _number(outcome.alarm_threshold),
                *moment,
                "; ".join(outcome.remarks),
                "",
                *of_series,
                *(_number(outcome.components[name]) for name in self._components),
            ]
        )


def _number(value: float) -> str:
    """Six digits: further ones depend on which clips were scored together."""
    return f"{value:.6g}"
