"""What is said of how a clip was recorded: gain, tilt, codecs, speed, speech, background."""

from itertools import count

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from audio_anomaly_detector.scoring.conditions import Conditions

RATE = 8000
SECONDS = 5
Waveform = NDArray[np.float32]
_seeds = count()


def machine(rng: np.random.Generator, speed: float = 1.0, level: float = 1.0) -> Waveform:
    """Six lines with side bands."""
    time = np.arange(SECONDS * RATE) / RATE
    lines = [
        speed * hertz for base in (110, 233, 517, 941, 1490, 2711) for hertz in (base, base + 9)
    ]
    phases = rng.uniform(0, 2 * np.pi, len(lines))
    sound = sum(np.sin(2 * np.pi * f * time + p) for f, p in zip(lines, phases, strict=True))
    return np.asarray(0.02 * level * sound, np.float32)[None]


def hall(rng: np.random.Generator, level: float = 1.0) -> Waveform:
    """Noise that falls with the frequency, a little louder or quieter from clip to clip."""
    spectrum = np.fft.rfft(rng.standard_normal(SECONDS * RATE))
    hertz = np.fft.rfftfreq(SECONDS * RATE, 1 / RATE)
    noise = np.fft.irfft(spectrum / np.sqrt(1 + (hertz / 300) ** 2))
    gain = 10 ** (rng.normal(0, 0.5) / 20)
    return np.asarray(0.1 * level * gain * noise, np.float32)[None]


def clip(**changes: float) -> Waveform:
    rng = np.random.default_rng(next(_seeds))
    return machine(rng, changes.get("speed", 1.0)) + hall(rng, changes.get("hall", 1.0))


def decibels(value: float) -> float:
    return 10 ** (value / 20)


def tilted(waveform: Waveform, slope: float) -> Waveform:
    """Louder by so many dB at half the sample rate, quieter by as many at 50 Hz."""
    hertz = np.fft.rfftfreq(waveform.shape[1], 1 / RATE).clip(50, RATE / 2)
    middle = np.sqrt(50 * RATE / 2)
    gains = 10 ** (slope * np.log(hertz / middle) / np.log(RATE / 2 / middle) / 20)
    return np.fft.irfft(np.fft.rfft(waveform) * gains, waveform.shape[1]).astype(np.float32)


def voice(seconds: float, glide: float) -> NDArray[np.float64]:
    """Syllables of pulses, whose pitch glides by so many octaves."""
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = 130 * 2 ** (glide * np.sin(2 * np.pi * 0.7 * time))
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0)
    return pulses * (np.sin(2 * np.pi * 3 * time) > -0.3)


def harmonics(pitch: NDArray[np.float64]) -> NDArray[np.float64]:
    """A sound of that pitch in Hz at each sample, with overtones."""
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    return np.asarray(sum(np.sin(k * phase) / k for k in range(1, 9)))


def notes(pitches: tuple[int, ...], glide: float = 0.0) -> NDArray[np.float64]:
    """Notes of a quarter second in turn, each of which glides by so many octaves."""
    length = RATE // 4
    each = [
        harmonics(pitches[number % len(pitches)] * 2 ** (np.linspace(-1, 1, length) * glide))
        for number in range(4 * SECONDS)
    ]
    return np.concatenate([note * np.hanning(length) for note in each])


@pytest.fixture(scope="module")
def conditions() -> Conditions:
    fitted = Conditions.fit((clip() for _ in range(16)), range(16), RATE)
    assert fitted is not None
    return fitted


def difference(
    conditions: Conditions,
    waveform: Waveform,
    normal: bool = False,
    speed_explains: bool = True,
    background_explains: bool = True,
) -> str | None:
    recorded = conditions.compare(waveform)
    as_normal = conditions.as_normal(waveform, recorded)
    return conditions.difference(
        waveform, recorded, as_normal, normal, speed_explains, background_explains
    )


