"""Clips of made machines: the same seed makes the same, and a change is a change."""

import numpy as np
import pytest

from audio_anomaly_detector.synthesis.prior.changes import CHANGES
from audio_anomaly_detector.synthesis.prior.parts import Running, draw_machine, sound_of
from audio_anomaly_detector.synthesis.prior.recordings import (
    audibly_changed,
    draw_moments,
    draw_place,
    machine_clips,
)
from audio_anomaly_detector.synthesis.sounds import Clock

CLOCK = Clock(8000, 8000)


def test_same_seed_same_clips() -> None:
    first, again, other = (
        machine_clips(np.random.default_rng(seed), CLOCK, 2, 2) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first.normal, again.normal)
    np.testing.assert_array_equal(first.changed, again.changed)
    assert not np.array_equal(first.normal, other.normal)


@pytest.mark.parametrize("seed", range(8))
def test_clips_are_whole(seed: int) -> None:
    clips = machine_clips(np.random.default_rng(seed), CLOCK, 3, 2)
    assert clips.normal.shape == (3, 8000)
    assert clips.changed.shape == (2, 8000)
    for clip in (*clips.normal, *clips.changed):
        assert np.isfinite(clip).all()
        assert np.sqrt(np.mean(clip**2)) == pytest.approx(1)


def test_no_two_normal_clips_are_alike() -> None:
    clips = machine_clips(np.random.default_rng(1), CLOCK, 2, 1).normal
    assert abs(np.mean(clips[0] * clips[1])) < 0.99  # unit RMS: their correlation


def test_every_kind_of_change_occurs() -> None:
    """Of a hundred machines each kind fits some, and what it makes is another machine."""
    for change in set(CHANGES):
        made = 0
        for seed in range(100):
            rng = np.random.default_rng(seed)
            machine = draw_machine(rng)
            after = change(machine, rng, 0.7)
            if after is not None:
                assert after != machine, change
                made += 1
        assert made > 10, change


@pytest.mark.parametrize("seed", range(8))
def test_a_change_is_heard(seed: int) -> None:
    """The same load, speeds and noise, but another sound."""
    rng = np.random.default_rng(seed)
    machine = draw_machine(rng)
    clock = Clock(24_000, 8000)
    before, after = (
        sound_of(one, Running(0.0, 0.0), np.random.default_rng(7), clock)
        for one in (machine, audibly_changed(machine, rng, 8000))
    )
    assert np.sqrt(np.mean((after - before) ** 2)) > 0.03 * np.sqrt(np.mean(before**2))


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_conditions_of_clips_that_follow_each_other(memory: float) -> None:
    """They vary by one standard deviation, and neighbours are as alike as the place says."""
    place = draw_place(np.random.default_rng(0), CLOCK)._replace(memory=memory)
    moments = draw_moments(place, np.random.default_rng(1), 400)
    bands = np.stack([moment.hall for moment in moments])  # (n, 24)
    assert np.std(bands) == pytest.approx(1, abs=0.15)
    neighbours = np.mean(bands[1:] * bands[:-1]) / np.mean(bands**2)
    assert neighbours == pytest.approx(memory, abs=0.1)


def test_normal_clips_differ_as_real_ones_do() -> None:
    """By 3 dB in an octave of real clips at -6 dB: machines of the prior lie on both sides."""
    spreads = []
    for seed in range(12):
        clips = machine_clips(np.random.default_rng(seed), CLOCK, 8, 1).normal
        power = np.abs(np.fft.rfft(clips)) ** 2
        edges = 125 * 2 ** np.arange(6)
        octaves = [
            10 * np.log10(power[:, low : 2 * low].sum(1) + 1e-12) for low in edges[:-1]
        ]  # 1 Hz a bin
        spreads.append(np.median(np.std(octaves, axis=1, ddof=1)))
    assert min(spreads) < 1.5
    assert max(spreads) > 3
