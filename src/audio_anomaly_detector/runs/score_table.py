"""The table of scores that `aad score` and evaluation write."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.errors import ClipError
from audio_anomaly_detector.files import GrowingCsv
from audio_anomaly_detector.score import Score

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
    "worst_start",
    "worst_end",
    "worst_score",
    "remarks",
    "error",
)


class ScoreTable:
    """One line per clip, written as they come: the verdict and every component, or the error.

    Used as a context: left without an exception the table gets its name, otherwise the lines so
    far stay in `part`.

    Args:
        path: of the CSV file.
        components: names of the components, see `Scorer.components`.

    Raises:
        UserError: it cannot be written; here and with every line.
    """

    def __init__(self, path: Path, components: Sequence[str]) -> None:
        self._components = list(components)
        self._file = GrowingCsv(path, [*_COLUMNS, *components])
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

    def add(self, clip: Clip, outcome: Score | ClipError) -> None:
        """Write the line of a clip."""
        known = [clip.name, "" if clip.label is None else clip.label]
        if isinstance(outcome, ClipError):
            unknown = [""] * len(self._components)
            self._file.add([*known, *[""] * 11, outcome.reason, *unknown])
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
                *moment,
                "; ".join(outcome.remarks),
                "",
                *(_number(outcome.components[name]) for name in self._components),
            ]
        )


def _number(value: float) -> str:
    """Six digits: further ones depend on which clips were scored together."""
    return f"{value:.6g}"
