"""How long work reports on itself: one protocol for all rooms."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol


class Epoch(NamedTuple):
    """Result of one training epoch.

    Attributes:
        stage: name of the training stage.
        epoch: counted from 1.
        learning_rate: of the epoch's last optimiser step.
        losses: mean of each loss term.
    """

    stage: str
    epoch: int
    learning_rate: float
    losses: dict[str, float]


class Progress(Protocol):
    """Receives reports on work that takes a while."""

    def advance(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` steps of ``what`` are finished; called often."""

    def epoch(self, epoch: Epoch, watched: Mapping[str, float]) -> None:
        """One epoch of the networks that are kept is over.

        Args:
            epoch: its losses.
            watched: metrics on labelled test clips, where they are watched; empty otherwise.
        """


class Silent:
    """Progress that is shown to nobody."""

    def advance(self, what: str, done: int, total: int) -> None:
        """Ignore it."""

    def epoch(self, epoch: Epoch, watched: Mapping[str, float]) -> None:
        """Ignore it."""


SILENT = Silent()


def without_epochs(progress: Progress) -> Progress:
    """The same progress for networks that are not kept, whose epochs interest nobody."""
    return _WithoutEpochs(progress)


class _WithoutEpochs(Silent):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def advance(self, what: str, done: int, total: int) -> None:
        self._progress.advance(what, done, total)
