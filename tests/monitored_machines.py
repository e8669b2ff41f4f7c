"""Small machines to listen to: settings that fit in a second, sound, a clock that is set."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from audio_anomaly_detector.monitor.fits import Fits, FitsAtOnce
from audio_anomaly_detector.monitor.machine import MachineMonitor
from audio_anomaly_detector.monitor.machine_config import MachineConfig
from audio_anomaly_detector.monitor.sound import Samples, Window
from audio_anomaly_detector.monitor.verdict import Verdict
from monitor.told_events import SetClock
from synthetic_data import SAMPLE_RATE, hum, knock

SECONDS = 4.0
BEGAN = 1_795_748_400.0  # 2026-11-27 03:00 UTC
SETTINGS = MachineConfig(
    overrides=(
        "audio.length=64000",
        "scoring.families=[logmel,envelope,level]",
        "logmel.n_mels=32",
        "logmel.n_fft=512",
        "scoring.folds=4",
    ),
    usable_minutes=40 * SECONDS / 60,
    learning_hours=4.0,
    kept_windows=80,
)


def monitor(
    folder: Path, fits: Fits | None = None, settings: MachineConfig = SETTINGS
) -> MachineMonitor:
    return MachineMonitor("pump-3", settings, folder, SetClock(BEGAN), fits or FitsAtOnce())


def humming(seed: int) -> Samples:
    """The machine as it always is, ``(1, T)``."""
    return hum(seed, 1, SECONDS).T


def knocking(seed: int) -> Samples:
    """With a fault."""
    return knock(seed, 1, SECONDS).T


def still(seed: int) -> Samples:
    """Switched off: only the hall is heard."""
    rng = np.random.default_rng(seed)
    return (0.002 * rng.standard_normal((1, int(SECONDS * SAMPLE_RATE)))).astype(np.float32)


def windows(
    make: Callable[[int], Samples],
    count: int,
    at: float,
    first_seed: int = 0,
    every: float = SECONDS,
) -> Iterator[Window]:
    """Windows of a kind, one after the other."""
    for number in range(count):
        yield Window(make(first_seed + number), SAMPLE_RATE, 0, at + number * every)


def hearing(machine: MachineMonitor, given: Iterable[Window]) -> list[Verdict]:
    """The verdicts on windows that come one at a time."""
    return [verdict for window in given for verdict in machine.hear([window])]
