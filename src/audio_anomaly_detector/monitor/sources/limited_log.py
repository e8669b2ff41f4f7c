"""Log lines that a broken source cannot flood the log with."""

import logging
from dataclasses import dataclass, field

from audio_anomaly_detector.errors import one_line, without_passwords

_EVERY_S = 60.0


@dataclass
class LimitedLog:
    """At most one line a minute of each kind; how many were left out is told with the next.

    Args:
        log: where to.
        name: of the source, at the start of each line.
    """

    log: logging.Logger
    name: str
    _last: dict[str, float] = field(default_factory=dict)
    _left_out: dict[str, int] = field(default_factory=dict)

    def warn(self, kind: str, text: object, monotonic: float) -> None:
        """Log a line of a kind, of which there are few, without passwords.

        Args:
            kind: of line.
            text: what happened.
            monotonic: time that only passes, s.
        """
        last = self._last.get(kind)
        if last is not None and monotonic - last < _EVERY_S:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._last[kind] = monotonic
        count = self._left_out.pop(kind, 0)
        more = f" ({count} more such lines were left out)" if count else ""
        line = without_passwords(one_line(text))
        self.log.warning("%s: %s%s", one_line(self.name), line, more)
