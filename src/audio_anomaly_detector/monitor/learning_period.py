"""The learning period: what is kept as normal sound, when it is fitted, when it is over."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.fitting import LEAST_WINDOWS
from audio_anomaly_detector.monitor.machine_config import MachineConfig
from audio_anomaly_detector.monitor.verdict import MachineState

Phase = Literal["learning", "usable", "full"]

# Once machines are judged, ten pieces an hour: as many of each of the 24 hours of a day as are kept
# by default. Of a machine that is off fewer, which only have to show how that sounds.
_EVERY_S, _OFF_EVERY_S = 360.0, 1800.0
# Sound far from what was learned may be a new way of running. So much of it, half an hour, is
# learned from at once in the learning period.
_UNLIKE_EVERY_S, _UNLIKE = 60.0, 30
# Different hours that a learning period has at least, of a machine that seldom runs.
_LEAST_HOURS = 6

# A piece that is as much earlier than the last one: the clock was wrong and has been set.
_CLOCK_S = 86_400.0

_REASONS = {
    "speech": "with speech or music over the machine",
    "repeated": "that repeat others exactly",
    "silence": "of silence",
    "recording": "with faults of the recording, such as clipping",
    "between": "in which the machine starts or stops",
}


@dataclass(frozen=True)
class Learning:
    """How far the learning of a machine is; plain data.

    Args:
        began: when the first piece was heard, s since 1970 UTC; None: there is none.
        kept_until: end of the last piece.
        fresh: pieces since the last fit.
        unlike: those of them far from what was learned.
        fitted_hours: different hours of which the last fit had pieces; 0: there was none.
        over: the learning period is over.
        failed: the last fit made no version.
        asked: a fit was asked for, as what some normals were is now known otherwise.
        refused: windows that were not kept, by reason.
        words: of the last fit, or of the model that somebody gave, a sentence each.
        given: SHA-256 of the file of that model, the last one; None: none was given.
    """

    began: float | None = None
    kept_until: float = -math.inf
    fresh: int = 0
    unlike: int = 0
    fitted_hours: int = 0
    over: bool = False
    failed: bool = False
    asked: bool = False
    refused: dict[str, int] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    given: str | None = None

    def phase(self, has_version: bool) -> Phase:
        """Where it stands."""
        if not has_version:
            return "learning"
        return "full" if self.over else "usable"

    def wants(self, at: float, state: MachineState, is_unlike: bool) -> bool:
        """Whether a window is to be kept as normal.

        Args:
            at: when it begins, s since 1970 UTC.
            state: what the machine is doing.
            is_unlike: it is at the level of alarms.
            has_version: the machine is judged.
        """
        if self.over or self.kept_until - _CLOCK_S < at < self.kept_until:
            return False
        if at < self.kept_until:
            return True
        if self.fitted_hours == 0:
            return True
        every = _OFF_EVERY_S if state == "off" else _EVERY_S
        if is_unlike:
            every = _UNLIKE_EVERY_S
        return at >= self.kept_until + every

    def kept(self, at: float, end: float, is_unlike: bool) -> "Learning":
        """After a window was kept."""
        return replace(
            self,
            began=at if self.began is None else min(at, self.began),
            kept_until=end,
            fresh=self.fresh + 1,
            unlike=self.unlike + is_unlike,
        )

    def refuse(self, reason: str, count: int = 1) -> "Learning":
        """After windows were refused."""
        if self.over or count == 0:
            return self
        return replace(self, refused={**self.refused, reason: self.refused.get(reason, 0) + count})

    def is_due(
        self, pieces: int, hours: int, at: float, settings: MachineConfig, seconds: float
    ) -> bool:
        """Whether it is time for a fit.

        Args:
            pieces: of normal sound that there are.
            hours: different hours that they are of.
            at: the present time, s since 1970 UTC.
            settings: of the machine.
            seconds: of a piece.
        """
        if self.asked:
            return pieces >= LEAST_WINDOWS
        if self.over or self.fresh == 0 or (self.failed and self.fresh < LEAST_WINDOWS):
            return False
        if self.fitted_hours == 0:
            return pieces >= first_pieces(settings, seconds)
        return (
            hours >= 2 * self.fitted_hours
            or self.unlike >= _UNLIKE
            or self.ends(hours, at, settings)
        )

    def ends(self, hours: int, at: float, settings: MachineConfig) -> bool:
        """Whether the next fit ends the learning period; arguments as for `is_due`."""
        least = min(_LEAST_HOURS, math.ceil(settings.learning_hours / 2))
        passed = 0.0 if self.began is None else at - self.began
        return passed >= 3600 * settings.learning_hours and hours >= least

    def fitted(self, hours: int, words: tuple[str, ...], over: bool, failed: bool) -> "Learning":
        """After a fit.

        Args:
            hours: different hours of which it had pieces.
            words: what became of it.
            over: the learning period is over.
            failed: it made no version.
        """
        return replace(
            self,
            fresh=0,
            unlike=0,
            fitted_hours=self.fitted_hours if failed else hours,
            words=words,
            over=self.over or over,
            failed=failed,
            asked=False,
        )

    def notes(
        self, pieces: int, has_version: bool, settings: MachineConfig, seconds: float
    ) -> list[str]:
        """What to know of it, a sentence each; arguments as for `is_due`."""
        found = []
        if self.fitted_hours == 0 and not self.over:
            of = first_pieces(settings, seconds)
            share = f"{min(pieces, of)} of {of} pieces of normal sound"
            until = ", judged by the earlier model until then" if has_version else ""
            found.append(f"learning: {share}{until}; the machine should run normally now")
        elif not self.over:
            found.append(
                f"judged after {self.fitted_hours} hour(s) of learning: p-values are coarse until "
                "the learning period is over"
            )
        left_out = [
            f"{count} {_REASONS[reason]}" for reason, count in self.refused.items() if count
        ]
        if left_out:
            found.append(f"windows not learned from: {', '.join(left_out)}")
        return [*found, *self.words]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "kept_until": None if self.began is None else self.kept_until}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Learning":
        """What `to_dict` gave.

        Raises:
            UserError: it is something else.
        """
        try:
            kept = content["kept_until"]
            parts = {
                **content,
                "words": tuple(content["words"]),
                "kept_until": -math.inf if kept is None else kept,
            }
            return cls(**parts)
        except (TypeError, KeyError) as error:
            raise UserError(f"what is kept of the learning period is damaged ({error})") from error


def first_pieces(settings: MachineConfig, seconds: float) -> int:
    """Pieces of normal sound, of so many seconds each, before the first fit."""
    return math.ceil(60 * settings.usable_minutes / seconds)
