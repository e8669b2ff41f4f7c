import numpy as np
import pytest
import torch
from torch import Tensor

from audio_anomaly_detector.scoring.surrogates import surrogate

RATE = 16_000


def surrogate_of(window: Tensor) -> Tensor:
    return surrogate(window, RATE, torch.Generator().manual_seed(0))


def noise(channels: int = 1, samples: int = 4 * RATE) -> Tensor:
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(1))


def peak_over_median(window: Tensor) -> float:
    power = torch.fft.rfft(window[0]).abs().square()
    smooth = power[: len(power) // 40 * 40].reshape(-1, 40).mean(1)
    return float(smooth.max() / smooth.median())


def test_a_hum_loses_its_lines() -> None:
    time = torch.arange(4 * RATE) / RATE
    hum = noise() + 3 * torch.sin(2 * torch.pi * 440 * time)
    assert peak_over_median(hum) > 8 * peak_over_median(surrogate_of(hum))


def test_clicks_become_steady_noise() -> None:
    clicks = 0.01 * noise()
    clicks[:, ::RATE] = 1
    crest = surrogate_of(clicks).abs().max() / surrogate_of(clicks).square().mean().sqrt()
    assert clicks.abs().max() / clicks.square().mean().sqrt() > 50
    assert crest < 6


def test_colour_and_power_stay() -> None:
    white = noise()
    dull = white + 0.7 * white.roll(1)
    changed = surrogate_of(dull)
    assert float(changed.square().sum()) == pytest.approx(float(dull.square().sum()), rel=0.02)
    for first in range(250, 7000, 250):
        bins = slice(4 * first, 4 * first + 1000)
        before, after = (torch.fft.rfft(x[0])[bins].abs().square().sum() for x in (dull, changed))
        assert 10 * float((after / before).log10()) == pytest.approx(0, abs=1)


def test_levels_and_delays_between_microphones_stay() -> None:
    (source,) = noise(samples=4 * RATE + 8)
    near, far = surrogate_of(torch.stack((source[8:], 0.5 * source[:-8])))
    assert float(far.std() / near.std()) == pytest.approx(0.5, rel=1e-3)
    assert np.corrcoef(far[8:], near[:-8])[0, 1] > 0.99


def band_power(window: Tensor, first: int, last: int) -> float:
    """Of a window of four seconds between two frequencies in Hz, dB."""
    return 10 * float(torch.fft.rfft(window[0])[4 * first : 4 * last].abs().square().sum().log10())


def test_an_offset_stays_an_offset() -> None:
    changed = surrogate_of(0.01 * noise() + 0.5)
    assert float(changed.mean()) == pytest.approx(0.5, abs=1e-3)
    assert float(changed.std()) == pytest.approx(0.01, rel=0.01)


def test_what_is_empty_above_a_cut_off_stays_so() -> None:
    spectrum = torch.fft.rfft(noise())
    spectrum[:, 4 * 4000 :] *= 1e-5
    cut = torch.fft.irfft(spectrum, 4 * RATE)
    assert band_power(surrogate_of(cut), 5000, 8000) < band_power(cut, 2000, 4000) - 40


def test_a_loud_rumble_does_not_become_hiss() -> None:
    time = torch.arange(4 * RATE) / RATE
    rumble = 3e-4 * noise() + 0.2 * torch.sin(2 * torch.pi * 24.7 * time)
    changed = band_power(surrogate_of(rumble), 1000, 8000) - band_power(rumble, 1000, 8000)
    assert changed == pytest.approx(0, abs=2)


@pytest.mark.parametrize("samples", [1, 2, 800, RATE + 1])
def test_any_length_and_silence_go_through(samples: int) -> None:
    assert surrogate_of(noise(2, samples)).isfinite().all()
    silence = torch.zeros(2, samples)
    torch.testing.assert_close(surrogate_of(silence), silence)