def compensated(conditions: Conditions, waveform: Waveform) -> Waveform:
    return conditions.as_normal(waveform, conditions.compare(waveform)).compensated


def test_p_values_of_other_normal_clips_are_those_of_normal_clips(conditions: Conditions) -> None:
    values = np.array([conditions.compare(clip()).p_value for _ in range(60)])
    assert np.mean(values < 0.1) < 0.25
    assert np.mean(values < 0.5) > 0.25


@pytest.mark.parametrize("gain", [-12, 6])
def test_a_gain_is_measured_and_compensated(conditions: Conditions, gain: float) -> None:
    waveform = clip() * np.float32(decibels(gain))
    recorded = conditions.compare(waveform)
    assert recorded.p_value < 0.01
    assert recorded.gain == pytest.approx(gain, abs=1.5)  # the hall itself varies
    again = conditions.compare(compensated(conditions, waveform))
    assert again.p_value > 0.05
    assert again.gain == pytest.approx(0, abs=0.1)
    words = difference(conditions, waveform, normal=True)
    assert words is not None and ("louder" if gain > 0 else "quieter") in words


def test_a_tilt_is_measured_and_compensated(conditions: Conditions) -> None:
    waveform = tilted(clip(), 4)
    recorded = conditions.compare(waveform)
    assert recorded.tilt == pytest.approx(4, abs=0.5)
    again = conditions.compare(compensated(conditions, waveform))
    assert again.tilt == pytest.approx(0, abs=0.2)
    assert "brighter" in str(difference(conditions, waveform, normal=True))


def test_a_compensated_clip_keeps_its_time_and_lines(conditions: Conditions) -> None:
    waveform = clip()
    back = compensated(conditions, waveform * np.float32(0.25))
    assert back.shape == waveform.shape and back.dtype == np.float32
    assert np.corrcoef(back[0], waveform[0])[0, 1] > 0.99


def test_a_missing_band_is_named(conditions: Conditions) -> None:
    low = sosfiltfilt(butter(12, 2500, fs=RATE, output="sos"), clip()).astype(np.float32)
    words = difference(conditions, low, normal=True)
    assert words is not None and "above 2." in words
    # The recorder's own filter leaves little at the end of the spectrum, so that less is missing.
    less = low + np.float32(0.15) * sosfiltfilt(
        butter(8, 3700, "high", fs=RATE, output="sos"), clip()
    )
    missing = conditions.compare(less.astype(np.float32)).missing_above
    assert missing is not None and missing == pytest.approx(2600, abs=300)
    stop = butter(6, [1000, 1500], "bandstop", fs=RATE, output="sos")
    gap = sosfiltfilt(stop, clip()).astype(np.float32)
    assert conditions.compare(gap).missing_above is None


@pytest.mark.parametrize("speed", [0.97, 1.03])
def test_another_speed_is_named(conditions: Conditions, speed: float) -> None:
    words = difference(conditions, clip(speed=speed))
    assert words is not None and "another speed" in words
    assert ("higher" if speed > 1 else "lower") in words


@pytest.mark.parametrize("speed", [0.97, 1.03])
def test_a_clip_is_brought_to_the_normal_speed(conditions: Conditions, speed: float) -> None:
    waveform = clip(speed=speed)
    recorded = conditions.compare(waveform)
    found = conditions.as_normal(waveform, recorded)
    assert found.speed == pytest.approx(speed, abs=0.004)
    assert found.at_speed is not None
    again = conditions.as_normal(found.at_speed, conditions.compare(found.at_speed))
    assert again.speed is None
    assert conditions.compare(found.at_speed).missing_above is None
    assert difference(conditions, waveform, speed_explains=False) is None


def test_speech_is_named_and_a_whine_is_not(conditions: Conditions) -> None:
    spoken, whining = clip(), clip()
    spoken[0] += 0.5 * voice(SECONDS, glide=0.3)
    whining[0] += 0.5 * voice(SECONDS, glide=0.0)
    assert difference(conditions, spoken) == "speech is heard over it"
    assert "speech" not in str(difference(conditions, whining))
    # It is louder for that, and normal without it.
    assert difference(conditions, spoken, normal=True) == "speech is heard over it"


