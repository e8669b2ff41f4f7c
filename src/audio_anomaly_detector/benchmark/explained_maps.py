"""How right the maps of an explanation are, against the true place of a fault."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, uniform_filter
from scipy.signal import istft, stft

from audio_anomaly_detector.explaining.explanation import Explanation, Map
from audio_anomaly_detector.scoring.clip_features import FeatureGrid, Floats, Waveform

Resolution = Literal["narrow", "fast"]
Marks = NDArray[np.bool_]
RESOLUTIONS: tuple[Resolution, ...] = ("narrow", "fast")
# Standard deviations above which a cell of a map is marked, for the overlap with the true region.
LEVELS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0)
# Those at which a map overlapped most with `aad explanations --machines 8 --faults tuning --seed
# 70`: .170 in the narrow map (.156 at 1, .104 at 3), .234 in the fast one (.179 at 1, .129 at 3).
OVERLAP_ABOVE: dict[Resolution, float] = {"narrow": 1.5, "fast": 1.5}
# Mean of the neighbouring cells above which a place is deleted. Of 16 clips of four tuning machines
# at 0 dB a quarter fell below the threshold at 0.5 in the narrow map, and none where as much was
# replaced elsewhere; at 0.35 31 % and 31 %, at 0.75 19 % and none. In the fast map less than 4 is
# no help.
DELETED_ABOVE: dict[Resolution, float] = {"narrow": 0.5, "fast": 4.0}
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


def deleted_places(explanation: Explanation) -> dict[Resolution, Marks]:
    """What the maps of an explanation mark, to be deleted: whole places and no single cells.

    Cells above a level would leave a sound in which nothing exceeds it, as unusual as before.
    """
    return {
        name: np.abs(uniform_filter(of.together, of.around, mode="nearest")) > DELETED_ABOVE[name]
        for name, of in maps(explanation).items()
    }


def maps(explanation: Explanation) -> dict[Resolution, Map]:
    """Both maps by name."""
    return {"narrow": explanation.narrow, "fast": explanation.fast}


def replaced(
    explanation: Explanation,
    normal: Waveform,
    places: Mapping[Resolution, Marks],
    elsewhere: np.random.Generator | None = None,
) -> tuple[Waveform, float]:
    """A clip that sounds at some places as a normal clip does there, never silent.

    For each map in frames of its own length, the narrow one first.

    Args:
        explanation: of the clip.
        normal: ``(C, T)``, as long as the clip.
        places: by map, ``(F, N)``.
        elsewhere: draws by how far the places are moved over time and frequency; None: not at all.

    Returns:
        ``(C, T)``, and the share of time and frequency that was replaced, mean over the maps.
    """
    rate, changed, areas = explanation.sample_rate, explanation.waveform, []
    for name, of in maps(explanation).items():
        length = 2 * round(_FRAME_S[name] * rate / 2)
        hertz, seconds, other = _spectrum(normal, rate, length)
        marks = _at(of, places[name], hertz, seconds + of.seconds[0])  # (bins, frames)
        if elsewhere is not None:
            shift = [int(elsewhere.integers(size)) for size in marks.shape]
            marks = np.roll(marks, shift, (0, 1))
        areas.append(float(marks.mean()))
        mixed = np.where(marks, other, _spectrum(changed, rate, length)[2])
        _, sound = istft(mixed, rate, nperseg=length, noverlap=length * 3 // 4)
        changed = np.asarray(sound[:, : changed.shape[1]], np.float32)
    return changed, float(np.mean(areas))


def _at(of: Map, marks: Marks, hertz: Floats, seconds: Floats) -> Marks:
    """Marks of a map at the frequencies and times of another spectrum, ``(bins, frames)``."""
    band = (np.searchsorted(of.hz, hertz, side="right") - 1).clip(0, len(of.hz) - 2)
    frame = np.searchsorted(of.seconds, seconds, side="right") - 1
    return marks[band][:, frame.clip(0, len(of.seconds) - 2)]


def _spectrum(waveform: Waveform, rate: int, length: int) -> tuple[Floats, Floats, Floats]:
    """Frequencies, times and short-time spectrum, ``(bins,), (frames,), (C, bins, frames)``."""
    hertz, seconds, spectrum = stft(waveform, rate, nperseg=length, noverlap=length * 3 // 4)
    return hertz, seconds, spectrum


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
