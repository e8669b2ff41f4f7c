"""The hand-over of sound from the threads of sources to the one that scores."""

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from audio_anomaly_detector.monitor.sound import Chunk


@dataclass
class _Waiting:
    """What of one source waits to be scored."""

    chunks: deque[Chunk] = field(default_factory=deque)
    seconds: float = 0.0
    overtaken_s: float = 0.0
    breaks: int = 0


class Intake:
    """Chunks that wait, bounded: where scoring falls behind, the oldest are given up and counted.

    Args:
        most_seconds: of each source that may wait.
    """

    def __init__(self, most_seconds: float = 30.0) -> None:
        self._most = most_seconds
        self._sources: dict[str, _Waiting] = {}
        self._changed = threading.Condition()

    def put(self, source: str, chunk: Chunk) -> None:
        """Hand over a chunk; from any thread."""
        with self._changed:
            waiting = self._sources.setdefault(source, _Waiting())
            # A stretch of which a part was given up is two.
            waiting.chunks.append(replace(chunk, stretch=chunk.stretch + waiting.breaks))
            waiting.seconds += chunk.end - chunk.at
            while waiting.seconds > self._most and len(waiting.chunks) > 1:
                given_up = waiting.chunks.popleft()
                waiting.seconds -= given_up.end - given_up.at
                waiting.overtaken_s += given_up.end - given_up.at
                waiting.breaks += 1
                waiting.chunks = deque(
                    replace(one, stretch=one.stretch + 1) for one in waiting.chunks
                )
            self._changed.notify()

    def take(self, timeout: float) -> Iterator[tuple[str, Chunk]]:
        """What waits now, of every source in turn; waits for something to come.

        Args:
            timeout: seconds to wait at most.
        """
        with self._changed:
            if not any(waiting.chunks for waiting in self._sources.values()):
                self._changed.wait(timeout)
            taken = []
            for source, waiting in self._sources.items():
                taken += [(source, chunk) for chunk in waiting.chunks]
                waiting.chunks, waiting.seconds = deque(), 0.0
        yield from taken

    def overtaken_seconds(self) -> dict[str, float]:
        """Sound of each source that came faster than it could be scored, s."""
        with self._changed:
            return {name: waiting.overtaken_s for name, waiting in self._sources.items()}