def test_music_is_told_from_speech(conditions: Conditions) -> None:
    played, sung = clip(), clip()
    played[0] += 0.2 * notes((220, 262, 330, 196, 294))
    sung[0] += 0.2 * notes((220, 262, 330, 196, 294), glide=0.2)
    assert difference(conditions, played) == "music is heard over it"
    assert difference(conditions, sung) == "speech is heard over it"


def test_a_word_in_the_hall_is_none_of_the_recording(conditions: Conditions) -> None:
    word = clip()
    word[0, : RATE // 2] += 0.5 * voice(SECONDS, glide=0.3)[: RATE // 2]
    assert conditions.heard(word, conditions.compare(word)) is None


@pytest.mark.parametrize("pitches", [(147, 220), (220, 220)])
def test_a_machine_that_works_at_few_speeds_plays_no_music(
    conditions: Conditions, pitches: tuple[int, ...]
) -> None:
    whining = clip()
    whining[0] += 0.2 * notes(pitches)
    found = conditions.heard(whining, conditions.compare(whining))
    assert found is None


def test_a_machine_that_runs_up_does_not_speak(conditions: Conditions) -> None:
    up = clip()
    up[0] += 0.2 * harmonics(150 * 2 ** (np.arange(SECONDS * RATE) / (SECONDS * RATE)))
    assert conditions.heard(up, conditions.compare(up)) is None


def test_a_louder_hall_is_told_from_a_gain(conditions: Conditions) -> None:
    louder = difference(conditions, clip(hall=decibels(6)))
    assert louder is not None and "background" in louder and "louder" in louder
    assert difference(conditions, clip(hall=decibels(6)), background_explains=False) is None
    # All as much louder, and not normal for it: that is no change of the hall.
    assert difference(conditions, clip() * np.float32(decibels(6))) is None


def test_nothing_is_said_of_a_clip_that_is_recorded_alike(conditions: Conditions) -> None:
    new_tone = clip()
    new_tone[0] += 0.05 * np.sin(2 * np.pi * 700 * np.arange(SECONDS * RATE) / RATE)
    assert difference(conditions, new_tone) is None


def test_too_few_clips_say_nothing() -> None:
    assert Conditions.fit((clip() for _ in range(3)), range(3), RATE) is None
    assert Conditions.fit((clip() for _ in range(8)), [0] * 8, RATE) is None


def test_clips_that_are_all_the_same_can_be_compared() -> None:
    one = clip()
    fitted = Conditions.fit((one for _ in range(4)), range(4), RATE)
    assert fitted is not None
    assert fitted.compare(one).p_value > 0.05


def test_plain_data_bring_them_back(conditions: Conditions) -> None:
    again = Conditions.from_plain(conditions.to_plain())
    waveform = clip() * np.float32(2)
    assert again.compare(waveform) == conditions.compare(waveform)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("floor", [1.0, 2.0]),
        ("spread", 0.0),
        ("power", -1.0),
        ("loud_bins", 10**6),
        ("lines", float("nan")),
        ("groups", 1),
    ],
)
def test_altered_data_are_refused(conditions: Conditions, name: str, value: object) -> None:
    plain = conditions.to_plain()
    part = plain[name]
    if isinstance(part, list) and not isinstance(value, list):
        value = [value] * len(part)
    with pytest.raises(ValueError, match="conditions of the recordings"):
        Conditions.from_plain({**plain, name: value})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="other parts"):
        Conditions.from_plain({k: v for k, v in plain.items() if k != name})


def test_a_clip_shorter_than_the_frames_of_lines_is_judged(conditions: Conditions) -> None:
    short = clip(speed=1.03)[:, :RATE]
    assert difference(conditions, short) is None
    assert 0 < conditions.compare(short).p_value < 1
