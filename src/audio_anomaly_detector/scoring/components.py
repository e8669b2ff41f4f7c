"""What is measured on a clip: one function for each component of the score.

A component's function takes what is known of a batch of windows and returns statistics
``(B, C, D)``, one row for each microphone, which are compared with those of normal clips (`Bank`).
Residuals and quantisation errors are compared too, not taken as scores: a fault that takes
something away, say a click, is easier to predict than the healthy machine, so a clip is odd on
either side of the normal ones (Nalisnick et al., "Detecting out-of-distribution inputs to deep
generative models using typicality", 2019). To add a component, write a function and enter it in
`SIGNAL_COMPONENTS` (needs no training) or `NETWORK_COMPONENTS`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from audio_anomaly_detector.models.despawn import BAND_STATISTICS
from audio_anomaly_detector.models.networks import NetworkOutputs
from audio_anomaly_detector.scoring.pooling import between_microphones, power_mean, upper_quantile
from audio_anomaly_detector.scoring.signals import POWER_FLOOR, Signals

# No microphone in the field keeps its gain better than this; a finer difference of level is an
# artefact of how a data set was mixed (docs/architecture.md, "Level").
LEVEL_TOLERANCE_DB = 1.0
# By how much a fault changes the steady level of a band. Where normal clips wander further, as in
# a hall as loud as the machine, what is steady tells of the hall; peaks and differences between
# microphones stand out by more.
STEADY_EFFECT_DB = 2.0
STEADY_LEVELS = "logmel_log"  # the component that shows how far they wander, in dB


Source = TypeVar("Source")


@dataclass(frozen=True)
class Component(Generic[Source]):
    """One way to look at a clip.

    Args:
        family: components of a family measure the same thing and count once in the score.
        statistics: from the batch to ``(B, C, D)``.
        microphones: fewest microphones it can work with.
        resolution: smallest difference of raw scores that means something.
        scaled: divide each statistic by its own spread before distances are taken.
        steady: it hears what goes on all the time, and counts less where that wanders.
        by_band: its features are levels of narrow bands, of which those count most where surrogates
            of the machine's sound are unlike it.
    """

    family: str
    statistics: Callable[[Source], Tensor]
    microphones: int = 1
    resolution: float = 0.02
    scaled: bool = True
    steady: bool = False
    by_band: bool = False


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
    peaks = [upper_quantile(signals.envelope, share) for share in (0.01, 0.001)]
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
    """What each microphone has more of the packets' energies and peaks than all on average."""
    both = torch.cat([_packet_energy(signals), _packet_quantile(signals)], -1)
    return between_microphones(both)


def _coherence(loud: bool) -> Callable[[Signals], Tensor]:
    def statistics(signals: Signals) -> Tensor:
        return signals.coherence(loud).flatten(2)

    return statistics


def _level(signals: Signals) -> Tensor:
    """RMS of the window in dB, in units of the tolerance."""
    power = signals.waveform.square().mean(-1, keepdim=True).clamp_min(POWER_FLOOR)
    return 10 * power.log10() / LEVEL_TOLERANCE_DB


SIGNAL_COMPONENTS: dict[str, Component[Signals]] = {
    "spectrum": Component("spectrum", _spectrum, steady=True, by_band=True),
    "modulation": Component("modulation", _modulation),
    "logmel_log": Component("logmel", _logmel(0), steady=True, by_band=True),
    "logmel_mean": Component("logmel", _logmel(1), steady=True, by_band=True),
    "logmel_quartic": Component("logmel", _logmel(4), by_band=True),
    "logmel_max": Component("logmel", _logmel(math.inf), by_band=True),
    "difference_log": Component("difference", _difference(0), microphones=2),
    "difference_mean": Component("difference", _difference(1), microphones=2),
    "difference_quartic": Component("difference", _difference(4), microphones=2),
    "difference_max": Component("difference", _difference(math.inf), microphones=2),
    "envelope_peaks": Component("envelope", _envelope_peaks),
    "envelope_crest": Component("envelope", _envelope_crest),
    "packet_energy": Component("packet", _packet_energy, steady=True),
    "packet_quantile": Component("packet", _packet_quantile),
    "packet_max": Component("packet", _packet_max),
    "packet_difference": Component("packet", _packet_difference, microphones=2),
    "coherence_mean": Component("coherence", _coherence(loud=False), microphones=2),
    "coherence_loud": Component("coherence", _coherence(loud=True), microphones=2),
    "level": Component("level", _level, resolution=1.0, scaled=False),
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
    """What each microphone has more of the sub-band energies and peaks than all on average."""
    both = torch.cat([_wavelet_energy(outputs), _wavelet_quantile(outputs)], -1)
    return between_microphones(both)


def _wavelet_residual(outputs: NetworkOutputs) -> Tensor:
    """Log energy of what the thresholds removed from each sub-band."""
    residual = _band_residual(outputs)
    return torch.logsumexp(residual, -1) - math.log(residual.shape[-1])


def _masked_mean(outputs: NetworkOutputs) -> Tensor:
    """What each mel bin has on average more than is predicted while it is hidden."""
    return outputs.residual.mean(-1)


def _masked_peak(outputs: NetworkOutputs) -> Tensor:
    """By how much the loudest frame of each mel bin exceeds its prediction."""
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
    """What each target has on average more than the codes can say."""
    return outputs.vq.residual.mean(-2)


def _vq_peak(outputs: NetworkOutputs) -> Tensor:
    """By how much each target exceeds at most what the codes can say."""
    return outputs.vq.residual.amax(-2)


def _vq_difference(outputs: NetworkOutputs) -> Tensor:
    return between_microphones(_vq_peak(outputs))


NETWORK_COMPONENTS: dict[str, Component[NetworkOutputs]] = {
    "wavelet_energy": Component("wavelet", _wavelet_energy, steady=True),
    "wavelet_peak": Component("wavelet", _wavelet_peak),
    "wavelet_quantile": Component("wavelet", _wavelet_quantile),
    "wavelet_residual": Component("wavelet", _wavelet_residual),
    "wavelet_difference": Component("wavelet", _wavelet_difference, microphones=2),
    "masked_mean": Component("masked", _masked_mean, steady=True),
    "masked_peak": Component("masked", _masked_peak),
    "masked_mean_difference": Component("masked", _masked_mean_difference, microphones=2),
    "masked_spread_difference": Component("masked", _masked_spread_difference, microphones=2),
    "embedding_clip": Component("embedding", _embedding_clip, steady=True),
    "embedding_difference": Component("embedding", _embedding_difference, microphones=2),
    "vq_errors": Component("vq", _vq_errors),
    "vq_mean": Component("vq", _vq_mean, steady=True),
    "vq_peak": Component("vq", _vq_peak),
    "vq_difference": Component("vq", _vq_difference, microphones=2),
}
SIGNAL_FAMILIES = tuple(dict.fromkeys(c.family for c in SIGNAL_COMPONENTS.values()))
NETWORK_FAMILIES = tuple(dict.fromkeys(c.family for c in NETWORK_COMPONENTS.values()))
FAMILIES = (*SIGNAL_FAMILIES, *NETWORK_FAMILIES)
# Those that hear what a surrogate of a clip lacks; it keeps the level, and where sources stand.
LOST_IN_SURROGATES = frozenset(
    name
    for name, component in (SIGNAL_COMPONENTS | NETWORK_COMPONENTS).items()
    if component.microphones == 1 and component.family != "level"
)
