"""From chunks of sound, however long, to the windows that are scored."""

import io
from dataclasses import dataclass, replace

import numpy as np

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.sound import Chunk, Samples, Window


@dataclass(frozen=True)
class StreamState:
    """What of a source's sound is kept for its next windows; less than a window and a chunk.

    Args:
        pieces: of samples, each ``(C, n)``; joined when a window is whole, so that short chunks
            cost no copy of all that is kept.
        sample_rate: Hz; 0: nothing was heard yet.
        stretch: see `Chunk`.
        began: when the first sample of the stretch was heard, s since 1970 UTC.
        first: place in the stretch at which the next window begins.
        skip: samples to come that lie before it, where windows are further apart than long.
    """

    pieces: tuple[Samples, ...] = ()
    sample_rate: int = 0
    stretch: int = -1
    began: float = 0.0
    first: int = 0
    skip: int = 0

    def to_bytes(self) -> bytes:
        """Keep it; see `from_bytes`."""
        file = io.BytesIO()
        np.savez(
            file,
            pieces=np.concatenate(self.pieces, 1) if self.pieces else np.zeros((0, 0), np.float32),
            place=np.array([self.sample_rate, self.stretch, self.first, self.skip], np.int64),
            began=np.array(self.began),
        )
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "StreamState":
        """What `to_bytes` kept.

        Raises:
            UserError: it is something else.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as kept:
                pieces = kept["pieces"]
                rate, stretch, first, skip = kept["place"].tolist()
                began = float(kept["began"])
        except Exception as error:  # whatever altered bytes lead to
            raise UserError("the state of a stream is damaged; delete it to start anew") from error
        return cls((pieces,) if pieces.size else (), rate, stretch, began, first, skip)


def advance(
    state: StreamState, chunk: Chunk, seconds: float, hop: float
) -> tuple[StreamState, list[Window]]:
    """Take in a chunk; the windows are the same however the sound is divided into chunks.

    Args:
        state: after the chunk before.
        chunk: the next samples.
        seconds: length of a window.
        hop: from the start of a window to that of the next, s.

    Returns:
        The state after the chunk, and the windows that it completes.

    Raises:
        ValueError: a window or hop of less than a sample.
    """
    rate = chunk.sample_rate
    length, step = round(seconds * rate), round(hop * rate)
    if length < 1 or step < 1:
        raise ValueError(f"windows of {seconds} s every {hop} s have no samples at {rate} Hz")
    if not _goes_on(state, chunk):
        state = StreamState((), rate, chunk.stretch, chunk.at, 0)
    skipped = min(state.skip, chunk.samples.shape[1])
    fresh = chunk.samples[:, skipped:]
    pieces = (*state.pieces, fresh) if fresh.shape[1] else state.pieces
    count = sum(piece.shape[1] for piece in pieces)
    if count < length:
        return replace(state, pieces=pieces, skip=state.skip - skipped), []
    joined = np.concatenate(pieces, 1)
    windows, start = [], 0
    while start + length <= count:
        at = state.began + (state.first + start) / rate
        samples = joined[:, start : start + length].copy()
        windows.append(Window(samples, rate, chunk.stretch, at))
        start += step
    rest = joined[:, start:].copy()
    kept = (rest,) if rest.shape[1] else ()
    skip = max(0, start - count)
    return replace(state, pieces=kept, first=state.first + start, skip=skip), windows


def _goes_on(state: StreamState, chunk: Chunk) -> bool:
    """Whether a chunk belongs to what is kept."""
    same = (state.stretch, state.sample_rate) == (chunk.stretch, chunk.sample_rate)
    return same and all(len(piece) == len(chunk.samples) for piece in state.pieces[:1])
