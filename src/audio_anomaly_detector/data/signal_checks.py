"""What is wrong with samples, whatever they come from: a file or an array in memory.

Samples are given block by block, so that a long recording is checked while it is decoded.
"""

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
_MOST_NAMED = 3


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
    """A stretch without change, in frames; `end` is behind it."""

    start: int
    end: int


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
    _tail: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._low = np.full(self.channels, np.inf)
        self._high = np.full(self.channels, -np.inf)
        self._tail = np.empty((0, self.channels), np.float32)
        self._runs = [[] for _ in range(self.channels)]

    @property
    def is_float(self) -> bool:
        """Whether samples may be in any unit."""
        return self.subtype in ("FLOAT", "DOUBLE")

    @property
    def _shortest(self) -> int:
        """Frames of a stretch that is named."""
        seconds = _FROZEN_S if self.subtype in _FINE else _FROZEN_COARSE_S
        return max(64, round(seconds * self.sample_rate))

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
        step = np.full(self.channels, _STILL)
        if self.is_float:
            step = np.maximum(_STILL_FLOAT * largest, _TINY)
        still = self._high - self._low < step
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
        return remarks + self._frozen(still)

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
        for channel in sorted(candidates):
            samples = np.concatenate([self._tail[:, channel], block[:, channel]])
            self._note_runs(channel, samples, stride)
        self._tail = block[-stride:].copy()

    def _note_runs(self, channel: int, samples: np.ndarray, stride: int) -> None:
        """Note the stretches of one channel that are long, or touch the end of the block.

        The samples are those of the block with the last ones before it.
        """
        changes = np.flatnonzero(samples[1:] != samples[:-1]) + 1
        first = self._done - len(self._tail)
        starts = first + np.concatenate([[0], changes])
        ends = first + np.concatenate([changes, [len(samples)]])
        behind = first + len(samples)
        long = ends - starts >= stride
        runs = self._runs[channel]
        for start, end in zip(starts[long].tolist(), ends[long].tolist(), strict=True):
            if runs and start < runs[-1].end:  # it is the same, which goes on
                runs[-1].end = end
            else:
                runs.append(_Run(start, end))
        # What ended before it was long enough is forgotten.
        runs[:] = [r for r in runs if r.end - r.start >= self._shortest or r.end == behind]

    def _frozen(self, still: np.ndarray) -> list[str]:
        """Name the stretches in which a channel that moves otherwise holds one value."""
        found: dict[tuple[int, int], list[int]] = {}
        for channel, runs in enumerate(self._runs):
            for run in runs:
                if run.end - run.start >= self._shortest and not still[channel]:
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


def _listed(channels: list[int]) -> str:
    return ", ".join(map(str, channels))
