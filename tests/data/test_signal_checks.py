import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_anomaly_detector.data.signal_checks import LOUDEST, SignalCheck, SignalError

RATE = 16_000


def checked(waveform: np.ndarray, subtype: str = "PCM_16", block: int = 7000) -> list[str]:
    check = SignalCheck(waveform.shape[1], RATE, subtype)
    for start in range(0, len(waveform), block):
        check.add(waveform[start : start + block])
    return check.remarks()


def noise(seconds: float = 4, channels: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    steps = np.round(300 * rng.standard_normal((round(seconds * RATE), channels)))
    return (steps / 2**15).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    start=st.integers(0, 30_000),
    length=st.integers(13_000, 30_000),
    value=st.sampled_from([0.0, 0.25, -1.0]),
    block=st.sampled_from([3000, 7000, 16_000, 100_000]),
)
def test_a_drop_out_is_named_with_its_place(start, length, value, block):
    sound = noise()
    sound[start : start + length, 1] = value
    (remark,) = checked(sound, block=block)
    assert "in channel 1: a drop-out?" in remark
    seconds = float(remark.split(" for ")[1].split(" s ")[0])
    at = float(remark.split(" from ")[1].split(" s ")[0])
    assert seconds == pytest.approx(length / RATE, abs=0.2)
    assert at == pytest.approx(start / RATE, abs=0.2)


def test_all_channels_and_many_stretches():
    sound = noise(20)
    for start in range(5):
        sound[start * 60_000 : start * 60_000 + 10_000] = 0
    remarks = checked(sound)
    assert len(remarks) == 4
    assert remarks[0].startswith("holds one value for 0.62 s from 0.00 s: a drop-out?")
    assert remarks[-1].startswith("5 such stretches in all, 3.12 s")


def test_quiet_sound_of_few_steps_is_no_drop_out():
    rng = np.random.default_rng(0)
    quiet = np.round(0.35 * rng.standard_normal((5 * RATE, 1))) / 2**15
    assert checked(quiet.astype(np.float32)) == []
    gated = noise(4, 1)
    gated[1000:13_000] = 0  # what a lossy coder makes of quiet
    assert checked(gated, "MPEG_LAYER_III") == []
    assert checked(gated, "PCM_16") != []


@pytest.mark.parametrize("unit", [3e-9, 1e-20, 1e4])
def test_floats_in_any_unit_are_sound(unit):
    remarks = checked(unit * noise() / 0.03, "FLOAT")
    assert all("silent" not in remark for remark in remarks)


def test_an_offset_of_a_float_channel_is_still_silence():
    with pytest.raises(SignalError, match="is silent"):
        checked(np.full((RATE, 1), 1e-9, np.float32), "FLOAT")
    with pytest.raises(SignalError, match="is silent"):
        checked(0.5 + 1e-8 * noise(1, 1), "DOUBLE")


def test_where_statistics_no_longer_hold():
    checked(noise() * np.float32(LOUDEST / 0.05), "FLOAT")
    with pytest.raises(SignalError, match="times full scale"):
        checked(noise() * np.float32(LOUDEST * 1000), "FLOAT")


def music(peak: float, seconds: float = 4) -> np.ndarray:
    """Two tones and noise, ``(T, 1)``."""
    time = np.arange(round(seconds * RATE)) / RATE
    tones = np.sin(2 * np.pi * 220.3 * time) + 0.7 * np.sin(2 * np.pi * 553.1 * time)
    sound = tones + 0.3 * np.random.default_rng(1).standard_normal(len(time))
    return (peak * sound / np.abs(sound).max())[:, None].astype(np.float32)


def in_16_bits(sound: np.ndarray) -> np.ndarray:
    return (np.round(sound * 32767) / 32768).astype(np.float32)


@pytest.mark.parametrize("gain", [1.0, 0.3, 0.03])
@pytest.mark.parametrize("block", [1000, 100_000])
def test_clipping_is_named_whatever_was_done_to_the_level_later(gain: float, block: int) -> None:
    sound = music(1.4).clip(-1, 1) * np.float32(gain)
    (remark,) = checked(in_16_bits(sound), block=block)
    assert remark.startswith("is clipped: ") and "held at the largest value" in remark
    (remark,) = checked(np.hstack([music(0.4), sound]), "FLOAT", block=block)
    assert remark.startswith("is clipped in channel 1: ")


@pytest.mark.parametrize("peak", [0.99, 0.3, 0.01, 0.001])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_sound_that_reaches_its_largest_value_is_not_clipped(peak: float, subtype: str) -> None:
    pure = np.sin(2 * np.pi * 50 * np.arange(4 * RATE) / RATE)[:, None].astype(np.float32)
    for sound in (music(peak), np.float32(peak) * pure):
        assert checked(in_16_bits(sound) if subtype == "PCM_16" else sound, subtype) == []


@pytest.mark.parametrize("block", [777, 5000, 100_000])
def test_a_short_drop_out_is_named(block: int) -> None:
    sound = noise()
    sound[20_000:21_600] = 0  # a tenth of a second
    (remark,) = checked(sound, block=block)
    assert remark.startswith("holds one value for 0.10 s from 1.25 s: a drop-out?")


def test_what_is_faded_to_silence_or_turned_off_is_no_short_drop_out() -> None:
    sound = noise(4, 1)
    fade = np.linspace(1, 0, 4000, dtype=np.float32)[:, None]
    sound[16_000:20_000] *= fade
    sound[20_000:22_000] = 0
    sound[22_000:26_000] *= fade[::-1]
    assert checked(in_16_bits(sound)) == []
