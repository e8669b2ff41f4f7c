"""What is wrong with samples, whatever they come from: a file or an array in memory.

Samples are given block by block, so that a long recording is checked while it is decoded.
"""

import math
from dataclasses import dataclass, field

import numpy as np

# A channel that varies less over a whole clip is constant: one step of 24 bits, and for floats,
# which may be in any unit, 16 steps of float32 at their own largest value.
_STILL = 2.0**-23
_STILL_FLOAT = 2.0**-20
_TINY = 2.0**-100  # below, float32 loses digits
# Where float32 statistics hold with a margin; beyond, the fourth power of a spectrum overflows.
LOUDEST = 2.0**17
# A sensor that drops out within a clip repeats one value exactly. 16 bits of the quietest room do
# not for so long; coders of 8 bits and lossy ones make zeros of what is merely quiet.
_FROZEN_S, _FROZEN_COARSE_S = 0.5, 1.0
_FINE = frozenset({"PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
# Of a channel whose samples seldom repeat, less than half of them, sound does not stand still for a
# fiftieth of a second: by chance one of 2^160 stretches at 8 kHz. Unless it was faded to silence,
# as gates do; then it is quiet beside the stretch, too.
_SHORT_S = 0.02
_MOST_REPEATED = 0.5
_BESIDE_S = 0.02
_LEAST_STEPS = 32
_LEAST_BESIDE = 0.25  # of the mean step from sample to sample in the whole clip
_MOST_NAMED = 3
# A converter or amplifier that is driven too far holds its largest value. Of sound the number of
# samples falls towards the largest one, of a sine it rises with the inverse square root of the
# distance; held samples are many times as many as either. At so many and this share they are named:
# of 212 normal and 160 faulty clips of 18 machines, 10 of them real, none had more than 2 samples
# or a share of 2.5e-5 at its largest value.
_LEAST_HELD, _LEAST_HELD_SHARE = 16, 1e-4
_HELD_WITHIN = 1e-4  # of the largest value
_NEAR = 0.1  # of the largest value, below it: where sound goes on to lower levels
_LEAST_LEVELS = 3  # there: of a few steps of the converter the largest is often reached
_OVER_SOUND, _OVER_SINE = 4.0, 0.7


class SignalError(Exception):
    """Samples that cannot be used.

    Args:
        problem: what is wrong.
        remedy: what to do.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem, self.remedy = problem, remedy


@dataclass
class _Run:
    """A stretch without change, in frames; `end` is behind it.

    Args:
        start: its first frame.
        end: behind it.
        value: that is held.
        beside: the smaller mean step from sample to sample, before it and behind it.
    """

    start: int
    end: int
    value: float
    beside: float


@dataclass
class _Held:
    """Samples at the largest value of a channel to one side, in the blocks that reach it.

    Args:
        peak: the largest value.
        step: the smallest difference of values there, as of the bits that they are kept with.
        count: samples that are held there.
        near: samples less than `_NEAR` below them.
    """

    peak: float = 0.0
    step: float = math.inf
    count: int = 0
    near: int = 0

    def add(self, samples: np.ndarray) -> None:
        """Take in the next samples, ``(n,)``, of which those above 0 count."""
        peak = float(samples.max())
        if peak <= 0 or peak < self.peak * (1 - _HELD_WITHIN):
            return
        if peak * (1 - _HELD_WITHIN) > self.peak:
            self.peak, self.step, self.count, self.near = peak, math.inf, 0, 0
        upper = samples[samples >= self.peak * (1 - _NEAR)]
        held = int(np.count_nonzero(upper >= self.peak * (1 - _HELD_WITHIN)))
        self.count += held
        self.near += len(upper) - held
        self.step = min(self.step, float(np.diff(np.unique(upper)).min(initial=math.inf)))

    def clipped(self, total: int, frozen: int) -> int:
        """How many samples are held, if more than those of any sound, else 0.

        Args:
            total: samples of the channel.
            frozen: of them held at this value in drop-outs.
        """
        held = self.count - frozen
        if held < max(_LEAST_HELD, _LEAST_HELD_SHARE * total):
            return 0
        step = max(_HELD_WITHIN, self.step / self.peak)
        if step > _NEAR / _LEAST_LEVELS:
            return 0
        usual = self.near * step / _NEAR
        return held if held > max(_OVER_SOUND, _OVER_SINE / math.sqrt(step)) * usual else 0


@dataclass
class SignalCheck:
    """Checks a waveform block by block.

    Args:
        channels: of the blocks.
        sample_rate: in Hz.
        subtype: sample format, as `AudioInfo.subtype`.
        first: frame of the file at which the waveform begins.
        other_unit: samples were scaled from a unit of their own, which has no full scale.
    """

    channels: int
    sample_rate: int
    subtype: str = "FLOAT"
    first: int = 0
    other_unit: bool = False
    _done: int = 0
    _low: np.ndarray = field(init=False)
    _high: np.ndarray = field(init=False)
    _runs: list[list[_Run]] = field(init=False)
    _past: np.ndarray = field(init=False)
    _held: list[tuple[_Held, _Held]] = field(init=False)
    _repeated: np.ndarray = field(init=False)
    _steps: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._low = np.full(self.channels, np.inf)
        self._high = np.full(self.channels, -np.inf)
        self._past = np.empty((0, self.channels), np.float32)
        self._runs = [[] for _ in range(self.channels)]
        self._held = [(_Held(), _Held()) for _ in range(self.channels)]
        self._repeated = np.zeros(self.channels, np.int64)
        self._steps = np.zeros(self.channels)

    @property
    def is_float(self) -> bool:
        """Whether samples may be in any unit."""
        return self.subtype in ("FLOAT", "DOUBLE")

    @property
    def _shortest(self) -> int:
        """Frames of a stretch that may be named."""
        return max(64, round((_SHORT_S if self._is_fine else _FROZEN_COARSE_S) * self.sample_rate))

    @property
    def _is_fine(self) -> bool:
        return self.subtype in _FINE

    def add(self, block: np.ndarray) -> None:
        """Check the next samples, ``(n, C)``.

        Raises:
            SignalError: a sample is no finite number, or absurdly large.
        """
        low, high = block.min(axis=0), block.max(axis=0)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
            seconds = (self.first + self._done + bad[0]) / self.sample_rate
            raise SignalError(
                f"holds a nan or infinite sample at {seconds:.3f} s",
                "record or convert it again, or delete it",
            )
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        for channel, (above, below) in enumerate(self._held):
            above.add(block[:, channel])
            below.add(-block[:, channel])
        self._note_stillness(block)
        self._done += len(block)

    def remarks(self) -> list[str]:
        """What is unusual about the whole waveform.

        Raises:
            SignalError: it is constant in every channel, or absurdly large.
        """
        remarks = []
        largest = np.maximum(np.abs(self._low), np.abs(self._high))  # (C,)
        peak = float(largest.max())
        if peak > LOUDEST:
            raise SignalError(
                f"has samples of {peak:.2g} times full scale",
                "convert it again with samples between -1 and 1, or fit with --set audio.scale",
            )
        if peak > 1 and self.is_float and not self.other_unit:
            remarks.append(f"samples reach {peak:.3g} times full scale; taken as they are")
        still = self.still()
        if still.all():
            raise SignalError(
                f"is silent: no sample differs from {self._low[0]:.3g}"
                + " in any channel" * (self.channels > 1),
                "check the microphone and cable, choose other --channels, or delete it",
            )
        if peak < _STILL:
            remarks.append(
                f"samples reach only {peak:.2g} of full scale (in physical units?); the detector "
                "takes them for silence unless it was fitted on such recordings"
            )
        if still.any():
            dead = ", ".join(str(channel) for channel in np.flatnonzero(still))
            remarks.append(f"channel {dead} does not move; check that microphone")
        clipped = self.clipped()
        if clipped:
            where = "" if len(clipped) == self.channels else f" in channel {_listed([*clipped])}"
            remarks.append(
                f"is clipped{where}: {max(clipped.values()):.2%} of the samples are held at the "
                "largest value"
            )
        return remarks + self._frozen(still)

    def still(self) -> np.ndarray:
        """Which channels are constant so far, ``(C,)``."""
        step = np.full(self.channels, _STILL)
        if self.is_float:
            largest = np.maximum(np.abs(self._low), np.abs(self._high))
            step = np.maximum(_STILL_FLOAT * largest, _TINY)
        return np.asarray(self._high - self._low < step)

    def clipped(self) -> dict[int, float]:
        """Channels whose largest samples are held, with the share of samples that are."""
        clipped = {}
        for channel in np.flatnonzero(~self.still()).tolist():
            drop_outs = [r for r in self._runs[channel] if self._is_drop_out(channel, r)]
            held = 0
            for side, sign in zip(self._held[channel], (1, -1), strict=True):
                at_peak = [r for r in drop_outs if sign * r.value >= side.peak > 0]
                held += side.clipped(self._done, sum(r.end - r.start for r in at_peak))
            if held:
                clipped[channel] = held / self._done
        return clipped

    def _note_stillness(self, block: np.ndarray) -> None:
        """Find stretches of one value.

        A stretch of the shortest length holds at least three of the points that are compared, so
        nearly all sound is passed over at a glance.
        """
        shortest = self._shortest
        stride = max(1, shortest // 4)
        points = block[::stride]
        same = points[1:] == points[:-1]  # (points - 1, C)
        suspects = np.flatnonzero((same[1:] & same[:-1]).any(axis=0))
        at_end = np.flatnonzero(block[-1] == block[-min(stride, len(block))])
        going_on = [c for c, runs in enumerate(self._runs) if runs and runs[-1].end == self._done]
        candidates = {*suspects.tolist(), *at_end.tolist(), *going_on}
        tail = min(stride, len(self._past))
        for channel in sorted(candidates):
            samples = np.concatenate([self._past[:, channel], block[:, channel]])
            self._note_runs(channel, samples, len(self._past) - tail, stride)
        if self._is_fine:
            steps = np.abs(np.diff(block, axis=0))
            self._repeated += len(steps) - np.count_nonzero(steps, axis=0)
            self._steps += steps.sum(axis=0, dtype=np.float64)
        kept = stride + self._beside
        self._past = np.concatenate([self._past, block[-kept:]])[-kept:]

    @property
    def _beside(self) -> int:
        """Frames beside a stretch that are looked at."""
        return round(_BESIDE_S * self.sample_rate)

    def _note_runs(self, channel: int, samples: np.ndarray, skip: int, stride: int) -> None:
        """Note the stretches of one channel that are long, or touch the end of the block.

        The samples are those of the block with the last ones before it, of which the first are
        skipped.
        """
        changes = skip + np.flatnonzero(samples[skip + 1 :] != samples[skip:-1]) + 1
        first = self._done - self._past.shape[0]
        bounds = np.concatenate([[skip], changes, [len(samples)]])
        behind = first + len(samples)
        runs = self._runs[channel]
        for place in np.flatnonzero(np.diff(bounds) >= stride).tolist():
            start, end = int(bounds[place]), int(bounds[place + 1])
            after = _mean_step(samples[end : end + self._beside])
            if runs and first + start < runs[-1].end:  # it is the same, which goes on
                runs[-1].end = first + end
                runs[-1].beside = min(runs[-1].beside, after)
            else:
                before = _mean_step(samples[max(0, start - self._beside) : start])
                value = float(samples[start])
                runs.append(_Run(first + start, first + end, value, min(before, after)))
        # What ended before it was long enough is forgotten.
        runs[:] = [r for r in runs if r.end - r.start >= self._shortest or r.end == behind]

    def _is_drop_out(self, channel: int, run: _Run) -> bool:
        """Whether a stretch is so long, or so abrupt, that sound is missing."""
        length = run.end - run.start
        if not self._is_fine or length >= round(_FROZEN_S * self.sample_rate):
            return length >= self._shortest
        if run.value in (self._low[channel], self._high[channel]):
            return False  # clipped
        usual = self._steps[channel] / self._done
        return (
            self._repeated[channel] - length < _MOST_REPEATED * (self._done - length)
            and _LEAST_BESIDE * usual <= run.beside < math.inf
        )

    def _frozen(self, still: np.ndarray) -> list[str]:
        """Name the stretches in which a channel that moves otherwise holds one value."""
        found: dict[tuple[int, int], list[int]] = {}
        for channel, runs in enumerate(self._runs):
            for run in runs:
                if not still[channel] and self._is_drop_out(channel, run):
                    found.setdefault((run.start, run.end), []).append(channel)
        remarks = []
        for (start, end), channels in sorted(found.items())[:_MOST_NAMED]:
            where = "" if len(channels) == self.channels else f" in channel {_listed(channels)}"
            at = (self.first + start) / self.sample_rate
            remarks.append(
                f"holds one value for {(end - start) / self.sample_rate:.2f} s from "
                f"{at:.2f} s{where}: a drop-out?"
            )
        if len(found) > _MOST_NAMED:
            total = sum(end - start for start, end in found) / self.sample_rate
            remarks.append(f"{len(found)} such stretches in all, {total:.2f} s together")
        return remarks


def _mean_step(samples: np.ndarray) -> float:
    """Mean step from sample to sample; infinite: too few samples to say."""
    if len(samples) < _LEAST_STEPS:
        return math.inf
    return float(np.abs(np.diff(samples)).mean())


def _listed(channels: list[int]) -> str:
    return ", ".join(map(str, channels))
