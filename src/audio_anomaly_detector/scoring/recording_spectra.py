"""Spectra that show how a clip was recorded: floor, lines, voices; mean over microphones."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.fft import rfft, rfftfreq

Floats = NDArray[np.floating]
Waveform = NDArray[np.float32]

LOWEST_HZ = 50.0
_POWER_FLOOR = 1e-20

_FRAME = 0.128  # s
_MOST_FRAMES = 1024  # evenly over the clip, so that memory and time do not grow with it
_BANDS = 12  # in which the floor is compared
_BANDS_PER_OCTAVE = 12  # of the fine floor, but no narrower than four frequencies

_LINE_FRAME = 1.024  # s
_LINE_FRAMES = 64
LINE_STEP = 0.0025  # of the frequency
_LINE_WIDTH = 81  # steps over which the level is taken off: a fifth of the frequency

_VOICE_FRAME = 0.064  # s
VOICE_HOP = _VOICE_FRAME / 4  # s, from frame to frame
_VOICE_FRAMES = 4000  # from the start: 64 s
_VOICE_HZ = (70.0, 3200.0)
PITCHES = np.geomspace(80.0, 360.0, 90)  # Hz, of voices


@cache
def recording_spectra(sample_rate: int) -> "RecordingSpectra":
    """The spectra for a sample rate in Hz."""
    return RecordingSpectra(sample_rate)


class RecordingSpectra:
    """Frequencies of the spectra, and how they are made.

    Attributes:
        length: samples of a frame of `levels`.
        hertz: frequencies of `levels`, ``(F,)``.
        fine: positions of the frequencies of each fine band, B of them.
        fine_hz: the middle of each fine band.
        band_of: positions of the fine bands of each band, K of them.
        band_place: `place` of each band, ``(K,)``.
        line_hz: frequencies of `lines`, ``(G,)``.
        line_length: samples of a frame of `lines`.
        voice_bins: frequencies of `voice_power`.
        voice_band: which of them lie where voices are.
        harmonics: takes levels at the harmonics of each pitch less those between, ``(P, F')``.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        top = sample_rate / 2
        self.length = round(_FRAME * sample_rate)
        self.hertz = rfftfreq(self.length, 1 / sample_rate)
        edges = [LOWEST_HZ]
        while edges[-1] < top:
            edges.append(max(edges[-1] * 2 ** (1 / _BANDS_PER_OCTAVE), edges[-1] + 4 / _FRAME))
        edges[-1] = top + 1
        self.fine = _within(self.hertz, np.array(edges))
        self.fine_hz = np.array(
            [math.sqrt(np.prod(self.hertz[band[[0, -1]]])) for band in self.fine]
        )
        wide = np.geomspace(LOWEST_HZ, top + 1, _BANDS + 1)
        self.band_of = [band for band in _within(self.fine_hz, wide) if len(band)]
        self.band_place = np.array([self.place(self.fine_hz[band]).mean() for band in self.band_of])
        self.line_length = round(_LINE_FRAME * sample_rate)
        steps = int(math.log(0.97 * top / LOWEST_HZ) / LINE_STEP)
        self.line_hz = LOWEST_HZ * np.exp(LINE_STEP * np.arange(steps))
        self._voice_length = round(_VOICE_FRAME * sample_rate)
        voices = rfftfreq(self._voice_length, 1 / sample_rate)
        self.voice_bins = len(voices)
        self.voice_band = (voices >= _VOICE_HZ[0]) & (voices <= _VOICE_HZ[1])
        self.harmonics = _harmonics(voices)

    def place(self, hertz: Floats) -> Floats:
        """Of frequencies on a logarithmic axis: 0 in the middle, 1 at half the sample rate."""
        top = self.sample_rate / 2
        middle = math.sqrt(LOWEST_HZ * top)
        return np.asarray(np.log(hertz.clip(LOWEST_HZ, top) / middle) / math.log(top / middle))

    def levels(self, waveform: Waveform) -> Floats:
        """Level of a clip ``(C, T)`` in frames of an eighth of a second, dB, ``(F, N)``."""
        return _decibels(_power(waveform, self.length, self.length // 2, _MOST_FRAMES))

    def floor(self, levels: Floats) -> Floats:
        """Level between lines and events in each fine band, dB, ``(F, N) -> (B,)``."""
        usual = _median(levels)
        return np.array([_median(usual[band]) for band in self.fine])

    def bands(self, floor: Floats) -> Floats:
        """The floor of wider bands, ``(B,) -> (K,)``."""
        return np.array([_median(floor[band]) for band in self.band_of])

    def lines(self, waveform: Waveform) -> Floats:
        """How lines of a clip ``(C, T)`` stand out on a logarithmic axis, dB, ``(G,)``."""
        length = min(self.line_length, waveform.shape[1])
        power = _power(waveform, length, length // 2, _LINE_FRAMES).mean(axis=1)
        hertz = rfftfreq(length, 1 / self.sample_rate)
        level = np.interp(self.line_hz, hertz, _decibels(power))
        return np.asarray(level - _running_mean(level, _LINE_WIDTH))

    def voice_power(self, waveform: Waveform) -> Floats:
        """Power of a clip ``(C, T)`` in frames that follow a voice, ``(F', N)``."""
        hop = self._voice_length // 4
        heard = waveform[:, : self._voice_length + hop * (_VOICE_FRAMES - 1)]
        return _power(heard, self._voice_length, hop, _VOICE_FRAMES)


def _power(waveform: Waveform, length: int, hop: int, most: int) -> Floats:
    """Power of windowed frames, mean over microphones, ``(C, T) -> (length // 2 + 1, N)``.

    Args:
        waveform: at least a frame long.
        length: of a frame, samples.
        hop: from frame to frame.
        most: frames; of more these lie evenly over the clip.
    """
    count = 1 + (waveform.shape[1] - length) // hop
    starts = hop * np.arange(count)
    if count > most:
        starts = np.linspace(0, waveform.shape[1] - length, most).astype(int)
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    window /= window.sum()
    total = np.zeros((len(starts), length // 2 + 1), np.float32)
    for microphone in waveform:
        frames = np.lib.stride_tricks.sliding_window_view(microphone, length)[starts]
        spectrum = rfft(frames * window, axis=1)
        total += spectrum.real**2 + spectrum.imag**2
    return np.ascontiguousarray(total.T) / np.float32(len(waveform)) + np.float32(_POWER_FLOOR)


def _decibels(power: Floats) -> Floats:
    return np.asarray(10 * np.log10(power))


def _median(values: Floats) -> Floats:
    """The lower median along the last axis; several times as fast as numpy's of an even number."""
    middle = (values.shape[-1] - 1) // 2
    return np.asarray(np.partition(values, middle, axis=-1)[..., middle])


def _running_mean(values: Floats, width: int) -> Floats:
    """Mean over an odd number of neighbours; the ends go on."""
    sums = np.cumsum(np.pad(values, (width // 2 + 1, width // 2), mode="edge"))
    return np.asarray((sums[width:] - sums[:-width]) / width)


def _within(values: Floats, edges: Floats) -> list[NDArray[np.int64]]:
    """Positions of the values between each edge and the next."""
    return [np.flatnonzero((values >= low) & (values < high)) for low, high in pairwise(edges)]


def _harmonics(hertz: Floats) -> Floats:
    """Weights of the harmonics of each pitch less those of the middles between them, ``(P, F')``.

    A harmonic k weighs ``1 / sqrt(k)``.
    """
    step, last = hertz[1], min(3000.0, 0.9 * hertz[-1])
    weights = np.zeros((len(PITCHES), len(hertz)))
    for row, pitch in enumerate(PITCHES):
        numbers = np.arange(1, int(last / pitch) + 1)
        share = 1 / np.sqrt(numbers)
        share /= share.sum()
        for offset, sign in ((0.0, 1), (0.5, -1)):
            place = (numbers + offset) * pitch / step
            below, part = place.astype(int), place % 1
            np.add.at(weights[row], below, sign * share * (1 - part))
            np.add.at(weights[row], below + 1, sign * share * part)
    return weights
