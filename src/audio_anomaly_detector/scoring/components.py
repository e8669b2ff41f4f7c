"""What is measured on a clip: one function for each component of the score.

A component's function takes what is known of a batch of windows and returns statistics
``(B, C, D)``, one row for each microphone, which are compared with those of normal clips (`Bank`).
Residuals and quantisation errors are compared too, not taken as scores: a fault that takes
something away, say a click, is easier to predict than the healthy machine, so both sides of the
normal ones are anomalous (Nalisnick et al., "Detecting out-of-distribution inputs to deep
generative models using typicality", 2019).

To add a component, write a function and enter it in `SIGNAL_COMPONENTS` (needs no training) or
`NETWORK_COMPONENTS`. A model file refers to components by name: what a name measures never
changes; another definition gets another name.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from audio_anomaly_detector.models.despawn import BAND_STATISTICS
from audio_anomaly_detector.models.networks import NetworkOutputs
from audio_anomaly_detector.scoring.axes import (
    FeatureAxes,
    Geometry,
    coherence_axes,
    envelope_axes,
    mel_axes,
    modulation_axes,
    narrow_axes,
    no_axes,
    packet_axes,
    target_axes,
    wavelet_axes,
)
from audio_anomaly_detector.scoring.over_time import between_microphones, power_mean, upper_quantile
from audio_anomaly_detector.scoring.signals import Signals

Source = TypeVar("Source")


@dataclass(frozen=True)
class Component(Generic[Source]):
    """One kind of statistics of a clip, with all that the rest of the program knows of it.

    Args:
        family: components of a family measure the same thing and count once in the score.
        statistics: from the batch to ``(B, C, D)``.
        axes: frequency and time of each of the D features.
        microphones: fewest microphones it can work with.
        resolution: smallest difference of raw scores that means something.
        scaled: divide each feature by its own spread before distances are taken.
        steady: it measures levels that are there all the time, and its weight is reduced where
            these vary between normal clips.
        steadiness_reference: its spread, in dB, is by how much they vary; at most one component.
        by_band: its features are levels of narrow bands, which are weighted by how far surrogates
            of the machine's sound deviate in them.
        lost_in_surrogates: it measures what a surrogate lacks. Surrogates keep the level and where
            sources are, so levels and differences between microphones tell nothing there.
    """

    needs_network: ClassVar[bool] = False

    family: str
    statistics: Callable[[Source], Tensor]
    axes: Callable[[Geometry], FeatureAxes]
    microphones: int = 1
    resolution: float = 0.02
    scaled: bool = True
    steady: bool = False
    steadiness_reference: bool = False
    by_band: bool = False
    lost_in_surrogates: bool = True


class SignalComponent(Component[Signals]):
    """Measured on the waveform and its spectra."""


class NetworkComponent(Component[NetworkOutputs]):
    """Measured on the outputs of trained networks."""

    needs_network: ClassVar[bool] = True


def _logmel(exponent: float) -> Callable[[Signals], Tensor]:
    def statistics(signals: Signals) -> Tensor:
        return power_mean(signals.logmel, exponent)

    return statistics


def _difference(exponent: float) -> Callable[[Signals], Tensor]:
    def statistics(signals: Signals) -> Tensor:
        return between_microphones(power_mean(signals.logmel, exponent))

    return statistics


def _spectrum(signals: Signals) -> Tensor:
    return signals.spectrum


def _modulation(signals: Signals) -> Tensor:
    return signals.modulation.flatten(2)


def _envelope_peaks(signals: Signals) -> Tensor:
    """Levels that the fast envelope exceeds 1 % and 0.1 % of the time, dB."""
    shares = signals.config.envelope_peak_shares
    peaks = [upper_quantile(signals.envelope, share) for share in shares]
    return 10 * torch.cat(peaks, -1).log10()


def _envelope_crest(signals: Signals) -> Tensor:
    """Peak over mean power of each band, dB."""
    return 10 * (signals.envelope.amax(-1) / signals.envelope.mean(-1)).log10()


def _packet_energy(signals: Signals) -> Tensor:
    """Mean power of each wavelet packet band, dB."""
    return 10 * signals.packets.mean(-1).log10()


def _packet_quantile(signals: Signals) -> Tensor:
    return signals.packet_quantile


def _packet_max(signals: Signals) -> Tensor:
    """Power of the largest coefficient of each band, dB."""
    return 10 * signals.packets.amax(-1).log10()


def _packet_difference(signals: Signals) -> Tensor:
    """Energies and peaks of the packets, less their mean over microphones."""
    both = torch.cat([_packet_energy(signals), _packet_quantile(signals)], -1)
    return between_microphones(both)


def _coherence(loud: bool) -> Callable[[Signals], Tensor]:
    def statistics(signals: Signals) -> Tensor:
        return signals.coherence(loud).flatten(2)

    return statistics


def _level(signals: Signals) -> Tensor:
    """RMS of the window in dB, in units of the tolerance."""
    config = signals.config
    power = signals.waveform.square().mean(-1, keepdim=True).clamp_min(config.power_floor)
    return 10 * power.log10() / config.level_tolerance_db


def _envelope_peak_axes(geometry: Geometry) -> FeatureAxes:
    return envelope_axes(geometry, len(geometry.signals.envelope_peak_shares))


# What differs between microphones: surrogates keep it.
_between = partial(SignalComponent, microphones=2, lost_in_surrogates=False)
_both_packets = partial(packet_axes, repeats=2)

SIGNAL_COMPONENTS: dict[str, SignalComponent] = {
    "spectrum": SignalComponent("spectrum", _spectrum, narrow_axes, steady=True, by_band=True),
    "modulation": SignalComponent("modulation", _modulation, modulation_axes),
    "logmel_log": SignalComponent(
        "logmel", _logmel(0), mel_axes, steady=True, steadiness_reference=True, by_band=True
    ),
    "logmel_mean": SignalComponent("logmel", _logmel(1), mel_axes, steady=True, by_band=True),
    "logmel_quartic": SignalComponent("logmel", _logmel(4), mel_axes, by_band=True),
    "logmel_max": SignalComponent("logmel", _logmel(math.inf), mel_axes, by_band=True),
    "difference_log": _between("difference", _difference(0), mel_axes),
    "difference_mean": _between("difference", _difference(1), mel_axes),
    "difference_quartic": _between("difference", _difference(4), mel_axes),
    "difference_max": _between("difference", _difference(math.inf), mel_axes),
    "envelope_peaks": SignalComponent("envelope", _envelope_peaks, _envelope_peak_axes),
    "envelope_crest": SignalComponent(
        "envelope", _envelope_crest, partial(envelope_axes, repeats=1)
    ),
    "packet_energy": SignalComponent("packet", _packet_energy, packet_axes, steady=True),
    "packet_quantile": SignalComponent("packet", _packet_quantile, packet_axes),
    "packet_max": SignalComponent("packet", _packet_max, packet_axes),
    "packet_difference": _between("packet", _packet_difference, _both_packets),
    "coherence_mean": _between("coherence", _coherence(loud=False), coherence_axes),
    "coherence_loud": _between("coherence", _coherence(loud=True), coherence_axes),
    "level": SignalComponent(
        "level", _level, no_axes, resolution=1.0, scaled=False, lost_in_surrogates=False
    ),
}


def _band(name: str) -> Callable[[NetworkOutputs], Tensor]:
    index = BAND_STATISTICS.index(name)

    def statistics(outputs: NetworkOutputs) -> Tensor:
        return outputs.bands[..., index]  # (B, C, bands, S)

    return statistics


_band_energy = _band("log_energy")
_band_crest = _band("log_crest")
_band_quantile = _band("log_quantile_999")
_band_residual = _band("log_residual")


def _wavelet_energy(outputs: NetworkOutputs) -> Tensor:
    """Log energy of each sub-band over the whole window."""
    energy = _band_energy(outputs)
    return torch.logsumexp(energy, -1) - math.log(energy.shape[-1])


def _wavelet_peak(outputs: NetworkOutputs) -> Tensor:
    """Log of each sub-band's largest coefficient."""
    return (_band_crest(outputs) + _band_energy(outputs) / 2).amax(-1)


