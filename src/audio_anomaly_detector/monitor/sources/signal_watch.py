"""What is wrong with a source by its samples: digital silence, a dead channel, clipping."""

from dataclasses import dataclass, field

import numpy as np

from audio_anomaly_detector.data.signal_checks import LOUDEST, SignalCheck
from audio_anomaly_detector.monitor.sound import Samples
from audio_anomaly_detector.monitor.sources.faults import FaultKind

_PERIOD_S = 10.0
# Samples are checked in blocks of so long: a check of 10 s takes 1 ms then, and ten in small ones.
_BLOCK_S = 1.0


def are_usable(samples: Samples) -> bool:
    """Whether samples are numbers of a size that sound has."""
    return not samples.size or bool(np.abs(samples).max() <= LOUDEST)


@dataclass
class SignalWatch:
    """Checks ten seconds after ten seconds of one source, as recordings are checked.

    Args:
        channels: of the source.
        sample_rate: Hz.
    """

    channels: int
    sample_rate: int
    faults: dict[FaultKind, str] = field(default_factory=dict)
    _blocks: list[Samples] = field(default_factory=list)
    _waiting: int = 0
    _checked: int = 0
    _check: SignalCheck = field(init=False)

    def __post_init__(self) -> None:
        self._check = SignalCheck(self.channels, self.sample_rate)

    def hear(self, samples: Samples) -> None:
        """Take in usable samples, ``(C, T)``; `faults` are those of the last whole period."""
        self._blocks.append(samples)
        self._waiting += samples.shape[1]
        if self._waiting < _BLOCK_S * self.sample_rate:
            return
        self._check.add(np.concatenate(self._blocks, axis=1).T)
        self._checked += self._waiting
        self._blocks, self._waiting = [], 0
        if self._checked >= _PERIOD_S * self.sample_rate:
            self.faults = self._found()
            self._check, self._checked = SignalCheck(self.channels, self.sample_rate), 0

    def _found(self) -> dict[FaultKind, str]:
        still = self._check.still()
        if still.all():
            return {
                "silence": "brings digital silence: no sample differs from the others; check that "
                "the microphone is plugged in and not muted"
            }
        found: dict[FaultKind, str] = {}
        if still.any():
            dead = ", ".join(map(str, np.flatnonzero(still)))
            found["dead channel"] = f"channel {dead} does not move; check that microphone"
        clipped = self._check.clipped()
        if clipped:
            named = ", ".join(map(str, clipped))
            where = "" if len(clipped) == self.channels else f" in channel {named}"
            found["clipping"] = (
                f"is clipped{where}: {max(clipped.values()):.2%} of the samples are held at the "
                "largest value; turn down the gain"
            )
        return found
