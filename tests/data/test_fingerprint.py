"""Near-duplicates: of many copies one is kept; another take of a machine is none."""

import numpy as np
import pytest

from audio_anomaly_detector.data.copies import sort_out
from audio_anomaly_detector.data.fingerprint import Words, find_matches, fingerprint
from synthetic_data import SAMPLE_RATE, hum, knock


def words(sound: np.ndarray, gain: float = 1.0) -> Words:
    return fingerprint((gain * sound.T).astype(np.float32), SAMPLE_RATE)


@pytest.mark.parametrize("copies", [2, 10, 40])
def test_of_any_number_of_copies_the_first_is_kept(copies: int) -> None:
    sounds = [words(hum(0)), words(hum(0), gain=0.3)] * (copies // 2) + [words(hum(1))]
    assert sort_out(find_matches(sounds), [8.0] * len(sounds)).kept == [0, copies]


def test_takes_of_the_same_machine_and_rhythm_are_no_copies() -> None:
    assert find_matches([words(knock(seed)) for seed in range(12)]) == []


def test_cuts_that_overlap_belong_together_and_neighbours_do_not() -> None:
    sound = hum(0, seconds=24)
    cuts = [words(sound[s * SAMPLE_RATE : (s + 8) * SAMPLE_RATE]) for s in (0, 4, 8, 16)]
    found = sort_out(find_matches(cuts), [8.0] * 4)
    assert found.kept == [0, 2, 3]
    assert found.group == [0, 0, 0, 3]


@pytest.mark.parametrize("samples", [0, 100])
def test_clips_too_short_or_silent_match_nothing(samples: int) -> None:
    silent = np.zeros((8 * SAMPLE_RATE, 2), np.float32)
    assert find_matches([words(hum(0)[: samples + 1])] * 2 + [words(silent)] * 2) == []