def _wavelet_quantile(outputs: NetworkOutputs) -> Tensor:
    """Log of the 99.9 % quantile of |c| that a quarter of the time steps reach."""
    return upper_quantile(_band_quantile(outputs), 0.25)


def _wavelet_difference(outputs: NetworkOutputs) -> Tensor:
    """Energies and peaks of the sub-bands, less their mean over microphones."""
    both = torch.cat([_wavelet_energy(outputs), _wavelet_quantile(outputs)], -1)
    return between_microphones(both)


def _wavelet_residual(outputs: NetworkOutputs) -> Tensor:
    """Log energy of what the thresholds removed from each sub-band."""
    residual = _band_residual(outputs)
    return torch.logsumexp(residual, -1) - math.log(residual.shape[-1])


def _masked_mean(outputs: NetworkOutputs) -> Tensor:
    """Mean deviation of each mel bin from its prediction while it is hidden."""
    return outputs.residual.mean(-1)


def _masked_peak(outputs: NetworkOutputs) -> Tensor:
    """Largest deviation of each mel bin from its prediction while it is hidden."""
    return outputs.residual.amax(-1)


def _masked_mean_difference(outputs: NetworkOutputs) -> Tensor:
    return between_microphones(_masked_mean(outputs))


def _masked_spread_difference(outputs: NetworkOutputs) -> Tensor:
    """Which microphones are harder to predict than others, by mel bin."""
    return between_microphones(outputs.residual.std(-1))


