"""Synthetic clips recorded otherwise than those that a detector learned from."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf
from numpy.typing import NDArray
from scipy.signal import lfilter, resample_poly

from audio_anomaly_detector.synthesis.data_set import MACHINE_RMS, Rendering
from audio_anomaly_detector.synthesis.sounds import Array, amplitude, unit_rms

Waveform = NDArray[np.float32]
SNR_DB = 0.0
_LOWEST_HZ = 50.0
_AAC_BITS_PER_SECOND = 64_000


class Take(NamedTuple):
    """What a clip is mixed from.

    Attributes:
        parts: of the machine and its hall.
        second: a clip of another machine in the same hall.
        rng: draws what is added.
        sample_rate: Hz.
        samples: of the clip; the parts are longer, so that the machine can run faster.
    """

    parts: Rendering
    second: Rendering
    rng: np.random.Generator
    sample_rate: int
    samples: int

    def mixed(self, hall_db: float = 0.0, machine: Array | None = None) -> Array:
        """The recording ``(C, T)`` before it is quantised, its hall so much louder."""
        parts = self.parts
        machine = parts.machine if machine is None else machine
        level = amplitude(hall_db - SNR_DB - parts.snr_offset_db)
        recording = machine[:, : self.samples] + parts.background[:, : self.samples] * level
        return np.asarray(recording * MACHINE_RMS * amplitude(parts.gain_db))


def quantised(recording: Array) -> Waveform:
    """As a file of 16 bit holds it, ``(C, T)``."""
    return (np.clip(np.rint(recording * 32768), -32768, 32767) / 32768).astype(np.float32)


def _gained(level: float) -> Callable[[Take], Array]:
    return lambda take: take.mixed() * amplitude(level)


def _tilted(level: float) -> Callable[[Take], Array]:
    """So many dB at half the sample rate, as many less at 50 Hz, straight over the octaves."""

    def tilt(take: Take) -> Array:
        recording, top = take.mixed(), take.sample_rate / 2
        hertz = np.fft.rfftfreq(recording.shape[1], 1 / take.sample_rate).clip(_LOWEST_HZ)
        middle = np.sqrt(_LOWEST_HZ * top)
        gains = amplitude(level * np.log(hertz / middle) / np.log(top / middle))
        return np.fft.irfft(np.fft.rfft(recording) * gains, recording.shape[1])

    return tilt


def _write_mp3(take: Take, path: Path) -> None:
    sf.write(path, take.mixed().T, take.sample_rate, format="MP3", subtype="MPEG_LAYER_III")


def _write_aac(take: Take, path: Path) -> None:
    """In an M4A file, as telephones do."""
    import av  # noqa: PLC0415 - an extra

    recording = take.mixed().astype(np.float32)
    layout = "mono" if len(recording) == 1 else "stereo"
    with av.open(path, "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=take.sample_rate, layout=layout)
        stream.bit_rate = _AAC_BITS_PER_SECOND
        frame = av.AudioFrame.from_ndarray(recording, format="fltp", layout=layout)
        frame.sample_rate = take.sample_rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def _write_at_half_rate(take: Take, path: Path) -> None:
    half = resample_poly(take.mixed(), 1, 2, axis=1)
    sf.write(path, half.T, take.sample_rate // 2, "PCM_16", format="WAV")


def _resampled(take: Take) -> Array:
    """To half the rate and back."""
    half = resample_poly(take.mixed(), 1, 2, axis=1)
    return np.asarray(resample_poly(half, 2, 1, axis=1))


def _louder_hall(level: float) -> Callable[[Take], Array]:
    return lambda take: take.mixed(hall_db=level)


def _with_speech(level: float) -> Callable[[Take], Array]:
    def speak(take: Take) -> Array:
        recording = take.mixed()
        voice = speech(take.rng, recording.shape[1], take.sample_rate)
        return recording + np.sqrt(np.mean(recording**2)) * amplitude(level) * voice

    return speak


def _with_second_machine(take: Take) -> Array:
    """As loud as machine and hall together."""
    recording = take.mixed()
    loudness = np.sqrt(np.mean(recording**2))
    return recording + loudness * take.second.machine[:, : take.samples]


def _at_speed(percent: int) -> Callable[[Take], Array]:
    """The machine alone runs faster or slower, with all its tones and events."""

    def run(take: Take) -> Array:
        return take.mixed(machine=resample_poly(take.parts.machine, 100, 100 + percent, axis=1))

    return run


def speech(rng: np.random.Generator, samples: int, sample_rate: int) -> Array:
    """Babble of one voice, mean square 1: syllables of pulses or noise through four formants."""
    said = np.zeros(samples)
    start = 0
    while start < samples:
        length = int(rng.uniform(0.12, 0.3) * sample_rate)
        pitch = rng.uniform(100, 200) * (1 + 0.1 * np.linspace(1, -1, length))
        source = np.diff(np.floor(np.cumsum(pitch) / sample_rate), prepend=0)
        if rng.random() < 0.25:  # a consonant
            source = 0.1 * rng.standard_normal(length)
        syllable = np.zeros(length)
        for low, high, width in ((300, 800, 80), (900, 2200, 120), (2300, 3200, 200)):
            radius = np.exp(-np.pi * width / sample_rate)
            turn = 2 * radius * np.cos(2 * np.pi * rng.uniform(low, high) / sample_rate)
            syllable += lfilter([1 - radius], [1, -turn, radius**2], source)
        end = min(samples, start + length)
        said[start:end] += (syllable * np.sqrt(np.hanning(length)))[: end - start]
        pause = rng.uniform(0.3, 1.0) if rng.random() < 0.12 else rng.uniform(0.02, 0.25)
        start += length + int(pause * sample_rate)
    return unit_rms(said)


# By scenario and name.
CONDITIONS: dict[str, dict[str, Callable[[Take], Array]]] = {
    "gain": {
        "6 dB quieter": _gained(-6),
        "6 dB louder": _gained(6),
        "a fifth of the volume": _gained(-14),
    },
    "tilt": {"tilt of +3 dB": _tilted(3), "tilt of -3 dB": _tilted(-3)},
    "rate": {"to half the rate and back": _resampled},
    "hall": {"hall 3 dB louder": _louder_hall(3), "hall 3 dB quieter": _louder_hall(-3)},
    "speech": {"speech, as loud": _with_speech(0), "speech, 6 dB below": _with_speech(-6)},
    "second": {"second machine": _with_second_machine},
    "speed": {"3 % faster": _at_speed(3), "3 % slower": _at_speed(-3)},
}
# The same of clips that are written as other files: by scenario, the name and the extension.
FILES: dict[str, dict[tuple[str, str], Callable[[Take, Path], None]]] = {
    "rate": {("file at half the rate", "wav"): _write_at_half_rate},
    "coding": {("MP3", "mp3"): _write_mp3, ("AAC", "m4a"): _write_aac},
}


def can_be_written(extension: str) -> bool:
    """Whether the library is installed that writes such files; the extra `media` has it."""
    return extension != "m4a" or find_spec("av") is not None
