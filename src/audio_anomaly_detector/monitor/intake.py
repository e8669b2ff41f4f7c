"""The hand-over of sound from the threads of sources to the one that scores."""

import threading
from collections import deque
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
    """Chunks that wait, bounded.

    Where scoring falls behind a live source, the oldest are given up and counted; a file that is
    read waits.

    Args:
        most_seconds: of each source that may wait.
    """

    def __init__(self, most_seconds: float = 30.0) -> None:
        self._most = most_seconds
        self._sources: dict[str, _Waiting] = {}
        self._changed = threading.Condition()
        self._closed = False

    def put(self, source: str, chunk: Chunk, live: bool) -> None:
        """Hand over a chunk; from any thread.

        Args:
            source: its name.
            chunk: next of its sound.
            live: it will not wait.
        """
        with self._changed:
            waiting = self._sources.setdefault(source, _Waiting())
            if not live:
                self._changed.wait_for(lambda: self._closed or waiting.seconds < self._most)
            # A stretch of which a part was given up is two.
            waiting.chunks.append(replace(chunk, stretch=chunk.stretch + waiting.breaks))
            waiting.seconds += chunk.end - chunk.at
            while live and waiting.seconds > self._most and len(waiting.chunks) > 1:
                given_up = waiting.chunks.popleft()
                waiting.seconds -= given_up.end - given_up.at
                waiting.overtaken_s += given_up.end - given_up.at
                waiting.breaks += 1
                waiting.chunks = deque(
                    replace(one, stretch=one.stretch + 1) for one in waiting.chunks
                )
            self._changed.notify_all()

    def take(self, timeout: float) -> list[tuple[str, Chunk]]:
        """What waits now, of every source in turn; waits for something to come.

        Args:
            timeout: seconds to wait at most.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: any(waiting.chunks for waiting in self._sources.values()), timeout
            )
            taken: list[tuple[str, Chunk]] = []
            for source, waiting in self._sources.items():
                taken += [(source, chunk) for chunk in waiting.chunks]
                waiting.chunks, waiting.seconds = deque(), 0.0
            self._changed.notify_all()
        return taken

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def overtaken_seconds(self) -> dict[str, float]:
        """Sound of each source that came faster than it could be scored, s."""
        with self._changed:
            return {name: waiting.overtaken_s for name, waiting in self._sources.items()}
