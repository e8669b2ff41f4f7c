import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from audio_anomaly_detector.data.audio import (
    AudioConfig,
    equalise_level,
    examine_clip,
    read_clip,
    to_windows,
)
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.decoding import open_sound
from audio_anomaly_detector.errors import ClipError

CONFIG = AudioConfig()
FORMATS = {  # suffix: (format, subtype)
    ".wav": ("WAV", "PCM_16"),
    ".WAV": ("WAVEX", "PCM_24"),
    ".wave": ("RF64", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".aiff": ("AIFF", "PCM_16"),
}


def clip(path: Path) -> Clip:
    return Clip(path, path.name, 0, MachineKey("c", "m", "i"))


def tone(seconds: float, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    """Sines of 100, 200, … Hz, one per channel, half of full scale: ``(n, channels)``."""
    time = np.arange(round(seconds * rate)) / rate
    return np.stack([0.5 * np.sin(2 * np.pi * 100 * (c + 1) * time) for c in range(channels)], 1)


def write(path: Path, data: np.ndarray, rate: int = 16_000, kind: str = ".wav") -> Path:
    soundfile.write(path, data, rate, format=FORMATS[kind][0], subtype=FORMATS[kind][1])
    return path


def refusal(path: Path, config: AudioConfig = CONFIG, part: Clip | None = None) -> str:
    """The one line with which a clip is refused, without the path in front of it."""
    with pytest.raises(ClipError) as error:
        read_clip(part or clip(path), config)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "; " in text  # the remedy
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_sound(tmp_path, kind):
    path = write(tmp_path / f"a{kind}", tone(2, channels=2), kind=kind)
    waveform = read_clip(clip(path), CONFIG)
    assert waveform.shape == (2, 32_000)
    assert waveform.dtype == np.float32
    # Lossy coders change the waveform a little and mp3 the very ends.
    inner = slice(2000, -2000)
    np.testing.assert_allclose(waveform[:, inner], tone(2, channels=2).T[:, inner], atol=0.05)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_bit_depths(tmp_path, subtype):
    soundfile.write(tmp_path / "a.wav", tone(1), 16_000, subtype=subtype)
    np.testing.assert_allclose(read_clip(clip(tmp_path / "a.wav"), CONFIG), tone(1).T, atol=0.02)


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_is_resampled_all_channels_alike(tmp_path, rate):
    path = write(tmp_path / "a.wav", tone(2, rate, channels=8), rate)
    waveform = read_clip(clip(path), CONFIG)
    assert waveform.shape == (8, 32_000)
    inner = slice(1000, -1000)
    np.testing.assert_allclose(waveform[:, inner], tone(2, channels=8).T[:, inner], atol=2e-3)


def test_a_long_file_read_in_blocks_is_resampled_without_seams(tmp_path):
    path = write(tmp_path / "a.wav", tone(25, 22_050), 22_050)
    waveform = read_clip(clip(path), CONFIG)
    assert waveform.shape == (1, 400_000)
    np.testing.assert_allclose(waveform[:, 1000:-1000], tone(25).T[:, 1000:-1000], atol=2e-3)


def test_channels(tmp_path):
    path = write(tmp_path / "a.wav", tone(1, channels=3))
    every = read_clip(clip(path), CONFIG)
    mean = read_clip(clip(path), AudioConfig(channels="mean"))
    np.testing.assert_allclose(mean, every.mean(axis=0, keepdims=True), atol=1e-6)
    np.testing.assert_array_equal(read_clip(clip(path), AudioConfig(channels=2)), every[2:3])
    message = refusal(path, AudioConfig(channels=3))
    assert message.startswith("has no channel 3: it has 3, counted from 0; choose --channels all")
    with pytest.raises(ValidationError):
        AudioConfig(channels="left")  # type: ignore[arg-type]


def test_a_cut_reads_only_its_part(tmp_path, monkeypatch):
    data = np.random.default_rng(0).uniform(-0.5, 0.5, (30 * 16_000, 1))
    path = write(tmp_path / "a.wav", data)
    whole = read_clip(clip(path), CONFIG)
    decoded = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda *a, **k: decoded.append(len(x := read(*a, **k))) or x
    )
    part = read_clip(clip(path).cut(20.0, 5.0), CONFIG)
    np.testing.assert_array_equal(part, whole[:, 320_000:400_000])
    assert sum(decoded) == 80_000
    np.testing.assert_array_equal(read_clip(clip(path).cut(28, None), CONFIG), whole[:, 448_000:])
    # Rounded durations in a table may reach a little beyond the end.
    assert read_clip(clip(path).cut(25, 5.02), CONFIG).shape == (1, 80_000)


def test_a_cut_outside_its_file(tmp_path):
    path = write(tmp_path / "a.wav", tone(3))
    assert "lasts 3.00 s but is to be read from 2 s to 4 s" in refusal(
        path, part=clip(path).cut(2, 2)
    )
    assert "read from 3 s to its end" in refusal(path, part=clip(path).cut(3, None))


def test_equalised_level_is_the_same_for_every_clip_and_keeps_channel_differences(tmp_path):
    data = tone(2, channels=2) * [0.01, 0.002]
    soundfile.write(tmp_path / "a.wav", data, 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", data * 20, 16_000, subtype="FLOAT")
    config = AudioConfig(level="equalised")
    a, b = (read_clip(clip(tmp_path / name), config) for name in ("a.wav", "b.wav"))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)
    assert np.sqrt(np.mean(a**2)) == pytest.approx(0.05, rel=1e-5)
    assert a[0].std() / a[1].std() == pytest.approx(5, rel=1e-4)
    with pytest.raises(ValueError, match="zeros"):
        equalise_level(np.zeros((1, 100), np.float32), 0.05)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("kept", [0.97, 0.6, 0.02])
def test_a_file_cut_off_is_refused(tmp_path, kind, kept):
    data = np.random.default_rng(0).uniform(-0.5, 0.5, (32_000, 2))
    path = write(tmp_path / f"a{kind}", data, kind=kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    message = refusal(path)
    assert "cut short" in message or "cannot be read" in message


@pytest.mark.parametrize(
    ("value", "samples", "message"),
    [
        (0.5, 3, "is too short (3 samples, 0.000188 s); give at least 1 s"),
        (0.0, 16_000, "is silent: no sample differs from 0; check the microphone"),
        (0.125, 16_000, "is silent: no sample differs from 0.125; check"),
    ],
)
def test_too_short_and_silent_sounds(tmp_path, value, samples, message):
    path = write(tmp_path / "a.wav", np.full((samples, 1), value))
    assert refusal(path).startswith(message)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path, value):
    data = tone(12)
    data[11 * 16_000] = value
    soundfile.write(tmp_path / "a.wav", data, 16_000, subtype="FLOAT")
    assert refusal(tmp_path / "a.wav").startswith("holds a nan or infinite sample at 11.000 s; ")


def test_samples_beyond_all_measure(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(2) * 1e30, 16_000, subtype="FLOAT")
    assert refusal(tmp_path / "a.wav").startswith("has samples of 5e+29 times full scale; ")


def test_samples_above_full_scale_are_taken_with_a_remark(tmp_path, caplog):
    caplog.set_level("WARNING", "audio_anomaly_detector")  # other tests may have been quiet
    soundfile.write(tmp_path / "a.wav", tone(2) * 5, 16_000, subtype="FLOAT")
    waveform = read_clip(clip(tmp_path / "a.wav"), CONFIG)
    assert waveform.max() == pytest.approx(2.5, rel=1e-3)
    assert "a.wav: samples reach 2.5 times full scale" in caplog.text


def test_one_dead_microphone_is_kept_and_remarked_upon(tmp_path, caplog):
    data = tone(2, channels=3) * [1, 0, 1]
    path = write(tmp_path / "a.wav", data)
    reading = examine_clip(clip(path), CONFIG)
    assert reading.remarks == ["channel 1 does not move; check that microphone"]
    np.testing.assert_array_equal(reading.waveform[1], 0)
    assert "is silent" in refusal(path, AudioConfig(channels=1))
    write(path, data * 0)
    assert "in any channel" in refusal(path)
    assert caplog.text == ""


def test_what_cannot_be_opened(tmp_path, monkeypatch):
    (tmp_path / "folder.wav").mkdir()
    assert refusal(tmp_path / "folder.wav").startswith("is not a file; ")
    (tmp_path / "link.wav").symlink_to(tmp_path / "nowhere.wav")
    assert refusal(tmp_path / "link.wav").startswith("cannot be read (No such file or directory); ")
    os.mkfifo(tmp_path / "pipe.wav")  # opening it would wait for ever
    assert refusal(tmp_path / "pipe.wav").startswith("is not a file; ")
    path = write(tmp_path / "locked.wav", tone(1))

    def locked(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")  # root may read everything, so it is feigned

    monkeypatch.setattr(Path, "open", locked)
    assert refusal(path).startswith("cannot be read (Permission denied); check that it exists")


def test_a_file_that_vanishes_while_it_is_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", tone(1))
    sound = open_sound(path)
    monkeypatch.setattr("audio_anomaly_detector.data.audio.open_take", lambda _path: sound)
    path.unlink()
    assert "cannot be decoded beyond 0.00 s" in refusal(path)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sound=st.tuples(
        st.sampled_from([".wav", ".flac", ".ogg", ".aiff"]),
        st.sampled_from([8000, 16_000, 22_050, 48_000]),  # Hz
        st.integers(1, 4),  # channels
        st.integers(0, 60_000),  # frames
    ),
    kept=st.one_of(st.just(1.0), st.floats(0, 1)),
    seed=st.integers(0, 9),
)
def test_any_file_is_read_or_refused_in_one_line(tmp_path, sound, kept, seed):
    kind, rate, channels, frames = sound
    data = np.random.default_rng(seed).uniform(-0.5, 0.5, (frames, channels))
    path = write(tmp_path / f"a{kind}", data, rate, kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    if kept == 1.0 and frames >= rate:
        waveform = read_clip(clip(path), CONFIG)
        assert waveform.shape[0] == channels
        assert abs(waveform.shape[1] - frames * 16_000 / rate) <= 1
        assert np.isfinite(waveform).all()
        assert np.isfinite(to_windows(waveform, CONFIG.length, CONFIG.window_slack)).all()
    else:
        refusal(path)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("bug"), ValueError("two\nlines")])
