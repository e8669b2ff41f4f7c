import numpy as np
import pytest

from audio_anomaly_detector.synthesis.sounds import Clock, Spectrum, noise, passings, strike, turns


def test_noise_has_the_slope_asked_for():
    clock = Clock(160_000, 16_000)
    part = noise(np.random.default_rng(0), clock, Spectrum(-6.0))
    power = np.abs(np.fft.rfft(part)) ** 2
    low, high = power[5_000:5_500].mean(), power[40_000:44_000].mean()  # 500 Hz and 4 kHz
    assert 10 * np.log10(high / low) == pytest.approx(-18, abs=1)
    assert np.sqrt(np.mean(part**2)) == pytest.approx(1)


def test_impacts_come_at_the_defect_rate_to_a_fraction_of_a_sample():
    clock = Clock(160_000, 16_000)
    revolutions = turns(np.full(clock.samples, 25.0), clock, 0.3)
    times = passings(revolutions, clock, 3.57)
    np.testing.assert_allclose(np.diff(times), 1 / (25 * 3.57), rtol=1e-6)
    train = strike(clock, times, np.ones(len(times)), np.ones(1))
    centre = np.sum(train * clock.times) / np.sum(train)
    assert centre == pytest.approx(times.mean(), abs=1e-6)
