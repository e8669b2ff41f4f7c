"""The unusual part of a clip, to be heard."""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from audio_anomaly_detector.explaining.explanation import Map, UnusualSound
from audio_anomaly_detector.scoring.clip_features import Floats, Waveform

_FRAME_S = 0.064  # between the resolutions of the two maps
_HOPS = 4
# Deviation that is let through by half, in standard deviations between the normals: what normal
# clips have seldom.
_HALF_AT = 4.0
_FULL_SCALE = 0.98
_MOST_GAIN_DB = 40.0


def bring_out(waveform: Waveform, sample_rate: int, narrow: Map, fast: Map) -> UnusualSound:
    """Let through what is louder than usual, with the phase of the clip, and amplify it.

    The maps are a soft mask z^2 / (z^2 + 4^2) on the short-time spectrum. The result is as loud as
    the clip if that takes 40 dB at most and it stays within full scale. What is missing from a clip
    cannot be heard so.

    Args:
        waveform: ``(C, T)``.
        sample_rate: Hz.
        narrow: of the same part, see `Explanation`.
        fast: likewise.
    """
    length = next_fast_len(2 * round(_FRAME_S * sample_rate / 2), real=True) // 2 * 2
    hop = length // _HOPS
    window = np.sqrt(np.hanning(length + 1)[:-1]).astype(np.float32)
    samples = waveform.shape[1]
    padded = np.pad(waveform, ((0, 0), (length, length + hop)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length, 1)[:, ::hop]
    spectrum = rfft(frames * window, axis=-1)  # (C, N, bins)
    hertz = np.arange(length // 2 + 1) * sample_rate / length
    seconds = (np.arange(frames.shape[1]) * hop - length / 2) / sample_rate
    mask = np.maximum(
        _mask(narrow, narrow.seconds[0] + seconds, hertz),
        _mask(fast, fast.seconds[0] + seconds, hertz),
    )
    parts = irfft(spectrum * mask, length, axis=-1) * window
    sound = np.zeros((len(waveform), padded.shape[1]), np.float32)
    for at in range(parts.shape[1]):
        sound[:, at * hop : at * hop + length] += parts[:, at]
    sound = sound[:, length : length + samples] * np.float32(2 / _HOPS)
    peak, rms = float(np.abs(sound).max()), float(np.sqrt(np.mean(sound**2)))
    if peak == 0.0:
        return UnusualSound(sound, 0.0)
    wanted = float(np.sqrt(np.mean(waveform**2))) / max(rms, 1e-12)
    factor = min(wanted, _FULL_SCALE / peak, 10 ** (_MOST_GAIN_DB / 20))
    return UnusualSound(np.asarray(sound * np.float32(factor)), float(20 * np.log10(factor)))


def _mask(of: Map, seconds: Floats, hertz: Floats) -> Floats:
    """The map as a mask at other times and frequencies, ``(N, bins)``, 0 to 1."""
    middles = (of.seconds[:-1] + of.seconds[1:]) / 2
    frame = np.searchsorted((middles[:-1] + middles[1:]) / 2, seconds)
    band = (np.searchsorted(of.hz, hertz, side="right") - 1).clip(0, len(of.hz) - 2)
    loud = of.together.clip(0)[band][:, frame].T
    return np.asarray(loud**2 / (loud**2 + _HALF_AT**2), np.float32)
