from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.data.audio import AudioConfig
from audio_anomaly_detector.data.cache import WindowStore, build_store
from audio_anomaly_detector.data.clips import (
    Clip,
    MachineKey,
    count_groups,
    cross_folds,
    natural_order,
)
from audio_anomaly_detector.data.neighbours import clips_alike, with_neighbours

RATE = 8000
AUDIO = AudioConfig(sample_rate=RATE, length=RATE)


def _levels(changing_every: int, clips: int = 60) -> np.ndarray:
    """Of clips that change from block to block, and half as much within."""
    rng = np.random.default_rng(0)
    states = np.repeat(rng.normal(size=(clips, 8)), changing_every, axis=0)[:clips]
    return np.asarray(states + 0.3 * rng.normal(size=(clips, 8)))


@pytest.mark.parametrize("changing_every", [4, 8])
def test_neighbours_are_alike_as_long_as_the_machine_does_not_change(changing_every: int) -> None:
    found = clips_alike(_levels(changing_every), np.random.default_rng(1))
    assert changing_every / 2 <= found <= 2 * changing_every


def test_clips_of_a_slow_drift_are_four_blocks() -> None:
    drift = np.linspace(0, 1, 40)[:, None] + 0.01 * np.random.default_rng(0).normal(size=(40, 3))
    assert clips_alike(drift, np.random.default_rng(1)) == 10


@pytest.mark.parametrize("seed", range(5))
def test_independent_clips_and_few_ones_are_not_alike(seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert clips_alike(rng.normal(size=(60, 8)), rng) == 1
    assert clips_alike(_levels(4, clips=19), rng) == 1
    assert clips_alike(np.ones((30, 8)), rng) == 1


def _store(folder: Path, changing_every: int, name: str = "{}.wav") -> WindowStore:
    """Of 24 clips of noise whose colour changes."""
    rng = np.random.default_rng(2)
    clips = []
    for number in range(24):
        if number % changing_every == 0:
            bends = np.linspace(0, RATE // 2, 9)
            colour = 10 ** np.interp(np.arange(RATE // 2 + 1), bends, rng.uniform(-1, 1, 9))
        noise = np.fft.irfft(np.fft.rfft(rng.normal(size=RATE)) * colour)
        path = folder / name.format(number)
        soundfile.write(path, 0.05 * noise / noise.std(), RATE)
        clips.append(Clip(path, path.name, 0, MachineKey("", "m", "")))
    return build_store(clips, AUDIO, folder / "store")


def test_clips_recorded_in_a_row_are_grouped_by_blocks_in_order_of_their_numbers(
    tmp_path: Path,
) -> None:
    store = with_neighbours(_store(tmp_path, changing_every=4), AUDIO, seed=0)
    assert store.clips_alike > 1
    assert 4 <= count_groups(store.clips) < 24
    blocks = [clip.group for clip in sorted(store.clips, key=natural_order)]
    assert len(set(blocks)) == 1 + sum(a != b for a, b in pairwise(blocks))
    assert store.clips[2].group == "neighbours of 0.wav"  # not 10.wav


def test_other_clips_and_other_rules_keep_their_groups(tmp_path: Path) -> None:
    independent = _store(tmp_path, changing_every=1)
    assert with_neighbours(independent, AUDIO, seed=0) == independent
    (tmp_path / "row").mkdir()
    row = _store(tmp_path / "row", changing_every=4)
    each = AUDIO.model_copy(update={"group": "recording"})
    assert with_neighbours(row, each, seed=0) == row
    known = replace(row, clips=[replace(clip, group=clip.name[:1]) for clip in row.clips])
    assert with_neighbours(known, AUDIO, seed=0) == known


def test_of_one_recording_the_length_is_known_and_its_cuts_stay_its_own(tmp_path: Path) -> None:
    row = _store(tmp_path, changing_every=4)
    cuts = [replace(clip, group="one") for clip in row.clips]
    found = with_neighbours(replace(row, clips=cuts), AUDIO, seed=0)
    assert found.clips_alike > 1 and found.clips == cuts


def test_near_neighbours_of_a_left_out_block_are_not_fitted_on() -> None:
    clips = [
        Clip(Path(f"{i}.wav"), f"{i}.wav", 0, MachineKey("", "m", ""), group=f"block {i // 10}")
        for i in range(100)
    ]
    for fold in cross_folds(clips, 20, seed=0, alike=8):
        assert min(abs(i - j) for i in fold.fit for j in fold.held_out) == 3
    for fold in cross_folds(clips, 20, seed=0):
        assert min(abs(i - j) for i in fold.fit for j in fold.held_out) == 1
