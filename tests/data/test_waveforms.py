from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_anomaly_detector.data.audio import AudioConfig
from audio_anomaly_detector.data.waveforms import checked_waveform
from audio_anomaly_detector.errors import UserError

CONFIG = AudioConfig()
STEPS = np.round(3000 * np.random.default_rng(0).standard_normal((2, 32_000)))
SOUND = (STEPS / 2**15).astype(np.float32)


@pytest.mark.parametrize(
    "waveform",
    [
        SOUND,
        SOUND.astype(np.float64),
        SOUND.tolist(),
        np.asfortranarray(SOUND),
        STEPS.astype(np.int16),
        (STEPS * 2**16).astype(np.int32),
        torch.from_numpy(SOUND),
        torch.from_numpy(SOUND).requires_grad_(),
        torch.from_numpy(STEPS.astype(np.int16)),
    ],
)
def test_the_same_sound_in_any_type(waveform: Any) -> None:
    checked = checked_waveform(waveform, CONFIG, 2)
    assert checked.dtype == np.float32
    np.testing.assert_allclose(checked, SOUND, atol=1e-7)


def test_eight_bits_and_one_microphone() -> None:
    signed = np.round(SOUND[0] * 128).clip(-128, 127)
    for integers in (signed.astype(np.int8), (signed + 128).astype(np.uint8)):
        np.testing.assert_array_equal(checked_waveform(integers, CONFIG, 1)[0], signed / 128)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (0 * SOUND, "is silent"),
        (0 * SOUND + 0.25, "is silent"),
        (SOUND.T, "it seems to be (samples, channels)"),
        (SOUND[None], "has the shape (1, 2, 32000)"),
        (np.float32(1), "has the shape ()"),
        (np.zeros((2, 0)), "has 0 samples"),
        ([], "channels, the detector was fitted on 2"),
        (SOUND[:1], "has 1 channels, the detector was fitted on 2"),
        (SOUND[:, :1000], "has 1000 samples; give at least 1 s"),
        (SOUND * np.nan, "holds a nan or infinite sample at 0.000 s"),
        (SOUND.astype(np.float64) * 1e300, "holds a nan or infinite sample"),
        (SOUND * 1e9, "times full scale"),
        (STEPS.astype(np.int64), "holds int64"),
        (SOUND > 0, "holds bool"),
        (SOUND.astype(complex), "holds complex"),
        ("a.wav", "holds str"),
        (None, "holds object"),
        ([[1.0], [1.0, 2.0]], "no array of numbers"),
    ],
)
def test_what_is_no_waveform_is_refused(waveform: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        checked_waveform(waveform, CONFIG, 2)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_level_and_unit_are_those_of_files() -> None:
    level = checked_waveform(SOUND, AudioConfig(level="equalised"), 2)
    assert np.sqrt(np.mean(level**2)) == pytest.approx(0.05, rel=1e-5)
    metres = checked_waveform(SOUND / 2**30, AudioConfig(scale=2.0**30), 2)
    np.testing.assert_array_equal(metres, SOUND)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(
        [(), (0,), (16_000,), (0, 16_000), (2, 0), (2, 100), (1, 16_000), (2, 16_000), (16_000, 2)]
    ),
    dtype=st.sampled_from(["f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "?", "c8"]),
    gain=st.sampled_from([0, 1, 100, 30_000, 1e12, -np.inf]),
)
def test_any_array_is_used_or_refused_in_one_line(
    shape: tuple[int, ...], dtype: str, gain: float
) -> None:
    values = np.random.default_rng(0).standard_normal(shape)
    with np.errstate(all="ignore"):
        waveform = np.asarray(values * gain).astype(dtype)
    try:
        checked = checked_waveform(waveform, CONFIG, 2)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert checked.shape == waveform.shape
        assert np.isfinite(checked).all()
