"""What the terminal shows while something is going on."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from audio_anomaly_detector.cli.console import err
from audio_anomaly_detector.cli.interruption import GO_ON
from audio_anomaly_detector.errors import Interrupted

if TYPE_CHECKING:
    from audio_anomaly_detector.progress import Epoch


class ProgressDisplay:
    """Shows a bar for what goes on, where stderr is a terminal, and a line for every epoch.

    Args:
        quiet: show nothing.
        epochs: print a line for every epoch.
        interrupted: how to go on after an interruption.
    """

    def __init__(self, quiet: bool, epochs: bool = False, interrupted: str = GO_ON) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=err,
            transient=True,
            disable=quiet or not err.is_terminal,
        )
        self._epochs = epochs and not quiet
        self._task: TaskID | None = None
        self._what = self._reached = ""
        self._interrupted = interrupted

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away; an interruption is told how far it came."""
        self._bar.stop()
        if isinstance(error, Interrupted) and not hasattr(error, "__notes__"):
            for note in filter(None, (self._reached, self._interrupted)):
                error.add_note(note)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the bar away while something else is printed."""
        self._bar.stop()
        yield
        self._bar.start()

    def advance(self, what: str, done: int, total: int) -> None:
        """Move the bar."""
        self._reached = f"{what}: {done} of {total}"
        if self._task is None or what != self._what:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task, self._what = self._bar.add_task(what, total=total), what
        self._bar.update(self._task, completed=done, total=total)

    def epoch(self, epoch: "Epoch", watched: Mapping[str, float]) -> None:
        """Print the epoch's losses and, where labels are watched, ROC AUC and PR AUC."""
        if not self._epochs:
            return
        losses = "  ".join(f"{name} {value:.4f}" for name, value in epoch.losses.items())
        titles = {"auroc": "test ROC AUC", "average_precision": "test PR AUC"}
        labels = "".join(f"  {titles[name]} {value:.3f}" for name, value in watched.items())
        err.print(f"{epoch.stage:<12}epoch {epoch.epoch:>3}  {losses}{labels}")
