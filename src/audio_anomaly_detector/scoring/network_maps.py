"""What the networks make of a clip over time and frequency, which an explanation shows as maps.

Each network at its own resolution: the masked transformer at mel bins and frames, DeSpaWN at
sub-bands and time steps, the VQ-VAE at coarse mel bands and time steps.
"""

import math
from collections.abc import Collection
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from audio_anomaly_detector.models.despawn import BAND_STATISTICS, DespawnConfig
from audio_anomaly_detector.models.logmel import LogMelConfig, hz_to_mel, mel_to_hz
from audio_anomaly_detector.models.networks import TARGET_MELS, NetworkOutputs
from audio_anomaly_detector.scoring.axes import wavelet_edges
from audio_anomaly_detector.scoring.clip_features import Floats

MapSource = Literal["masked prediction", "wavelet bands", "codes"]
# Families of the score that rest on the same network. The transformer's embedding lies at no time
# and frequency: it has a share and no map of its own.
SOURCE_FAMILIES: dict[MapSource, tuple[str, ...]] = {
    "masked prediction": ("masked", "embedding"),
    "wavelet bands": ("wavelet",),
    "codes": ("vq",),
}
_QUANTILE = BAND_STATISTICS.index("log_quantile_999")
_DECIBELS = 20 / math.log(10)  # of the natural logarithm of a magnitude


class Cells(NamedTuple):
    """Edges of the cells of a map.

    Attributes:
        hz: of the bands, ``(F + 1,)``.
        seconds: of the frames from the start of the window, ``(N + 1,)``.
    """

    hz: Floats
    seconds: Floats


def network_maps(outputs: NetworkOutputs) -> dict[MapSource, Tensor]:
    """Values of every cell: the mean over microphones, then each of several, ``(B, 1 + C, F, N)``.

    All are what components of the score are made of, and larger where the sound is louder: the
    deviation of each mel bin from its prediction while it is hidden, in predicted standard
    deviations; the 99.9 % quantile of the coefficients of each sub-band, in dB; the deviation of
    the loudest frame of a time step from what the codes say of it, by coarse mel band, in predicted
    standard deviations. The distance of a time step to its code has no frequency.

    Args:
        outputs: of windows.
    """
    # Of 48 clips with a fault of the tuning kind (4 synthetic machines, 24 normals) the furthest
    # cell lay in the true region in 73 % so for the masked prediction, in 60 % by its negative
    # log-likelihood; in 67 % so for the codes, in 62 % with the mean of a step, in 58 % by the size
    # of both. For the sub-bands in 58 % so and in 65 % by their energy, but of the same clips 69 %
    # so and 48 % by the energy lay further out than any of the 32 normal clips of their machines.
    values: dict[MapSource, Tensor] = {
        "masked prediction": outputs.residual,
        "wavelet bands": _DECIBELS * outputs.bands[..., _QUANTILE],
        "codes": outputs.vq.residual[..., TARGET_MELS : 2 * TARGET_MELS].mT,
    }
    return {name: _with_mean(of) for name, of in values.items()}


def _with_mean(values: Tensor) -> Tensor:
    """The mean over microphones before them; of one microphone itself, ``(B, C, F, N)``."""
    if values.shape[1] == 1:
        return values
    return torch.cat([values.mean(1, keepdim=True), values], 1)


def map_sources(families: Collection[str]) -> list[MapSource]:
    """Sources of which some family is part of the score."""
    return [name for name, own in SOURCE_FAMILIES.items() if not set(own).isdisjoint(families)]


def source_edges(logmel: LogMelConfig, despawn: DespawnConfig) -> dict[MapSource, Floats]:
    """Edges of the bands of every source, Hz, ``(F + 1,)``; bands of no width where mels are few.

    Args:
        logmel: front end of the networks.
        despawn: shape of the wavelet tree.
    """
    low, high = hz_to_mel(torch.tensor([logmel.f_min, logmel.highest], dtype=torch.float64))
    # Filters overlap by half: each reaches to the middle between its peak and the next.
    middles = (torch.arange(logmel.n_mels + 1) + 0.5) / (logmel.n_mels + 1)
    mels = mel_to_hz(low + middles * (high - low)).numpy()
    mels[0], mels[-1] = logmel.f_min, logmel.highest
    return {
        "masked prediction": mels,
        "wavelet bands": wavelet_edges(despawn, logmel.sample_rate),
        "codes": mels[np.arange(TARGET_MELS + 1) * logmel.n_mels // TARGET_MELS],
    }


def source_cells(
    maps: dict[MapSource, Tensor], logmel: LogMelConfig, despawn: DespawnConfig, samples: int
) -> dict[MapSource, Cells]:
    """Cells of the maps of a window.

    Args:
        maps: of `network_maps`.
        logmel: front end of the networks.
        despawn: shape of the wavelet tree.
        samples: length of the window.
    """
    seconds = samples / logmel.sample_rate
    # The first log-mel frame is centred on the first sample, the last near the end.
    frames = np.arange(maps["masked prediction"].shape[-1] + 1) - 0.5
    of_frames = (frames * logmel.hop_length / logmel.sample_rate).clip(0, seconds)
    of_frames[-1] = seconds
    of_steps = np.linspace(0, seconds, maps["codes"].shape[-1] + 1)
    return {
        name: Cells(hz, of_frames if name == "masked prediction" else of_steps)
        for name, hz in source_edges(logmel, despawn).items()
    }


def within_sound(values: Tensor, cells: Cells, seconds: float) -> tuple[Tensor, Cells]:
    """A map without what follows the end of a clip that is shorter than the window.

    Args:
        values: ``(1 + C, F, N)``.
        cells: of it.
        seconds: length of the clip.
    """
    frames = max(1, int(np.searchsorted(cells.seconds[:-1], seconds)))
    edges = cells.seconds[: frames + 1].clip(max=seconds)
    return values[..., :frames], Cells(cells.hz, edges)
