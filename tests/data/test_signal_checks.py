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
