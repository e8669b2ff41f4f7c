"""Slow changes: another gain of the recording, and sound that leaves the first baseline.

Normal scores differ from day to day more than the hours of the learning period can tell. So the
days after it are the reference: a change is looked for in the medians of the days, by the
cumulative sum of Page ("Continuous inspection schemes", Biometrika, 1954). The detectors of the
library river were measured, too: importing them takes 120 MB and some seconds, and their state
cannot be kept as plain data.
"""

from dataclasses import asdict, dataclass, replace
from statistics import fmean, median, variance
from typing import Any, Literal

from audio_anomaly_detector.errors import UserError

# Seconds between two observations.
EVERY_S = 300.0
_DAY_S = 86_400
# Observations of a day: an hour of sound at least, to be more than chance.
_LEAST_OF_DAY = 12
# On 4000 months each of machines without a change (hourly medians independent; correlated by 0.5
# with days that differ by half their deviation; by 0.7 with days that differ by all of it) a sum of
# 11 is exceeded in 0.0, 0.3 and 1.0 % of 30 days. A ramp of 0.2 deviations of the hours a day is
# found after 11, 12 and 17 days, a step of 3 deviations after 4, 4 and 7.
_REFERENCE_DAYS = 7
_ALLOWANCE, _LIMIT = 1.0, 11.0
_LEAST_DEVIATION = 0.5
_FURTHEST = 4.0
# A gain is named from 2 dB on, so that one of 3 dB is in spite of the normal variation of a decibel
# from clip to clip, and no longer below 1 dB. By the median of so many observations.
_GAIN_FROM_DB, _GAIN_UNTIL_DB = 2.0, 1.0
_GAIN_OF = 5


@dataclass(frozen=True)
class Notice:
    """Something that lasts and is no fault of the machine by itself.

    Args:
        kind: as `Event.kind`.
        since: when it was found, s since 1970 UTC.
        words: what it is, a sentence.
    """

    kind: Literal["gain", "drift", "damaged", "undelivered"]
    since: float
    words: str


@dataclass(frozen=True)
class DriftState:
    """What is kept from observation to observation; bounded, plain data.

    Args:
        day: number of the present day since 1970 UTC.
        scores: of the present day, in deviations of the normals between hours.
        reference: medians of the first days.
        total: the cumulative sum.
        drifting_since: when the sum reached its limit; None: it has not.
        gains: the last ones, dB.
        gain_since: when another gain was found; None: the gain is as learned.
    """

    day: int = -1
    scores: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()
    total: float = 0.0
    drifting_since: float | None = None
    gains: tuple[float, ...] = ()
    gain_since: float | None = None

    @property
    def notices(self) -> list[Notice]:
        """What lasts now."""
        found = []
        if self.gain_since is not None:
            gain = median(self.gains)
            louder = "louder" if gain > 0 else "quieter"
            found.append(
                Notice(
                    "gain",
                    self.gain_since,
                    f"everything is recorded {abs(gain):.1f} dB {louder} than when it was learned, "
                    "at all frequencies alike: was a gain or a microphone changed?",
                )
            )
        if self.drifting_since is not None:
            found.append(
                Notice(
                    "drift",
                    self.drifting_since,
                    "for days its sound has been moving away from the first baseline: wear, or "
                    "another way of use; after maintenance learn it anew",
                )
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "DriftState":
        """What `to_dict` gave.

        Raises:
            UserError: it is something else.
        """
        try:
            parts: dict[str, Any] = {
                name: tuple(part) if isinstance(part, list) else part
                for name, part in content.items()
            }
            return cls(**parts)
        except TypeError as error:
            raise UserError(f"what is kept of slow changes is damaged ({error})") from error


def observe_score(state: DriftState, at: float, score: float) -> DriftState:
    """Take in how a window compares with the first baseline.

    Args:
        state: after the observation before.
        at: time of the window, s since 1970 UTC; one of the day before counts for the present
            one, so that a clock that is set back repeats no day.
        score: by the baseline, less the mean of its normal scores, in deviations of these.
    """
    day = int(at // _DAY_S)
    if state.day - 1 <= day <= state.day:
        most = round(_DAY_S / EVERY_S)
        return replace(state, scores=(*state.scores, score)[-most:])
    if len(state.scores) >= _LEAST_OF_DAY:
        state = _after_day(state, median(state.scores), at)
    return replace(state, day=day, scores=(score,))


def observe_gain(state: DriftState, at: float, gain: float | None) -> DriftState:
    """Take in by how much a window is recorded louder than when it was learned.

    Args:
        state: after the observation before.
        at: time of the window, s since 1970 UTC.
        gain: dB; None: the window differs otherwise, which says nothing of the gain.
    """
    if gain is None:
        return state
    gains = (*state.gains, gain)[-_GAIN_OF:]
    since = state.gain_since
    if len(gains) == _GAIN_OF:
        least = _GAIN_FROM_DB if since is None else _GAIN_UNTIL_DB
        if abs(median(gains)) < least:
            since = None
        elif since is None:
            since = at
    return replace(state, gains=gains, gain_since=since)


def _after_day(state: DriftState, of_day: float, at: float) -> DriftState:
    if len(state.reference) < _REFERENCE_DAYS:
        return replace(state, reference=(*state.reference, of_day))
    days = state.reference
    # Of another day against a mean that is known from a few.
    deviation = max(_LEAST_DEVIATION, (variance(days) * (1 + 1 / len(days))) ** 0.5)
    standard = min(_FURTHEST, max(-_FURTHEST, (of_day - fmean(days)) / deviation))
    # Held near the limit, so that the notice ends some days after the change does.
    total = min(2 * _LIMIT, max(0.0, state.total + standard - _ALLOWANCE))
    since = state.drifting_since
    if total > _LIMIT and since is None:
        since = at
    elif total == 0.0:
        since = None
    return replace(state, total=total, drifting_since=since)
