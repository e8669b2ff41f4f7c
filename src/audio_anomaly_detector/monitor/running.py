"""What a machine is doing: off, idle or running, found from the levels of its normal sound.

A machine that stands still is quieter in the bands in which it is heard, and nowhere louder. So the
normal windows are divided in two by their levels in bands; where the halves lie apart, the
direction between them is the axis on which every second of later windows is placed.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft, rfftfreq

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.verdict import MachineState

Floats = NDArray[np.float64]
QuietestState = Literal["off", "idle"]

BANDS = 24
_LOWEST_HZ = 50.0
_POWER_FLOOR = 1e-12  # -120 dB: below the noise of any converter
# Windows that a state has at least: a minute of sound.
_LEAST_WINDOWS = 6
# Medians of two states lie apart by so many times the sum of their robust deviations. Of eight
# synthetic machines (40 normals) none had two states while it always ran; with ten windows of the
# hall alone these were found as off in 8 at 6 dB, 6 at 0 dB and 1 at -6 dB, where the machine is
# hardly heard. There all of 150 later windows of the hall were off, none of 300 with the machine
# (2 were taken for a start), and of 240 with a fault of the tuning kind 1 (20 for a start, all of
# them of valves, which then stick for seconds).
_APART = 3.0
_LEAST_DEVIATION_DB = 0.25
# A machine starts or stops within a window if a part of it, two seconds at least, lies so large a
# share of the way between two states from the rest, and further than in nearly all normal windows:
# 143 of 150 windows of these machines that were off for one half.
_CHANGE, _LEAST_PART, _NORMAL_STEPS = 0.5, 2, 0.95
# No band of a quieter state is louder by more than levels vary by chance.
_NOT_LOUDER_DB = 2.0
# Sound that is off though it never was off while it was learned: the bands in which the machine is
# heard, a tenth of all, fall by more than a gain of 6 dB does, and not all bands alike. That were
# 104 of 160 windows at 6 dB, 12 at 0 dB and none at -6 dB, and none with a fault.
_FALLS_DB, _UNEVEN_DB = 10.0, 4.0


@dataclass(frozen=True)
class Doing:
    """What a machine is doing in a window.

    Args:
        state: ``unknown``: it starts or stops.
        nearest: the state that it is most like.
    """

    state: MachineState
    nearest: MachineState


@dataclass(frozen=True)
class States:
    """The states of a machine, from the quietest to the loudest.

    Args:
        names: of the states; one: it was never heard otherwise.
        axis: weight of each band on the axis from the quietest to the loudest state, ``(B,)``.
        centres: median place of each state on it, ascending.
        step: the largest change from a part of a window to the rest, on the axis, that is normal.
        quietest: the lowest level of each band in a window of the loudest state, dB, ``(B,)``.
        loudest: the highest, ``(B,)``.
    """

    names: tuple[MachineState, ...]
    axis: Floats
    centres: tuple[float, ...]
    step: float
    quietest: Floats
    loudest: Floats

    @classmethod
    def always_running(cls) -> "States":
        """Of a machine of which no normal sound was heard: nothing lies below what is possible."""
        axis, lowest = np.ones(BANDS) / BANDS, np.full(BANDS, 10 * np.log10(_POWER_FLOOR))
        return cls(("running",), axis, (0.0,), 0.0, lowest, lowest)

    def of(self, levels: Floats) -> Doing:
        """What the machine is doing.

        Args:
            levels: of the seconds of a window, see `band_levels`, ``(S, B)``.
        """
        if len(self.names) == 1:
            off = self._is_silent(levels.mean(0))
            return Doing("off", "off") if off else Doing(self.names[0], self.names[0])
        seconds = levels @ self.axis
        place = float(np.median(seconds))
        nearest = self.names[int(np.argmin(np.abs(np.array(self.centres) - place)))]
        between = float(np.min(np.diff(self.centres)))
        changes = _step(seconds) > max(self.step, _CHANGE * between)
        return Doing("unknown" if changes else nearest, nearest)

    def _is_silent(self, level: Floats) -> bool:
        below = self.quietest - level
        falls, even = np.quantile(below, [0.9, 0.1])
        louder = float(np.max(level - self.loudest)) > _NOT_LOUDER_DB
        return bool(falls > _FALLS_DB and falls - even > _UNEVEN_DB and not louder)

    def to_plain(self) -> dict[str, Any]:
        """Plain numbers and lists."""
        return {
            name: np.array(part).tolist() if isinstance(part, np.ndarray | tuple) else part
            for name, part in vars(self).items()
        }

    @classmethod
    def from_plain(cls, content: dict[str, Any]) -> "States":
        """What `to_plain` gave.

        Raises:
            UserError: it is something else.
        """
        try:
            return cls(
                names=tuple(content["names"]),
                axis=np.array(content["axis"], float),
                centres=tuple(content["centres"]),
                step=float(content["step"]),
                quietest=np.array(content["quietest"], float),
                loudest=np.array(content["loudest"], float),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the states of the machine are damaged ({error})") from error


def band_levels(waveform: NDArray[np.float32], sample_rate: int) -> Floats:
    """Level of each whole second in bands of one width in octaves, dB, ``(C, T) -> (S, B)``.

    Mean over microphones; the remainder of a second is left out.

    Args:
        waveform: of a second at least.
        sample_rate: Hz.
    """
    seconds = waveform.shape[1] // sample_rate
    parts = waveform[:, : seconds * sample_rate].reshape(len(waveform), seconds, sample_rate)
    spectrum = rfft(parts - parts.mean(-1, keepdims=True), axis=-1)  # (C, S, F)
    power = np.mean(spectrum.real**2 + spectrum.imag**2, 0) / sample_rate**2
    hertz = rfftfreq(sample_rate, 1 / sample_rate)
    edges = np.geomspace(_LOWEST_HZ, sample_rate / 2, BANDS + 1)
    starts = np.searchsorted(hertz, edges)
    sums = np.add.reduceat(power, starts[:-1], axis=1)  # (S, B)
    return np.asarray(10 * np.log10(sums + _POWER_FLOOR), np.float64)


def find_states(
    levels: Floats, quietest: QuietestState = "off"
) -> tuple[States, list[MachineState]]:
    """The states of a machine.

    Args:
        levels: of the seconds of windows, ``(n, S, B)``.
        quietest: what the quietest of several is called.

    Returns:
        The states, and what the machine was doing in each window.
    """
    windows = levels.mean(1)  # (n, B)
    parts, axis = _divided(windows)
    names: list[MachineState] = [*_quieter(windows, parts, quietest), "running"]
    # What is louder than the loudest somewhere is another way of running.
    parts = [*parts[: len(names) - 1], np.concatenate(parts[len(names) - 1 :])]
    seconds = levels @ axis  # (n, S)
    steps = [_step(window) for window in seconds]
    running = windows[parts[-1]]
    states = States(
        tuple(names),
        axis,
        tuple(float(np.median(seconds[part])) for part in parts),
        float(np.quantile(steps, _NORMAL_STEPS)),
        running.min(0),
        running.max(0),
    )
    return states, [states.of(window).state for window in levels]


def _divided(windows: Floats) -> tuple[list[NDArray[np.int64]], Floats]:
    """Positions of the windows by state, the quietest first, and the axis, ``(n, B)``."""
    everyone = np.arange(len(windows))
    halves = _two_means(windows)
    axis = np.ones(windows.shape[1]) / windows.shape[1]
    if halves is None:
        return [everyone], axis
    difference = np.median(windows[halves], 0) - np.median(windows[~halves], 0)
    if difference.mean() < 0:
        difference = -difference
    axis = difference / np.abs(difference).sum()
    places = windows @ axis
    parts = _apart(everyone, places)
    for part in [] if len(parts) == 1 else parts:
        further = _apart(part, places)
        if len(further) == 2:
            others = [other for other in parts if other is not part]
            return sorted([*others, *further], key=lambda one: np.median(places[one])), axis
    return parts, axis


def _apart(members: NDArray[np.int64], places: Floats) -> list[NDArray[np.int64]]:
    """Windows divided in two on the axis, if the halves lie apart."""
    halves = _two_means(places[members][:, None])
    if halves is None:
        return [members]
    parts = sorted((members[halves], members[~halves]), key=lambda one: np.median(places[one]))
    low, high = (places[part] for part in parts)
    deviations = sum(max(_deviation(part), _LEAST_DEVIATION_DB) for part in (low, high))
    if np.median(high) - np.median(low) < _APART * deviations:
        return [members]
    return parts


def _two_means(values: Floats) -> NDArray[np.bool_] | None:
    """Which of two clusters each row is in; None: one of them would be too small."""
    centred = values - np.median(values, 0)
    # Begun along the axis of the largest variance.
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    along = centred @ axes[0]
    halves = along > (along.min() + along.max()) / 2
    for _ in range(50):
        if not _LEAST_WINDOWS <= halves.sum() <= len(halves) - _LEAST_WINDOWS:
            return None
        centres = [centred[halves].mean(0), centred[~halves].mean(0)]
        distances = [np.square(centred - centre).sum(1) for centre in centres]
        nearer = distances[0] < distances[1]
        if (nearer == halves).all():
            break
        halves = nearer
    return halves


def _quieter(
    windows: Floats, parts: list[NDArray[np.int64]], quietest: QuietestState
) -> list[MachineState]:
    """Names of the states that are nowhere louder than the loudest one, the quietest first."""
    running = np.median(windows[parts[-1]], 0)
    names: list[MachineState] = []
    for part in parts[:-1]:
        if np.max(np.median(windows[part], 0) - running) > _NOT_LOUDER_DB:
            break
        names.append("idle" if names else quietest)
    return names


def _deviation(values: Floats) -> float:
    """Robust standard deviation: of a normal distribution 1.48 times the median deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _step(seconds: Floats) -> float:
    """The largest difference between the medians of the first seconds and of the others."""
    return max(
        (
            abs(float(np.median(seconds[:split]) - np.median(seconds[split:])))
            for split in range(_LEAST_PART, len(seconds) - _LEAST_PART + 1)
        ),
        default=0.0,
    )
