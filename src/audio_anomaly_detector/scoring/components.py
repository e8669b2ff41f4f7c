"""What is measured on a clip: one function for each component of the score.

A component's function takes what is known of a batch of windows and returns statistics
``(B, C, D)``, one row for each microphone, which are compared with those of normal clips (`Bank`).
Likelihoods and quantisation errors are compared too, not taken as scores: a fault that takes
something away, say a click, is easier to predict than the healthy machine, so a clip is odd on
either side of the normal ones (Nalisnick et al., "Detecting out-of-distribution inputs to deep
generative models using typicality", 2019). To add a component, write a function and enter it in
`SIGNAL_COMPONENTS` (needs no training) or `NETWORK_COMPONENTS`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from audio_anomaly_detector.models.despawn import BAND_STATISTICS
from audio_anomaly_detector.models.networks import NetworkOutputs
from audio_anomaly_detector.scoring.pooling import between_microphones, power_mean, upper_quantile

# Fast envelopes: 4-ms frames every 2 ms at 16 kHz, short enough for a click of a valve.
_ENVELOPE_FFT = 64
_ENVELOPE_HOP = 32
_ENVELOPE_BANDS = 16
_FLOOR = 1e-10
# No microphone in the field keeps its gain better than this; a finer difference of level is an
# artefact of how a data set was mixed (docs/architecture.md, "Level").
LEVEL_TOLERANCE_DB = 1.0


class Signals(NamedTuple):
    """A batch of windows and their spectrograms, before any network.

    Attributes:
        waveform: ``(B, C, T)`` in full scale ±1.
        logmel: ``(B, C, F, N)`` in dB.
        envelope: ``(B, C, 16, M)`` power by band, see `fast_envelope`.
    """

    waveform: Tensor
    logmel: Tensor
    envelope: Tensor


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
    """

    family: str
    statistics: Callable[[Source], Tensor]
    microphones: int = 1
    resolution: float = 0.02
    scaled: bool = True


def _logmel(exponent: float) -> Callable[[Signals], Tensor]:
    def statistics(signals: Signals) -> Tensor:
        return power_mean(signals.logmel, exponent)

    return statistics


def _difference(exponent: float) -> Callable[[Signals], Tensor]:
    def statistics(signals: Signals) -> Tensor:
        return between_microphones(power_mean(signals.logmel, exponent))

    return statistics


def fast_envelope(waveform: Tensor) -> Tensor:
    """Power in 16 bands of equal width, one value every 2 ms: ``(B, C, T) -> (B, C, 16, M)``."""
    window = torch.hann_window(_ENVELOPE_FFT, device=waveform.device)
    spectrum = torch.stft(
        waveform.flatten(0, 1), _ENVELOPE_FFT, _ENVELOPE_HOP, window=window, return_complex=True
    )
    power = torch.view_as_real(spectrum[:, 1:]).square().sum(-1)  # (B·C, 32, M) without DC
    bands = power.unflatten(1, (_ENVELOPE_BANDS, -1)).mean(2)
    return bands.clamp_min(_FLOOR).unflatten(0, waveform.shape[:2])


def _envelope_peaks(signals: Signals) -> Tensor:
    """Levels that the fast envelope exceeds 1 % and 0.1 % of the time, dB."""
    peaks = [upper_quantile(signals.envelope, share) for share in (0.01, 0.001)]
    return 10 * torch.cat(peaks, -1).log10()


def _envelope_crest(signals: Signals) -> Tensor:
    """Peak over mean power of each band, dB."""
    return 10 * (signals.envelope.amax(-1) / signals.envelope.mean(-1)).log10()


def _level(signals: Signals) -> Tensor:
    """RMS of the window in dB, in units of the tolerance."""
    power = signals.waveform.square().mean(-1, keepdim=True).clamp_min(_FLOOR)
    return 10 * power.log10() / LEVEL_TOLERANCE_DB


SIGNAL_COMPONENTS: dict[str, Component[Signals]] = {
    "logmel_mean": Component("logmel", _logmel(1)),
    "logmel_quartic": Component("logmel", _logmel(4)),
    "logmel_max": Component("logmel", _logmel(math.inf)),
    "difference_log": Component("difference", _difference(0), microphones=2),
    "difference_mean": Component("difference", _difference(1), microphones=2),
    "difference_quartic": Component("difference", _difference(4), microphones=2),
    "difference_max": Component("difference", _difference(math.inf), microphones=2),
    "envelope_peaks": Component("envelope", _envelope_peaks),
    "envelope_crest": Component("envelope", _envelope_crest),
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
    """Mean negative log-likelihood of hidden bins."""
    return outputs.nll.mean((-2, -1)).unsqueeze(-1)


def _masked_peak(outputs: NetworkOutputs) -> Tensor:
    """Negative log-likelihood of the least likely frames (1 %), averaged over frequency."""
    return upper_quantile(outputs.nll.mean(-2), 0.01).unsqueeze(-1)


def _masked_profile(outputs: NetworkOutputs) -> Tensor:
    """Negative log-likelihood by mel bin: where in frequency prediction fails."""
    return outputs.nll.mean(-1)


def _embedding_clip(outputs: NetworkOutputs) -> Tensor:
    return outputs.clip


def _embedding_difference(outputs: NetworkOutputs) -> Tensor:
    return between_microphones(outputs.clip)


def _vq_reconstruction(outputs: NetworkOutputs) -> Tensor:
    return outputs.vq.reconstruction.mean(-1, keepdim=True)


def _vq_commitment(outputs: NetworkOutputs) -> Tensor:
    return outputs.vq.commitment.mean(-1, keepdim=True)


def _vq_surprise(outputs: NetworkOutputs) -> Tensor:
    return outputs.vq.surprise.mean(-1, keepdim=True)


def _vq_latent(outputs: NetworkOutputs) -> Tensor:
    """Mean and spread of the latent over time, before it is quantised."""
    return torch.cat([outputs.latent.mean(-2), outputs.latent.std(-2)], -1)


NETWORK_COMPONENTS: dict[str, Component[NetworkOutputs]] = {
    "wavelet_energy": Component("wavelet", _wavelet_energy),
    "wavelet_peak": Component("wavelet", _wavelet_peak),
    "wavelet_quantile": Component("wavelet", _wavelet_quantile),
    "wavelet_residual": Component("wavelet", _wavelet_residual),
    "wavelet_difference": Component("wavelet", _wavelet_difference, microphones=2),
    "masked_mean": Component("masked", _masked_mean),
    "masked_peak": Component("masked", _masked_peak),
    "masked_profile": Component("masked", _masked_profile),
    "embedding_clip": Component("embedding", _embedding_clip),
    "embedding_difference": Component("embedding", _embedding_difference, microphones=2),
    "vq_reconstruction": Component("vq", _vq_reconstruction),
    "vq_commitment": Component("vq", _vq_commitment),
    "vq_surprise": Component("vq", _vq_surprise),
    "vq_latent": Component("vq", _vq_latent),
}
FAMILIES = tuple(
    dict.fromkeys(
        [component.family for component in SIGNAL_COMPONENTS.values()]
        + [component.family for component in NETWORK_COMPONENTS.values()]
    )
)
