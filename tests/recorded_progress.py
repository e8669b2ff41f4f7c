"""Progress that keeps what it is told, for tests."""

from collections.abc import Mapping

from audio_anomaly_detector.progress import Epoch


class RecordedProgress:
    """Keeps every report."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []
        self.epochs: list[Epoch] = []

    def advance(self, what: str, done: int, total: int) -> None:
        self.steps.append((what, done, total))

    def epoch(self, epoch: Epoch, watched: Mapping[str, float]) -> None:
        self.epochs.append(epoch)