def _embedding_clip(outputs: NetworkOutputs) -> Tensor:
    return outputs.clip


def _embedding_difference(outputs: NetworkOutputs) -> Tensor:
    return between_microphones(outputs.clip)


def _vq_errors(outputs: NetworkOutputs) -> Tensor:
    """Reconstruction error, commitment distance and code surprise: their means and maxima.

    One vector: the distance to the nearest of a few single numbers can be anything.
    """
    scores = outputs.vq
    errors = torch.stack((scores.reconstruction, scores.commitment, scores.surprise), -2)
    return torch.cat([errors.mean(-1), errors.amax(-1)], -1)  # (B, C, 6)


def _vq_mean(outputs: NetworkOutputs) -> Tensor:
    """Mean deviation of each target from its reconstruction from the codes."""
    return outputs.vq.residual.mean(-2)


def _vq_peak(outputs: NetworkOutputs) -> Tensor:
    """Largest deviation of each target from its reconstruction from the codes."""
    return outputs.vq.residual.amax(-2)


def _vq_difference(outputs: NetworkOutputs) -> Tensor:
    return between_microphones(_vq_peak(outputs))


_network_between = partial(NetworkComponent, microphones=2, lost_in_surrogates=False)
_both_wavelets = partial(wavelet_axes, repeats=2)

NETWORK_COMPONENTS: dict[str, NetworkComponent] = {
    "wavelet_energy": NetworkComponent("wavelet", _wavelet_energy, wavelet_axes, steady=True),
    "wavelet_peak": NetworkComponent("wavelet", _wavelet_peak, wavelet_axes),
    "wavelet_quantile": NetworkComponent("wavelet", _wavelet_quantile, wavelet_axes),
    "wavelet_residual": NetworkComponent("wavelet", _wavelet_residual, wavelet_axes),
    "wavelet_difference": _network_between("wavelet", _wavelet_difference, _both_wavelets),
    "masked_mean": NetworkComponent("masked", _masked_mean, mel_axes, steady=True),
    "masked_peak": NetworkComponent("masked", _masked_peak, mel_axes),
    "masked_mean_difference": _network_between("masked", _masked_mean_difference, mel_axes),
    "masked_spread_difference": _network_between("masked", _masked_spread_difference, mel_axes),
    "embedding_clip": NetworkComponent("embedding", _embedding_clip, no_axes, steady=True),
    "embedding_difference": _network_between("embedding", _embedding_difference, no_axes),
    "vq_errors": NetworkComponent("vq", _vq_errors, no_axes),
    "vq_mean": NetworkComponent("vq", _vq_mean, target_axes, steady=True),
    "vq_peak": NetworkComponent("vq", _vq_peak, target_axes),
    "vq_difference": _network_between("vq", _vq_difference, target_axes),
}
COMPONENTS: dict[str, Component[Any]] = {**SIGNAL_COMPONENTS, **NETWORK_COMPONENTS}


def _families(components: dict[str, Component[Any]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(component.family for component in components.values()))


FAMILIES = _families(COMPONENTS)
SIGNAL_FAMILIES = _families({k: c for k, c in COMPONENTS.items() if not c.needs_network})
NETWORK_FAMILIES = _families({k: c for k, c in COMPONENTS.items() if c.needs_network})

# How much families count in the score that are not worth a whole one; all others count 1. Alone,
# levels of one microphone against the others find fewer faults than any other family but `level`.
# From 28 synthetic machines in 7 halls at -6 dB, with faults of the generator's tuning kind, by 2,
# 4 and 8 microphones and 8, 20 and 40 normal clips: 0, .1, .25 and .5 gave a mean AUROC that was
# .006, .006, .005 and .003 above that of 1, and 2 one that was .007 below. On 24 others .25 gave
# .007 more [.004, .010]. Clips of eight real machines, the normal ones against the same with a
# sound added or a band changed: .013 more [.007, .019] with 8 clips.
FAMILY_WEIGHT = {"difference": 0.25}
