import numpy as np
import pytest
import torch
from torch import Tensor

from audio_anomaly_detector.scoring.surrogates import surrogate

RATE = 16_000


def made(window: Tensor) -> Tensor:
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
    assert peak_over_median(hum) > 8 * peak_over_median(made(hum))


def test_clicks_become_steady_noise() -> None:
    clicks = 0.01 * noise()
    clicks[:, ::RATE] = 1
    crest = made(clicks).abs().max() / made(clicks).square().mean().sqrt()
    assert clicks.abs().max() / clicks.square().mean().sqrt() > 50
    assert crest < 6


def test_colour_and_power_stay() -> None:
    white = noise()
    dull = white + 0.7 * white.roll(1)
    changed = made(dull)
    assert float(changed.square().sum()) == pytest.approx(float(dull.square().sum()), rel=1e-4)
    for first in range(250, 7000, 250):
        bins = slice(4 * first, 4 * first + 1000)
        before, after = (torch.fft.rfft(x[0])[bins].abs().square().sum() for x in (dull, changed))
        assert 10 * float((after / before).log10()) == pytest.approx(0, abs=1)


def test_levels_and_delays_between_microphones_stay() -> None:
    (source,) = noise()
    both = torch.stack((source, 0.5 * source.roll(8)))
    near, far = made(both)
    assert float((near.square().sum() / far.square().sum()).log10()) == pytest.approx(
        np.log10(4), abs=1e-3
    )
    torch.testing.assert_close(far, 0.5 * near.roll(8), atol=1e-4, rtol=0)


@pytest.mark.parametrize("samples", [1, 2, 800, RATE + 1])
def test_any_length_and_silence_go_through(samples: int) -> None:
    assert made(noise(2, samples)).isfinite().all()
    silence = torch.zeros(2, samples)
    torch.testing.assert_close(made(silence), silence)
