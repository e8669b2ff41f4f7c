"""Where each feature of a component lies in frequency and time, in the order of the features."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.models.despawn import DespawnConfig
from audio_anomaly_detector.models.logmel import LogMelConfig, mel_filters
from audio_anomaly_detector.models.networks import TARGET_MELS, TARGET_STATISTICS
from audio_anomaly_detector.scoring.signals import (
    SignalConfig,
    envelope_bins,
    envelope_frame,
    modulation_edges,
    modulation_frames,
    narrow_edges,
    narrow_frame,
    packet_levels,
)

Floats = NDArray[np.float64]


class Geometry(NamedTuple):
    """What the axes of all components follow from.

    Attributes:
        window_samples: of one analysis window.
        microphones: how many there are.
        logmel: front end; its sample rate is that of everything.
        signals: resolution of what needs no network.
        despawn: shape of the wavelet tree.
    """

    window_samples: int
    microphones: int
    logmel: LogMelConfig
    signals: SignalConfig
    despawn: DespawnConfig


class FeatureAxes(NamedTuple):
    """Axes of a component's features.

    Attributes:
        hz: ``(D,)`` centre frequency of each feature, Hz; None where features have none.
        rate_hz: ``(D,)`` modulation rate of each feature, Hz; None where they have none.
        seconds: length of sound that one value is measured on before it is pooled over time, s;
            None for the whole window.
    """

    hz: Floats | None = None
    rate_hz: Floats | None = None
    seconds: float | None = None


def no_axes(_: Geometry) -> FeatureAxes:
    """Features that lie at no frequency, such as embeddings and levels."""
    return FeatureAxes()


def mel_axes(geometry: Geometry) -> FeatureAxes:
    """One feature a mel band."""
    return FeatureAxes(_mel_centres(geometry.logmel), None, _mel_frame(geometry))


def narrow_axes(geometry: Geometry) -> FeatureAxes:
    """One feature a narrow band."""
    rate = geometry.logmel.sample_rate
    edges = np.array(narrow_edges(geometry.signals, rate, geometry.window_samples))
    frame = narrow_frame(geometry.signals, rate, geometry.window_samples)
    centres = (edges[:-1] + edges[1:] - 1) / 2  # the last bin of a band lies before the next edge
    return FeatureAxes(centres * rate / frame, None, frame / rate)


def envelope_axes(geometry: Geometry, repeats: int) -> FeatureAxes:
    """One feature a band of the fast envelopes, several times."""
    n_fft, _ = envelope_frame(geometry.signals, geometry.logmel.sample_rate)
    hz = np.tile(_envelope_centres(geometry), repeats)
    return FeatureAxes(hz, None, n_fft / geometry.logmel.sample_rate)


def modulation_axes(geometry: Geometry) -> FeatureAxes:
    """Band of the fast envelopes times modulation rate."""
    rate = geometry.logmel.sample_rate
    _, hop = envelope_frame(geometry.signals, rate)
    available = geometry.window_samples // hop + 1
    frames = modulation_frames(geometry.signals, rate, available)
    edges = np.array(modulation_edges(geometry.signals, frames))
    rates = (edges[:-1] + edges[1:] - 1) / 2 * rate / hop / frames
    carriers = _envelope_centres(geometry)
    return FeatureAxes(
        np.repeat(carriers, len(rates)), np.tile(rates, len(carriers)), frames * hop / rate
    )


def packet_axes(geometry: Geometry, repeats: int = 1) -> FeatureAxes:
    """One feature a wavelet packet band, several times."""
    bands = 2 ** packet_levels(geometry.signals, geometry.logmel.sample_rate)
    rate = geometry.logmel.sample_rate
    centres = (np.arange(bands) + 0.5) / bands * rate / 2
    return FeatureAxes(np.tile(centres, repeats), None, bands / rate)


def coherence_axes(geometry: Geometry) -> FeatureAxes:
    """Other microphone times mel band times real and imaginary part."""
    mels = np.repeat(_mel_centres(geometry.logmel), 2)
    return FeatureAxes(np.tile(mels, geometry.microphones - 1), None, _mel_frame(geometry))


def wavelet_axes(geometry: Geometry, repeats: int = 1) -> FeatureAxes:
    """One feature a sub-band of DeSpaWN, several times."""
    return FeatureAxes(np.tile(_wavelet_centres(geometry), repeats), None, None)


def target_axes(geometry: Geometry) -> FeatureAxes:
    """Targets of the VQ-VAE: coarse mel bands twice, then statistics of each sub-band."""
    mels = _mel_centres(geometry.logmel)
    count = len(mels)
    starts = np.arange(TARGET_MELS) * count // TARGET_MELS
    ends = -(-(np.arange(TARGET_MELS) + 1) * count // TARGET_MELS)
    coarse = [mels[start:end].mean() for start, end in zip(starts, ends, strict=True)]
    bands = np.repeat(_wavelet_centres(geometry), len(TARGET_STATISTICS))
    return FeatureAxes(np.concatenate([coarse, coarse, bands]), None, None)


def _mel_frame(geometry: Geometry) -> float:
    return geometry.logmel.n_fft / geometry.logmel.sample_rate


def _mel_centres(config: LogMelConfig) -> Floats:
    """Centre of gravity of each mel filter, Hz."""
    filters = mel_filters(config).double().numpy()  # (F, n_fft / 2 + 1)
    hz = np.arange(filters.shape[1]) * config.sample_rate / config.n_fft
    centres: Floats = (filters @ hz) / filters.sum(1)
    return centres


def _envelope_centres(geometry: Geometry) -> Floats:
    rate = geometry.logmel.sample_rate
    n_fft, _ = envelope_frame(geometry.signals, rate)
    width = envelope_bins(geometry.signals, rate)
    count = n_fft // 2 // width
    first = np.arange(count) * width + 1  # without DC
    last = first + width - 1
    last[-1] = n_fft // 2
    centres: Floats = (first + last) / 2 * rate / n_fft
    return centres


def wavelet_edges(config: DespawnConfig, sample_rate: int) -> Floats:
    """Nominal edges of the sub-bands of the tree, from the lowest up, Hz, ``(bands + 1,)``."""
    levels, packets = config.levels, config.packet_levels
    octaves = [2.0**-level for level in range(levels, packets, -1)]
    equal = [rank / 2**packets for rank in range(1, 2**packets + 1)]
    edges: Floats = np.array([0.0, *octaves, *equal]) * sample_rate / 2
    return edges


def _wavelet_centres(geometry: Geometry) -> Floats:
    """Nominal centre of each sub-band of the tree, from the lowest up, Hz."""
    edges = wavelet_edges(geometry.despawn, geometry.logmel.sample_rate)
    centres: Floats = (edges[:-1] + edges[1:]) / 2
    return centres
