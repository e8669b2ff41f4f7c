"""A machine of known sound, and what is learned of its normal clips."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.explaining.explanation import Finding
from audio_anomaly_detector.explaining.findings import find_differences
from audio_anomaly_detector.scoring.clip_features import clip_features
from audio_anomaly_detector.scoring.usual_sound import UsualSound

RATE = 16_000
SECONDS = 8.0
TIME = np.arange(int(SECONDS * RATE)) / RATE
Clip = NDArray[np.float32]


def machine(seed: int, microphones: int = 1) -> Clip:
    """Noise with a little of a level of its own, and a tone at 300 Hz, ``(C, T)``."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((microphones, len(TIME)))
    tone = np.sin(2 * np.pi * 300 * (1 + 0.002 * rng.standard_normal()) * TIME)
    level = 0.02 * 10 ** (rng.normal(0, 0.3) / 20)
    return (level * (noise + 0.5 * tone)).astype(np.float32)


def stroke(
    seed: int, left_out: tuple[int, ...] = (), weak: tuple[int, ...] = (), cycle: float = 0.5
) -> Clip:
    """Noise with a click twice a second, ``(1, T)``.

    Args:
        seed: of the noise.
        left_out: numbers of the clicks that are missing.
        weak: of those that are half as loud.
        cycle: from one to the next, s.
    """
    sound = machine(seed)
    for number in range(int((SECONDS - 0.3) / cycle)):
        if number not in left_out:
            add_click(sound, 0.2 + cycle * number, size=0.2 if number in weak else 0.4)
    return sound


def add_click(sound: Clip, at: float, hz: float = 3000.0, size: float = 0.4) -> None:
    """Add a click of a few milliseconds in place."""
    decay = np.arange(160) / RATE
    click = size * np.exp(-decay / 0.0015) * np.sin(2 * np.pi * hz * decay)
    first = round(at * RATE)
    sound[:, first : first + len(click)] += click.astype(np.float32)


def band_noise(seed: int, low: float, high: float) -> NDArray[np.float64]:
    """Noise of one band with unit RMS, ``(T,)``."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(len(TIME)))
    hz = np.fft.rfftfreq(len(TIME), 1 / RATE)
    spectrum[(hz < low) | (hz > high)] = 0
    noise = np.fft.irfft(spectrum, len(TIME))
    return np.asarray(noise / noise.std())


def learned(make: Callable[[int], Clip], count: int = 16) -> UsualSound:
    """What is learned of normal clips."""
    clips = [make(seed) for seed in range(count)]
    usual = UsualSound.fit(clips, range(count), RATE, SECONDS, [f"{n}.wav" for n in range(count)])
    assert usual is not None
    return usual


def findings(
    sound: Clip, usual: UsualSound, rates: dict[str, float] | None = None, anomalous: bool = True
) -> list[Finding]:
    """What is said of a clip."""
    features = clip_features(sound, RATE)
    seconds = sound.shape[1] / RATE
    return find_differences(features, usual, seconds, 0.0, rates or {}, anomalous=anomalous)
