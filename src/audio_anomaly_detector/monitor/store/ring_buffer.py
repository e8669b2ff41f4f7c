"""The sound of the last seconds of a source, out of which the clip of an event is cut."""

from collections import deque
from typing import NamedTuple

import numpy as np

from audio_anomaly_detector.monitor.sound import Chunk, Samples

_MOST_PIECES = 256  # of a source that breaks off without end


class RingBuffer:
    """Recent sound; what it takes of memory is fixed. One thread may use it.

    Args:
        seconds: that are kept.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._rate = 0
        self._samples: Samples = np.zeros((0, 0), np.float32)  # (C, capacity), a ring
        self._end = 0  # samples that were ever put in
        self._pieces: deque[_Piece] = deque(maxlen=_MOST_PIECES)

    @property
    def end(self) -> float | None:
        """When the sample after the last one is heard, s since 1970 UTC; None: it is empty."""
        if not self._pieces:
            return None
        newest = self._pieces[-1]
        return newest.at + (self._end - newest.first) / self._rate

    def push(self, chunk: Chunk) -> None:
        """Add the newest sound; another rate or number of channels begins anew."""
        channels, length = chunk.samples.shape
        if (channels, chunk.sample_rate) != (len(self._samples), self._rate):
            capacity = max(round(self._seconds * chunk.sample_rate), 1)
            self._samples, self._rate = (
                np.zeros((channels, capacity), np.float32),
                chunk.sample_rate,
            )
            self._pieces.clear()
        if not self._pieces or self._pieces[-1].stretch != chunk.stretch:
            self._pieces.append(_Piece(chunk.stretch, chunk.at, self._end))
        capacity = self._samples.shape[1]
        kept = chunk.samples[:, -capacity:] if length > capacity else chunk.samples
        self._end += length
        places = np.arange(self._end - kept.shape[1], self._end) % capacity
        self._samples[:, places] = kept
        while len(self._pieces) > 1 and self._pieces[1].first <= self._end - capacity:
            self._pieces.popleft()

    def cut(self, moment: float, before_s: float, after_s: float) -> Chunk | None:
        """The sound around a moment, as far as it was heard without a gap and is still there.

        Args:
            moment: s since 1970 UTC.
            before_s: seconds before it.
            after_s: seconds after it.

        Returns:
            the sound; None: nothing was heard at that moment, or it is gone.
        """
        oldest = max(self._end - self._samples.shape[1], 0)
        end = self._end
        for piece in reversed(self._pieces):  # after the clock was set back the newest counts
            at = piece.first + (moment - piece.at) * self._rate
            first = max(piece.first, oldest)
            if first <= at <= end and first < end:
                start = max(round(at - before_s * self._rate), first)
                stop = min(round(at + after_s * self._rate), end)
                if start >= stop:
                    return None
                samples = self._samples[:, np.arange(start, stop) % self._samples.shape[1]]
                begins = piece.at + (start - piece.first) / self._rate
                return Chunk(samples, self._rate, piece.stretch, begins)
            end = piece.first
        return None


class _Piece(NamedTuple):
    """A stretch of sound in the buffer.

    Attributes:
        stretch: its number.
        at: when its first sample was heard, s since 1970 UTC.
        first: number of that sample among all that were ever put in.
    """

    stretch: int
    at: float
    first: int
