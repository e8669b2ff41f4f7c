"""When the samples of a live source were heard, what was lost between them, and at what rate.

A sample counter alone does not notice what is missing, a clock alone takes late sound for lost
sound. Here the *lag*, the clock minus the time counted by samples, is compared with the smallest
lag of the last seconds. Sound that was merely late (a stalled network, a busy processor) is
followed by a burst that brings the lag down again; a gap is not. So sound behind a pause is held
back until that has shown, and no window of sound reaches over a gap.

Sound cards are 0.01 to 0.1 % off the clock, which moves the lag slowly: that is no loss.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from audio_anomaly_detector.monitor.sound import Chunk, Samples

# Gaps from here on are found one by one. Blocks of most sources are below a tenth of a second; of
# longer ones, such as payloads, nearly a whole one must be missing.
_GAP_S = 0.25
_GAP_BLOCKS = 0.75
# So long sound behind a pause is held back: a burst of late sound arrives within milliseconds.
_CONFIRM_S = 1.0
# After connecting, until a burst of what a server had stored is over.
_SETTLE_S = 0.5
# More sound than that is not held back.
_MOST_HELD_S = 30.0
# Time counted by samples may be so far from the clock; beyond, a new stretch begins. A card that
# is 0.01 % off needs 5.5 hours for it.
_OFF_S = 2.0
# The smallest lag is taken over this long and as long again.
_FLOOR_S = 10.0
# Clocks of cards differ by 0.1 % at most (see the module); beyond the double of it sound is lost.
_CLOCK_TOLERANCE = 0.002
# A wrong rate is off by the same factor in each of so many periods. The rates in use that are
# nearest to each other, 44.1 and 48 kHz, differ by 8 %; lost sound makes factors that vary.
_RATE_S = 5.0
_RATE_PERIODS = 3
_RATE_OFF = 0.04
_RATE_STEADY = 0.02


class _Placed(NamedTuple):
    """Samples and the number of the first, counted from the start with those that were lost."""

    samples: Samples
    position: int


@dataclass
class Timeline:
    """One connection to a live source; see the module.

    Args:
        rate: samples a second that the source says it brings.
        stretch: number of the first stretch.
        before: when the sound of the connection before ended, by the clock that only passes.

    Attributes:
        absent_s: seconds between that and the first sample.
        lost_s: seconds that were lost since then.
        wrong_rate: the steady factor by which too many or too few samples come; None: they do not.
    """

    rate: int
    stretch: int
    before: float
    absent_s: float = 0.0
    lost_s: float = 0.0
    wrong_rate: float | None = None
    _samples: int = 0
    _position: int = 0  # of the next sample
    _anchor: float = 0.0  # when position 0 was heard, by the clock that only passes
    _anchored: float = 0.0  # when that was last set
    _offset: float = 0.0  # from the clock that only passes to the time of day, in this stretch
    _now: float = 0.0
    _clock_s: float = 0.0  # by which the card's clock was found to be slow
    _floors: tuple[float, float] = (math.inf, math.inf)
    _floor_since: float = 0.0
    _held: list[_Placed] = field(default_factory=list)
    _held_since: float | None = None
    _settled: bool = False
    _least: float = math.inf  # lag while sound is held back
    _rate_since: tuple[float, int] = (0.0, 0)
    _factors: deque[float] = field(default_factory=lambda: deque(maxlen=_RATE_PERIODS))

    @property
    def heard_s(self) -> float:
        """Seconds that were heard, by the clock and not by the card."""
        return self._samples / self.rate + self._clock_s + self._drift

    @property
    def has_begun(self) -> bool:
        """Whether sound came."""
        return self._samples > 0

    @property
    def ends(self) -> float:
        """When the last sample was heard, by the clock that only passes."""
        if not self._samples:
            return self.before
        return self._anchor + self._position / self.rate + self._drift

    def receive(self, samples: Samples, lost: int, wall: float, monotonic: float) -> list[Chunk]:
        """Take in what a read brought.

        Args:
            samples: ``(C, T)``, T > 0.
            lost: samples known to be lost before them.
            wall: time of day, s since 1970 UTC.
            monotonic: time that only passes, s.

        Returns:
            What can be passed on, in order.
        """
        self._now, seconds = monotonic, samples.shape[1] / self.rate
        ready: list[Chunk] = []
        if not self._samples:
            self._anchor = self._anchored = monotonic - seconds
            self._offset = wall - monotonic
            self._held_since, self._rate_since = monotonic, (monotonic, samples.shape[1])
        elif lost:
            ready = self._let_go() if self._settled else self._settle()
            self._position += lost
            self.lost_s += lost / self.rate
            self.stretch += 1
        placed = _Placed(samples, self._position)
        self._position += samples.shape[1]
        self._samples += samples.shape[1]
        self._measure_rate()
        lag = monotonic - self._anchor - self._position / self.rate
        gap_s = max(_GAP_S, _GAP_BLOCKS * seconds)
        late = self._settled and lag > min(self._floors) + gap_s
        if self._held_since is None and not late:
            self._note_floor(lag)
            self._follow_clock(wall)
            return [*ready, self._chunk(placed)]
        if self._held_since is None:
            self._held_since, self._least = monotonic, math.inf
        self._held.append(placed)
        self._least = min(self._least, lag)
        if not self._settled:
            done = monotonic - self._held_since >= _SETTLE_S or self._is_full()
            return [*ready, *(self._settle() if done else [])]
        if not late:
            self._note_floor(lag)
            return [*ready, *self._let_go()]
        if self._is_full():
            self.stretch += 1
            return [*ready, *self._let_go()]
        if monotonic - self._held_since >= _CONFIRM_S:
            return [*ready, *self._confirm_gap()]
        return ready

    def end(self) -> list[Chunk]:
        """The connection is over: what was held back."""
        return self._let_go() if self._settled else self._settle()

    @property
    def _drift(self) -> float:
        """By how much the card's clock is slow since the anchor was set, s."""
        floor = min(self._floors)
        most = _CLOCK_TOLERANCE * (self._now - self._anchored)
        return floor if abs(floor) <= most else 0.0

    def _is_full(self) -> bool:
        return sum(placed.samples.shape[1] for placed in self._held) > _MOST_HELD_S * self.rate

    def _settle(self) -> list[Chunk]:
        """Place the first sound: what came at once had been stored, and is as much older."""
        self._settled = True
        if self._held:
            self._anchor += self._least
            self._floors, self._floor_since = (0.0, math.inf), self._now
            self._anchored = self._now
            self._rate_since = (self._now, self._samples)
            self.absent_s = max(0.0, self._anchor - self.before)
        return self._let_go()

    def _confirm_gap(self) -> list[Chunk]:
        """Sound before what is held back was lost, not late."""
        gap = round((self._least - min(self._floors)) * self.rate)
        self.lost_s += gap / self.rate
        self._held = [placed._replace(position=placed.position + gap) for placed in self._held]
        self._position += gap
        self.stretch += 1
        return self._let_go()

    def _let_go(self) -> list[Chunk]:
        chunks = [self._chunk(placed) for placed in self._held]
        self._held, self._held_since, self._least = [], None, math.inf
        return chunks

    def _chunk(self, placed: _Placed) -> Chunk:
        at = self._offset + self._anchor + placed.position / self.rate
        return Chunk(placed.samples, self.rate, self.stretch, at)

    def _note_floor(self, lag: float) -> None:
        if self._now - self._floor_since >= _FLOOR_S:
            self._floors, self._floor_since = (lag, self._floors[0]), self._now
        else:
            self._floors = (min(self._floors[0], lag), self._floors[1])

    def _follow_clock(self, wall: float) -> None:
        """Begin a new stretch if the time counted by samples has become wrong.

        The card's clock is off, small losses have added up, or the clock of the computer was set.
        """
        floor = min(self._floors)
        offset = wall - self._now
        if max(abs(floor), abs(offset - self._offset)) <= _OFF_S:
            return
        drift = self._drift
        self._clock_s += drift
        # What is beyond a card's inaccuracy was lost, or had been taken for lost and was late.
        self.lost_s = max(0.0, self.lost_s + floor - drift)
        self._anchor += floor
        self._anchored, self._offset = self._now, offset
        self._floors = (0.0, math.inf)
        self._floor_since = self._now
        self.stretch += 1

    def _measure_rate(self) -> None:
        since, samples = self._rate_since
        if not self._settled or self._now - since < _RATE_S:
            return
        factor = (self._samples - samples) / self.rate / (self._now - since)
        self._rate_since = (self._now, self._samples)
        self._factors.append(factor)
        low, high = min(self._factors), max(self._factors)
        middle = (low + high) / 2
        steady = len(self._factors) == _RATE_PERIODS and high - low <= _RATE_STEADY * middle
        if abs(factor - 1) < _RATE_OFF:
            self.wrong_rate = None
        elif steady:
            self.wrong_rate = middle
