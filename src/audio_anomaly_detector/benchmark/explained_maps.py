"""How right the maps of an explanation are, against the true place of a fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.signal import istft, stft

from audio_anomaly_detector.explaining.explanation import Explanation, Map
from audio_anomaly_detector.scoring.clip_features import FeatureGrid, Floats, Waveform

Resolution = Literal["narrow", "fast"]
Marks = NDArray[np.bool_]
RESOLUTIONS: tuple[Resolution, ...] = ("narrow", "fast")
# Standard deviations above which a cell of a map is marked, for the overlap with the true region.
LEVELS = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
# Those at which a map overlapped most on the tuning machines.
OVERLAP_ABOVE: dict[Resolution, float] = {"narrow": 4.0, "fast": 4.0}
# That above which a cell is deleted.
DELETED_ABOVE = 3.0
# A fault that changes the level of a cell by less is hidden there by the rest.
_LEAST_DB = 3.0
# Frames for replacing what is marked: as long as those of each map, the fast ones longer by half
# of their spacing.
_FRAME_S: dict[Resolution, float] = {"narrow": 0.512, "fast": 0.008}


def levels(grid: FeatureGrid, waveform: Waveform, resolution: Resolution) -> Floats:
    """Level of the mean power of all microphones, dB, ``(C, T) -> (F, N)``."""
    if resolution == "narrow":
        power = grid.narrow_power(waveform).mean(0, keepdims=True)
        return grid.narrow_levels(power)[0]
    return grid.fast_levels(grid.fast_power(waveform).mean(0, keepdims=True))[0]


def true_region(
    grid: FeatureGrid, clip: Waveform, added: Waveform, resolution: Resolution
) -> Marks:
    """Where the power of a fault exceeds that of all the rest and changes the level, ``(F, N)``.

    What a fault takes away is the rest where it is gone: there it counts against the clip with it.

    Args:
        grid: for the sample rate.
        clip: ``(C, T)`` with the fault.
        added: ``(C, T)`` by it; without it the clip would be the difference.
        resolution: of the map.
    """
    without = clip - added
    here, there, change = (
        levels(grid, np.asarray(one, np.float32), resolution) for one in (clip, without, added)
    )
    exceeds = change > np.minimum(here, there)
    return np.asarray(exceeds & (np.abs(here - there) > _LEAST_DB))


def with_tolerance(region: Marks) -> Marks:
    """The same one band and one frame larger on every side."""
    return np.asarray(binary_dilation(region, np.ones((3, 3), bool)))


def peak_cell(of: Map) -> tuple[int, int]:
    """Band and frame of the peak of a map."""
    seconds, hz, _ = of.peak
    band = int(np.searchsorted(of.hz, hz, side="right")) - 1
    return band, int(np.searchsorted(of.seconds, seconds, side="right")) - 1


def loudest_cell(values: Floats) -> tuple[int, int]:
    """Band and frame of the largest value."""
    band, frame = np.unravel_index(int(values.argmax()), values.shape)
    return int(band), int(frame)


def overlap(of: Map, region: Marks, level: float) -> float:
    """Intersection over union of what exceeds a level, either way, and the true region."""
    marked = np.abs(of.together) > level
    union = int(np.count_nonzero(marked | region))
    return float(np.count_nonzero(marked & region) / union) if union else 0.0


@dataclass(frozen=True)
class Deletion:
    """A clip in which what the maps mark sounds as in a normal clip.

    Args:
        marked: ``(C, T)`` with the marked places replaced.
        elsewhere: as much, at a random place.
        area: share of time and frequency that was replaced.
    """

    marked: Waveform
    elsewhere: Waveform
    area: float


def delete_marked(
    explanation: Explanation, normal: Waveform, level: float, rng: np.random.Generator
) -> Deletion:
    """Replace what is marked by what a normal clip has there, never by silence.

    Each map in frames of its own length, the narrow one first.

    Args:
        explanation: of the clip.
        normal: ``(C, T)`` of the nearest normal clip, as long as the clip.
        level: standard deviations above which a place is marked, either way.
        rng: draws the other place.
    """
    rate = explanation.sample_rate
    changed = {"marked": explanation.waveform, "elsewhere": explanation.waveform}
    areas = []
    for resolution in RESOLUTIONS:
        of: Map = getattr(explanation, resolution)
        length = 2 * round(_FRAME_S[resolution] * rate / 2)
        hertz, seconds, _ = _spectrum(normal, rate, length)
        marked = _at(of, np.abs(of.together) > level, hertz, seconds + of.seconds[0])
        shift = [int(rng.integers(size)) for size in marked.shape]
        places = {"marked": marked, "elsewhere": np.roll(marked, shift, (0, 1))}
        areas.append(float(marked.mean()))
        changed = {
            name: _replaced(waveform, normal, places[name], rate, length)
            for name, waveform in changed.items()
        }
    return Deletion(changed["marked"], changed["elsewhere"], float(np.mean(areas)))


def _at(of: Map, marks: Marks, hertz: Floats, seconds: Floats) -> Marks:
    """Marks of a map at the frequencies and times of another spectrum, ``(bins, frames)``."""
    band = (np.searchsorted(of.hz, hertz, side="right") - 1).clip(0, len(of.hz) - 2)
    frame = np.searchsorted(of.seconds, seconds, side="right") - 1
    return marks[band][:, frame.clip(0, len(of.seconds) - 2)]


def _spectrum(waveform: Waveform, rate: int, length: int) -> tuple[Floats, Floats, Floats]:
    """Frequencies, times and short-time spectrum, ``(bins,), (frames,), (C, bins, frames)``."""
    hertz, seconds, spectrum = stft(waveform, rate, nperseg=length, noverlap=length * 3 // 4)
    return hertz, seconds, spectrum


def _replaced(
    waveform: Waveform, normal: Waveform, marked: Marks, rate: int, length: int
) -> Waveform:
    own, other = (_spectrum(one, rate, length)[2] for one in (waveform, normal))
    _, sound = istft(np.where(marked, other, own), rate, nperseg=length, noverlap=length * 3 // 4)
    return np.asarray(sound[:, : waveform.shape[1]], np.float32)


def further_out(
    peaks: dict[Resolution, float], usual: dict[Resolution, Sequence[float]]
) -> Resolution:
    """The map whose peak is the larger part of what peaks of normal clips are; no truth is used.

    Args:
        peaks: deviation at the peak of each map.
        usual: the same of normal clips that were not learned.
    """
    return max(
        RESOLUTIONS, key=lambda name: abs(peaks[name]) / float(np.median(np.abs(usual[name])))
    )
