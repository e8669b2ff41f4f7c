"""Options of a run that change no result: where and how it is computed, and what stops it."""

from dataclasses import dataclass
from typing import Literal

from audio_anomaly_detector.choices import FigureKind, Plots
from audio_anomaly_detector.devices import DeviceName

OnError = Literal["skip", "stop"]


@dataclass(frozen=True)
class RunOptions:
    """How to run, as handed from the command line down to the jobs.

    Args:
        device: where networks are trained and applied.
        on_error: leave out clips that cannot be used, or stop at the first.
        watch_test: print metrics on labelled test clips after every epoch; changes no result.
        threads: CPU threads of PyTorch for a job; None leaves them as they are.
        plots: what an evaluation draws: all plots and the sheet of them, the sheet, or nothing.
        figures: kind of file in which an evaluation also draws every plot for a paper; None: none.
    """

    device: DeviceName = "auto"
    on_error: OnError = "skip"
    watch_test: bool = False
    threads: int | None = None
    plots: Plots = "all"
    figures: FigureKind | None = None
