"""How right the maps of an explanation are, against the true place of a fault."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, uniform_filter
from scipy.signal import istft, stft

from audio_anomaly_detector.explaining.explanation import Explanation, Map
from audio_anomaly_detector.scoring.clip_features import (
    FeatureGrid,
    Floats,
    Waveform,
    feature_grid,
)
from audio_anomaly_detector.scoring.usual_sound import UsualLevels

Resolution = Literal["narrow", "fast"]
Marks = NDArray[np.bool_]
RESOLUTIONS: tuple[Resolution, ...] = ("narrow", "fast")
# Standard deviations above which a cell of a map is marked, for the overlap with the true region.
LEVELS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0)
# Those at which a map overlapped most on 173 clips of 16 machines with `aad explanations --faults
# tuning --seed 171`: .297 in the narrow map (.258 at 2, .260 at 4), .284 in the fast one (.263 at
# 2, .246 at 4).
OVERLAP_ABOVE: dict[Resolution, float] = {"narrow": 3.0, "fast": 3.0}
# Mean of the neighbouring cells above which a place is deleted. Of 62 clips of these machines 23 %
# fell below the threshold so, and 2 % where as much was changed elsewhere; at 0.5 and 1.5 29 % and
# 18 %, at 1.5 and 3 15 %. By what the nearest normal clip has there instead of its usual level 26 %
# did and 24 %: a change of the phases at random places is as good as one of what is marked.
DELETED_ABOVE: dict[Resolution, float] = {"narrow": 1.0, "fast": 2.0}
# Bands and frames of the neighbourhood.
_DELETED_AROUND: dict[Resolution, tuple[int, int]] = {"narrow": (3, 9), "fast": (1, 1)}
# A fault that changes the level of a cell by less is hidden there by the rest.
_LEAST_DB = 3.0
_MOST_DB = 40.0  # by which a level is changed
# Frames for changing what is marked: as long as those of each map, the fast ones longer by half
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
        name: np.abs(uniform_filter(of.together, _DELETED_AROUND[name], mode="nearest"))
        > DELETED_ABOVE[name]
        for name, of in maps(explanation).items()
    }


def maps(explanation: Explanation) -> dict[Resolution, Map]:
    """Both maps by name."""
    return {"narrow": explanation.narrow, "fast": explanation.fast}


def made_usual(
    explanation: Explanation,
    usual: Mapping[Resolution, UsualLevels],
    places: Mapping[Resolution, Marks],
    elsewhere: np.random.Generator | None = None,
) -> tuple[Waveform, float]:
    """A clip that has at some places the levels that normal clips have at the same ranks.

    With the phase of the clip. For each map in frames of its own length, the narrow one first.

    Args:
        explanation: of the clip.
        usual: levels of normal clips in each map.
        places: by map, ``(F, N)``.
        elsewhere: draws by how far the places are moved over time and frequency; None: not at all.

    Returns:
        ``(C, T)``, and the share of time and frequency that was changed, mean over the maps.
    """
    rate, changed, areas = explanation.sample_rate, explanation.waveform, []
    grid = feature_grid(rate)
    for name, of in maps(explanation).items():
        marks = places[name]
        if elsewhere is not None:
            shift = [int(elsewhere.integers(size)) for size in marks.shape]
            marks = np.roll(marks, shift, (0, 1))
        areas.append(float(marks.mean()))
        sound = levels(grid, changed, name)[None]
        change = np.where(marks, usual[name].at_ranks_of(sound)[0] - sound[0], 0.0)
        length = 2 * round(_FRAME_S[name] * rate / 2)
        hertz, seconds, spectrum = stft(changed, rate, nperseg=length, noverlap=length * 3 // 4)
        gain = _at(of, change.clip(-_MOST_DB, _MOST_DB), hertz, seconds + of.seconds[0])
        mixed = spectrum * 10 ** (gain / 20)
        _, sound = istft(mixed, rate, nperseg=length, noverlap=length * 3 // 4)
        changed = np.asarray(sound[:, : changed.shape[1]], np.float32)
    return changed, float(np.mean(areas))


def _at(of: Map, values: Floats, hertz: Floats, seconds: Floats) -> Floats:
    """Values of a map at the frequencies and times of another spectrum, ``(bins, frames)``."""
    band = (np.searchsorted(of.hz, hertz, side="right") - 1).clip(0, len(of.hz) - 2)
    frame = np.searchsorted(of.seconds, seconds, side="right") - 1
    return values[band][:, frame.clip(0, len(of.seconds) - 2)]


def further_out(
    peaks: Mapping[Resolution, float], usual: Mapping[Resolution, Sequence[float]]
) -> Resolution:
    """The map whose peak is the larger part of what peaks of normal clips are; no truth is used.

    Args:
        peaks: how far the peak of each map lies out, as a multiple of usual.
        usual: the same of normal clips that were not learned.
    """
    return max(RESOLUTIONS, key=lambda name: peaks[name] / float(np.median(usual[name])))
