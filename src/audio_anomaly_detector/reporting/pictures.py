"""Pictures of a clip in compressed form: its spectrogram, and the maps to be laid over it."""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.fft import rfft

from audio_anomaly_detector.explaining.explanation import Explanation, Floats, Map, SourceMaps
from audio_anomaly_detector.explaining.sources import largest_within
from audio_anomaly_detector.scoring.clip_features import Waveform

WIDTH, HEIGHT = 640, 192
_NARROW_WIDTH = 160  # its frames are half a second long
_SOURCE_WIDTH = 320  # the frames of the networks are some 30 ms apart
LOWEST_HZ = 20.0
_FRAME_S = 0.064  # between the resolutions of the two maps
_SHOWN_DB = 50.0
_WEBP_QUALITY = 50
# Standard deviations: up to the first nothing is laid over, as normal clips have that much,
# from the second on the colour is full. The same in every picture.
FAINT, FULL = 3.0, 12.0
_LOUDER, _QUIETER = (230, 159, 0), (86, 180, 233)  # Okabe & Ito (2008)
_OPAQUE = 235


class Pictures(NamedTuple):
    """Compressed pictures of one part of a clip, all with the same axes.

    Attributes:
        spectrogram: WebP, grey; white is the loudest, black 50 dB below.
        narrow: PNG, orange where it is louder than usual, blue where it is quieter.
        fast: likewise.
        sources: likewise of all sources of the score together and of each; empty without networks.
        hz: lowest and highest frequency, on a logarithmic axis.
    """

    spectrogram: bytes
    narrow: bytes
    fast: bytes
    sources: dict[str, bytes]
    hz: tuple[float, float]


def draw_pictures(explanation: Explanation) -> Pictures:
    """Pictures of the part that is explained, all microphones together."""
    highest = explanation.sample_rate / 2
    rows = np.geomspace(LOWEST_HZ, highest, HEIGHT + 1)
    levels = _spectrogram(explanation.waveform, explanation.sample_rate, rows)
    narrow, fast, sources = explanation.narrow, explanation.fast, explanation.sources
    by_source: dict[str, bytes] = {}
    if sources is not None:
        maps = {"all": sources.together} | {n: of.together for n, of in sources.of.items()}
        by_source = {
            name: _overlay(together, sources, rows, explanation.span, _SOURCE_WIDTH)
            for name, together in maps.items()
        }
    return Pictures(
        _grey(levels),
        _overlay(narrow.together, narrow, rows, explanation.span, _NARROW_WIDTH),
        _overlay(fast.together, fast, rows, explanation.span, WIDTH),
        by_source,
        (LOWEST_HZ, highest),
    )


def _spectrogram(waveform: Waveform, sample_rate: int, rows: Floats) -> Floats:
    """Levels in dB by row and column, ``(HEIGHT, WIDTH)``.

    Args:
        waveform: ``(C, T)``.
        sample_rate: Hz.
        rows: edges of the rows, Hz.
    """
    length = 2 * round(_FRAME_S * sample_rate / 2)
    samples = waveform.shape[1]
    starts = np.linspace(0, samples, WIDTH, endpoint=False).astype(np.int64)
    window = np.hanning(length).astype(np.float32)
    power = np.zeros((WIDTH, length // 2 + 1))
    for channel in waveform:
        padded = np.pad(channel, (length // 2, length))
        frames = np.lib.stride_tricks.sliding_window_view(padded, length)[starts]
        power += np.abs(rfft(frames * window, axis=-1)) ** 2
    # The mean power within a row, be it narrower than a bin or wider, from the cumulative one.
    edges = (np.arange(length // 2 + 2) - 0.5) * sample_rate / length
    below = np.concatenate([np.zeros((WIDTH, 1)), np.cumsum(power, 1)], 1)
    at = np.searchsorted(edges, rows, side="right").clip(1, len(edges) - 1)
    part = ((rows - edges[at - 1]) / (edges[at] - edges[at - 1])).clip(0, 1)
    reached = below[:, at - 1] + part * power[:, at - 1]
    # By row, not by Hz: a row's width grows with its frequency, as a third of an octave's does.
    return np.asarray(10 * np.log10(np.diff(reached, axis=1).T + 1e-20))


def _grey(levels: Floats) -> bytes:
    highest = float(np.percentile(levels, 99.9))
    # Squared, so that the floor is dark and what is laid over it stands out.
    grey = ((levels - highest) / _SHOWN_DB + 1).clip(0, 1) ** 2 * 255
    content = io.BytesIO()
    picture = Image.fromarray(grey[::-1].astype(np.uint8))
    picture.save(content, "WEBP", quality=_WEBP_QUALITY, method=4)
    return content.getvalue()


def _overlay(
    together: Floats, of: Map | SourceMaps, rows: Floats, span: tuple[float, float], width: int
) -> bytes:
    """A map ``(F, N)`` with the deviation that is largest within each pixel."""
    columns = np.linspace(*span, width + 1)
    by_row = largest_within(together, of.hz, rows, 0)
    pixels = largest_within(by_row, of.seconds, columns, 1)
    whole = pixels.clip(-FULL, FULL).round().astype(np.int8)[::-1]
    picture = Image.fromarray((whole + int(FULL)).astype(np.uint8), mode="P")
    deviations = np.arange(-FULL, FULL + 1)
    picture.putpalette([c for d in deviations for c in (_LOUDER if d > 0 else _QUIETER)])
    shown = ((np.abs(deviations) - FAINT) / (FULL - FAINT)).clip(0, 1)
    content = io.BytesIO()
    picture.save(
        content,
        "PNG",
        optimize=True,
        transparency=bytes((_OPAQUE * shown**0.7).round().astype(np.uint8)),
    )
    return content.getvalue()
