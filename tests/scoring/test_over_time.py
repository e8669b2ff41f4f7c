import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from audio_anomaly_detector.scoring.over_time import between_microphones, power_mean, upper_quantile


@pytest.mark.parametrize("exponent", [1, 2, 4])
def test_power_mean_is_the_generalised_mean_of_power(exponent: float) -> None:
    power = torch.rand(3, 50, dtype=torch.float64) + 0.01
    wanted = 10 * (power**exponent).mean(-1).pow(1 / exponent).log10()
    assert torch.allclose(power_mean(10 * power.log10(), exponent), wanted)


@given(st.integers(0, 2**31), st.integers(1, 40))
def test_power_means_rise_from_mean_to_maximum(seed: int, frames: int) -> None:
    decibel = 30 * torch.randn(frames, generator=torch.Generator().manual_seed(seed))
    exponents = (0, 0.5, 1, 2, 4, 16, math.inf)
    means = [float(power_mean(decibel, exponent)) for exponent in exponents]
    assert all(a <= b + 1e-3 for a, b in itertools.pairwise(means))
    assert means[0] == pytest.approx(float(decibel.mean()), abs=1e-3)
    assert means[-1] == float(decibel.max())


def test_power_mean_of_extreme_levels_is_finite() -> None:
    assert torch.isfinite(power_mean(torch.tensor([-100.0, 300.0, 900.0]), 4))


def test_upper_quantile_takes_the_rank() -> None:
    values = torch.arange(1000.0).flip(0)
    assert upper_quantile(values, 0.01) == 990
    assert upper_quantile(values[:5], 0.001) == values[:5].max()


def test_what_all_microphones_share_cancels() -> None:
    shared = torch.randn(2, 1, 7).expand(2, 4, 7)
    own = torch.randn(2, 4, 7)
    own = own - own.mean(1, keepdim=True)
    assert torch.allclose(between_microphones(shared + own), own, atol=1e-6)
