"""Clips that were recorded one after another: over how many of them neighbours are alike.

A machine sounds more alike within a minute than from hour to hour. Clips that were cut out of a few
long recordings, or recorded in a row, are therefore fewer independent ones than they seem.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft, rfftfreq

from audio_anomaly_detector.data.audio import AudioConfig
from audio_anomaly_detector.data.cache import WindowStore
from audio_anomaly_detector.data.clips import are_one, count_groups, natural_order
from audio_anomaly_detector.seeding import derive_seed

# Of fewer clips chance is hard to tell from likeness, and none can be spared.
_LEAST_CLIPS = 20
_LEAST_BLOCKS = 4
_BANDS = 32
_LOWEST_HZ = 50.0
_POWER_FLOOR = 1e-20
# Neighbours are alike if they differ less than in all of so many random orders, and if that leaves
# less than a share of the variance: 0.25 to 0.33 of a milling and of a washing machine.
_ORDERS = 199
_ALIKE_BELOW = 0.7
# They are alike over as many clips as it takes until such a share is reached.
_INDEPENDENT_FROM = 0.9


def with_neighbours(store: WindowStore, audio: AudioConfig, seed: int) -> WindowStore:
    """A store that knows how many neighbouring clips are alike, with blocks of these as groups.

    Groups that are known stay, and clips of one recording are divided into blocks anyway.

    Args:
        store: clips that are neighbours in order of name and time.
        audio: its rate, and the rule of groups: blocks are made by `auto` only.
        seed: of the random orders.
    """
    clips = store.clips
    one = are_one(clips)
    if not one and (audio.group != "auto" or count_groups(clips) < len(clips)):
        return store
    order = sorted(range(len(clips)), key=lambda clip: natural_order(clips[clip]))
    levels = _levels(store, order, audio.sample_rate)
    rng = np.random.default_rng(derive_seed(seed, "neighbours"))
    count = clips_alike(levels, rng)
    store = replace(store, clips_alike=count)
    if one or count == 1:
        return store
    blocks = np.array_split(np.array(order), max(_LEAST_BLOCKS, len(clips) // count))
    grouped = list(clips)
    for block in blocks:
        for clip in block:
            grouped[clip] = replace(clips[clip], group=f"neighbours of {clips[block[0]].name}")
    return replace(store, clips=grouped)


def clips_alike(values: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Over how many clips neighbours are alike; 1: they are not.

    By half the mean square of the difference of clips so many places apart, as a share of the
    variance (the variogram of Matheron, "Principles of geostatistics", 1963), tested against random
    orders.

    Args:
        values: what describes the clips, in order of recording, ``(n, D)``.
        rng: draws the random orders.
    """
    if len(values) < _LEAST_CLIPS:
        return 1
    spread = values.std(axis=0)
    values = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    share = _variogram(values, 1)
    if share >= _ALIKE_BELOW:
        return 1
    if any(_variogram(rng.permutation(values), 1) <= share for _ in range(_ORDERS)):
        return 1
    most = len(values) // _LEAST_BLOCKS
    lags = range(2, most)
    return next((lag for lag in lags if _variogram(values, lag) >= _INDEPENDENT_FROM), most)


def _variogram(values: NDArray[np.float64], lag: int) -> float:
    return float(np.mean((values[lag:] - values[:-lag]) ** 2) / 2)


def _levels(store: WindowStore, order: Sequence[int], sample_rate: int) -> NDArray[np.float64]:
    """Level of the first window of clips in bands of one width in octaves, dB, ``(n, B)``.

    Of the mean of the microphones, which takes a hundredth of the time of measuring a clip.
    """
    samples = store.windows.shape[-1]
    edges = np.geomspace(_LOWEST_HZ, sample_rate / 2, _BANDS + 1)
    starts = np.unique(np.searchsorted(rfftfreq(samples, 1 / sample_rate), edges[:-1]))
    first_of = dict(zip(*np.unique(store.clip_index, return_index=True), strict=True))
    levels = []
    for clip in order:
        window = store.windows[first_of[clip]]  # (C, T)
        power = np.square(np.abs(rfft(window.mean(axis=0))))
        levels.append(10 * np.log10(np.add.reduceat(power, starts) + _POWER_FLOOR))
    return np.array(levels)
