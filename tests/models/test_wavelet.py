import math
import warnings

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from audio_anomaly_detector.models.wavelet import DB4, analyse, quadrature_mirror, synthesise

FLOAT32_ERROR = 1e-5


def db4(levels: int, dtype: torch.dtype = torch.float64) -> Tensor:
    low = torch.tensor(DB4, dtype=dtype)
    return torch.stack((low, quadrature_mirror(low))).expand(levels, -1, -1)


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def wavedec(signal: Tensor, levels: int) -> list[np.ndarray]:
    with warnings.catch_warnings():  # PyWavelets warns of levels whose borders meet
        warnings.simplefilter("ignore", UserWarning)
        return pywt.wavedec(signal.numpy(), "db4", mode="periodization", level=levels)


def packet_nodes(signal: Tensor, levels: int) -> list[np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        tree = pywt.WaveletPacket(signal.numpy(), "db4", mode="periodization", maxlevel=levels)
        return [node.data for node in tree.get_level(levels, order="freq")]


def test_mirror_filter_has_the_signs_of_pywavelets() -> None:
    wavelet = pywt.Wavelet("db4")
    low, high = db4(1)[0].numpy()
    np.testing.assert_allclose(low, wavelet.rec_lo, atol=1e-15)
    np.testing.assert_allclose(high, wavelet.rec_hi, atol=1e-15)


@pytest.mark.parametrize("length", [2, 3, 7, 9, 64, 313, 1001, 16_000])
def test_transform_equals_pywavelets(length: int) -> None:
    signal = noise(2, length)
    for levels in range(1, int(math.log2(length)) + 1):
        ours = analyse(signal, db4(levels), packet_levels=0).bands
        theirs = wavedec(signal, levels)
        assert len(ours) == len(theirs)
        for band, expected in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(band.numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("length", [64, 313, 1001, 16_000])
@pytest.mark.parametrize("levels", [1, 2, 3, 5])
def test_packets_equal_pywavelets_in_order_of_frequency(length: int, levels: int) -> None:
    signal = noise(2, length)
    ours = analyse(signal, db4(levels), packet_levels=levels).bands
    theirs = packet_nodes(signal, levels)
    assert len(ours) == len(theirs) == 2**levels
    for band, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(band.numpy(), expected, atol=1e-12)


def test_levels_below_the_packets_split_only_the_approximation() -> None:
    signal = noise(1, 3001)
    ours = analyse(signal, db4(6), packet_levels=3).bands
    lowest, *others = packet_nodes(signal, 3)
    expected = [*wavedec(torch.from_numpy(lowest), 3), *others]
    for band, theirs in zip(ours, expected, strict=True):
        np.testing.assert_allclose(band.numpy(), theirs, atol=1e-12)


@pytest.mark.parametrize("length", [160_000, 159_999])
def test_every_level_count_of_a_clip_reconstructs_perfectly(length: int) -> None:
    signal = noise(1, length, dtype=torch.float32)
    for levels in range(1, 18):
        for packet_levels in {0, min(levels, 5)}:
            kernels = db4(levels, torch.float32)
            restored = synthesise(analyse(signal, kernels, packet_levels), kernels, packet_levels)
            assert restored.shape == signal.shape
            assert (restored - signal).abs().max() <= FLOAT32_ERROR


@settings(max_examples=60, deadline=None)
@given(data=st.data(), length=st.integers(2, 3000), batch=st.integers(1, 3))
def test_any_length_and_depth_reconstructs_perfectly(
    data: st.DataObject, length: int, batch: int
) -> None:
    levels = data.draw(st.integers(1, int(math.log2(length))), "levels")
    packet_levels = data.draw(st.integers(0, min(levels, 6)), "packet_levels")
    signal = noise(batch, length, dtype=torch.float32)
    kernels = db4(levels, torch.float32)
    coefficients = analyse(signal, kernels, packet_levels)
    restored = synthesise(coefficients, kernels, packet_levels)
    assert coefficients.length == length
    assert (restored - signal).abs().max() <= FLOAT32_ERROR


@pytest.mark.parametrize("packet_levels", [0, 3])
def test_synthesis_is_the_adjoint_of_analysis_for_any_kernels(packet_levels: int) -> None:
    kernels = noise(4, 2, 8, seed=1)
    signal, other = noise(1, 720), noise(1, 720, seed=2)  # even at every level
    one = analyse(signal, kernels, packet_levels)
    two = analyse(other, kernels, packet_levels)
    in_bands = sum((a * b).sum() for a, b in zip(one.bands, two.bands, strict=True))
    in_time = (signal * synthesise(two, kernels, packet_levels)).sum()
    torch.testing.assert_close(in_bands, in_time)


@pytest.mark.parametrize(("length", "levels", "packet_levels"), [(37, 3, 2), (7, 2, 0), (70, 3, 3)])
def test_gradients_are_exact(length: int, levels: int, packet_levels: int) -> None:
    signal = noise(2, length).requires_grad_()
    analysis = noise(levels, 2, 8, seed=1).requires_grad_()
    synthesis = noise(levels, 2, 8, seed=2).requires_grad_()

    def there_and_back(signal: Tensor, analysis: Tensor, synthesis: Tensor) -> Tensor:
        coefficients = analyse(signal, analysis, packet_levels)
        return synthesise(coefficients, synthesis, packet_levels)

    assert torch.autograd.gradcheck(there_and_back, (signal, analysis, synthesis))


@given(length=st.integers(1, 300), time_bins=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_windows_are_even_and_leave_nothing_out(length: int, time_bins: int) -> None:
    signal = torch.arange(length, dtype=torch.float64).expand(2, -1)
    coefficients = analyse(signal, db4(1), 0)._replace(groups=(signal.unsqueeze(1),))
    (windows,) = (group[:, 0] for group in coefficients.windows(time_bins))
    width = math.ceil(length / time_bins)
    assert windows.shape == (2, time_bins, width)
    assert windows[0, 0, 0] == 0
    if time_bins > 1 or width == length:
        assert windows[0, -1, -1] == length - 1
    if time_bins <= length:
        assert set(windows[0].flatten().tolist()) == set(range(length))
    assert (windows.diff(dim=-1) == 1).all()
    assert (windows[:, :, 0].diff(dim=-1) >= 0).all()
