"""Off, idle and running are told apart by levels in bands."""

import json
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.running import BANDS, States, band_levels, find_states

RATE = 8000
SECONDS = 6


def hall(rng: np.random.Generator) -> np.ndarray:
    level = 0.002 * 10 ** (rng.normal(0, 0.5) / 20)
    return level * rng.standard_normal((1, SECONDS * RATE))


def machine(rng: np.random.Generator, level: float = 0.03) -> np.ndarray:
    """Hum and broad noise, modulated once a second."""
    time = np.arange(SECONDS * RATE) / RATE
    hum = sum(np.sin(2 * np.pi * 100 * k * time + rng.uniform(0, 6)) / k for k in range(1, 6))
    noise = rng.standard_normal(len(time)) * (1 + 0.5 * np.sin(2 * np.pi * time))
    return hall(rng) + level * (hum + 0.5 * noise)[None] * 10 ** (rng.normal(0, 0.3) / 20)


def levels(
    make: Callable[..., np.ndarray], count: int, seed: int = 0, **given: float
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    sounds = [make(rng, **given).astype(np.float32) for _ in range(count)]
    return np.stack([band_levels(sound, RATE) for sound in sounds])


RUNNING = levels(machine, 40, seed=1)
IDLE = levels(machine, 20, seed=2, level=0.009)
OFF = levels(hall, 20, seed=3)


def half(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.concatenate([first[: SECONDS // 2], second[SECONDS // 2 :]])


def test_levels_are_of_whole_seconds_and_of_all_power() -> None:
    time = np.arange(2 * RATE + 100) / RATE
    tone = (0.1 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)[None]
    found = band_levels(tone, RATE)
    assert found.shape == (2, BANDS)
    band = int(np.searchsorted(np.geomspace(50, RATE / 2, BANDS + 1), 1000)) - 1
    assert (found.argmax(1) == band).all()
    twice = band_levels(10 * tone, RATE)
    np.testing.assert_allclose(twice[:, band] - found[:, band], 20, atol=0.01)


def test_a_machine_that_always_runs_has_one_state() -> None:
    states, doing = find_states(RUNNING)
    assert states.names == ("running",)
    assert set(doing) == {"running"}


@pytest.mark.parametrize("quietest", ["off", "idle"])
def test_two_states(quietest: str) -> None:
    states, doing = find_states(np.concatenate([RUNNING, OFF]), quietest)
    assert states.names == (quietest, "running")
    assert doing == ["running"] * 40 + [quietest] * 20
    unseen = levels(machine, 10, seed=11)
    assert {states.of(window).state for window in unseen} == {"running"}
    assert {states.of(window).state for window in levels(hall, 10, seed=12)} == {quietest}


def test_three_states() -> None:
    states, doing = find_states(np.concatenate([RUNNING, IDLE, OFF]))
    assert states.names == ("off", "idle", "running")
    assert Counter(doing) == {"running": 40, "idle": 20, "off": 20}
    assert list(states.centres) == sorted(states.centres)


def test_two_ways_of_running_are_no_other_states() -> None:
    """The quieter one is louder somewhere."""

    def other(rng: np.random.Generator) -> np.ndarray:
        time = np.arange(SECONDS * RATE) / RATE
        return machine(rng, level=0.01) + 0.02 * np.sin(2 * np.pi * 3000 * time)

    states, doing = find_states(np.concatenate([RUNNING, levels(other, 20)]))
    assert states.names == ("running",)
    assert set(doing) == {"running"}


def test_a_start_and_a_stop_are_no_state() -> None:
    states, _ = find_states(np.concatenate([RUNNING, OFF]))
    for window in (half(OFF[0], RUNNING[0]), half(RUNNING[0], OFF[0])):
        assert states.of(window).state == "unknown"
        assert states.of(window).nearest in ("off", "running")


def test_off_is_known_though_it_was_never_heard() -> None:
    states, _ = find_states(RUNNING)
    assert {states.of(window).state for window in OFF} == {"off"}


@pytest.mark.parametrize("gain", [-12.0, -6.0, 6.0])
def test_another_gain_is_not_off(gain: float) -> None:
    states, _ = find_states(RUNNING)
    assert {states.of(window + gain).state for window in RUNNING} == {"running"}


def test_a_louder_fault_is_not_off() -> None:
    states, _ = find_states(RUNNING)
    window = OFF[0].copy()
    window[:, 20] = RUNNING[:, :, 20].max() + 10
    assert states.of(window).state == "running"


def test_round_trip() -> None:
    states, _ = find_states(np.concatenate([RUNNING, IDLE, OFF]))
    again = States.from_plain(json.loads(json.dumps(states.to_plain())))
    for window in (RUNNING[0], IDLE[0], OFF[0], half(RUNNING[0], OFF[0])):
        assert again.of(window) == states.of(window)
    with pytest.raises(UserError, match="damaged"):
        States.from_plain({"names": ["running"]})