def test_whatever_goes_wrong_costs_one_line(tmp_path, monkeypatch, error):
    path = write(tmp_path / "a.wav", tone(2, 8000), 8000)

    def fail(*_args: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr("audio_anomaly_detector.data.audio.soxr.ResampleStream", fail)
    assert refusal(path).startswith(f"could not be read ({type(error).__name__}")


def test_rates_channels_and_lengths_that_no_clip_has(tmp_path):
    path = tmp_path / "a.wav"
    for rate in (1, 999):
        write(path, tone(2), rate)
        assert refusal(path).startswith(f"has a sample rate of {rate} Hz; sound is recorded")
    write(path, np.zeros((200, 200)))
    assert refusal(path).startswith("has 200 channels; at most 128 are read")
    soundfile.write(path, np.zeros(5_000_000), 1000, subtype="PCM_U8")
    assert refusal(path).startswith("lasts 83 min, too long for one clip (at most 70 min of 1")


def test_a_name_that_is_no_text(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    write(tmp_path / "a.wav", tone(1)).rename(path)
    assert read_clip(clip(path), CONFIG).shape == (1, 16_000)
    wrong = tone(1)[:100]
    write(tmp_path / "a.wav", wrong).rename(path)
    with pytest.raises(ClipError, match="is too short"):
        read_clip(clip(path), CONFIG)


# ---------------------------------------------------------------- windows


@given(length=st.integers(2, 50), total=st.integers(2, 400), channels=st.integers(1, 3))
def test_windows_have_one_length_and_lose_at_most_a_hundredth(length, total, channels):
    waveform = np.arange(total, dtype=np.float32) + 1000.0 * np.arange(channels)[:, None]
    windows = to_windows(waveform.astype(np.float32), length, 0.01)
    assert windows.shape[1:] == (channels, length)
    assert windows.dtype == np.float32
    np.testing.assert_array_equal(windows[0, :, : min(total, length)], waveform[:, :length])
    if total >= length:
        assert total - len(np.unique(windows[:, 0])) <= 0.01 * length
        assert all((np.diff(window[0]) == 1).all() for window in windows)  # contiguous pieces
    if len(windows) > 1:
        assert windows[-1, 0, -1] == total - 1


@pytest.mark.parametrize(
    ("seconds", "count"), [(1, 1), (9.9999, 1), (10, 1), (10.03, 1), (10.2, 2), (20, 2), (25, 3)]
)
def test_count_of_windows(seconds, count):
    waveform = np.zeros((2, round(seconds * 16_000)), np.float32)
    assert to_windows(waveform, 160_000, 0.01).shape == (count, 2, 160_000)


@pytest.mark.parametrize(("slack", "count"), [(0.0, 2), (0.24, 2), (0.25, 1), (0.9, 1)])
def test_slack_decides_from_where_on_another_window_is_added(slack, count):
    waveform = np.zeros((1, 1250), np.float32)
    assert len(to_windows(waveform, 1000, slack)) == count


@given(
    total=st.integers(2, 60),
    length=st.integers(2, 300),
    seed=st.integers(0, 99),
)
def test_a_short_clip_is_extended_without_a_jump_it_does_not_have(total, length, seed):
    rng = np.random.default_rng(seed)
    waveform = np.cumsum(rng.standard_normal((2, total)), axis=1).astype(np.float32)
    windows = to_windows(waveform, length, 0.01)
    jumps = np.abs(np.diff(windows[0], axis=1)).max(axis=1)
    assert (jumps <= np.abs(np.diff(waveform, axis=1)).max(axis=1)).all()
    if total < length:
        assert set(windows[0, 0]) == set(waveform[0])  # nothing is invented, padded or left out


def test_too_little_to_extend():
    with pytest.raises(ValueError, match="1 samples cannot be extended"):
        to_windows(np.zeros((1, 1), np.float32), 10, 0.01)
