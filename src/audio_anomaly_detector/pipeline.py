"""The one way from windows of sound to evidence: measuring, networks, banks, calibration.

The detector, the exported graph and the fit all use it, so that a clip has one score everywhere.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.models.logmel import LogMel
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.scoring.axes import FeatureAxes, Geometry
from audio_anomaly_detector.scoring.bank import Bank
from audio_anomaly_detector.scoring.calibration import Calibration, Evidence
from audio_anomaly_detector.scoring.components import COMPONENTS
from audio_anomaly_detector.scoring.measurement import ClipStatistics, Statistics
from audio_anomaly_detector.seeding import derive_seed


class ClipEvidence(NamedTuple):
    """What the pipeline makes of n clips.

    Attributes:
        evidence: components, families and score of each.
        course: of each clip the score of every window, ``(W,)``.
        latent: mean quantised latent of each, ``(n, L)``; None without networks.
        maps: on request, of each clip the negative log-likelihood by mel bin and frame, mean over
            microphones, ``(W, F, N)``; None without networks.
    """

    evidence: Evidence
    course: list[Tensor]
    latent: Tensor | None
    maps: list[Tensor] | None


@dataclass(frozen=True)
class Pipeline:
    """Everything that a clip passes through; raises `ValueError` for parts of different models.

    Args:
        measure: measures the statistics of every component.
        networks: the three models in evaluation mode; None where no family needs them.
        banks: normal clips' statistics by component.
        calibration: of the raw scores.
        window_seconds: length of a window.
        precision: of raw scores and calibration.
    """

    measure: ClipStatistics
    networks: Networks | None
    banks: dict[str, Bank]
    calibration: Calibration
    window_seconds: float
    precision: torch.dtype = torch.float64

    def __post_init__(self) -> None:
        families, calibration = self.measure.families, self.calibration
        for part in (self.banks, calibration.centre, calibration.spread):
            if part.keys() != families.keys():
                raise ValueError("banks and calibration are not of the same components")
        if not families.keys() <= calibration.component_weight.keys():
            raise ValueError("the calibration lacks the weight of a component")
        if not set(families.values()) <= calibration.family_weight.keys():
            raise ValueError("the calibration lacks the weight of a family")
        for name, bank in self.banks.items():
            if len(bank.mean) != calibration.centre[name].shape[1]:
                raise ValueError(f"bank and calibration of {name} differ in microphones")
        if self.networks is None and self.measure.network_components:
            raise ValueError("components of networks, and no networks")

    def score(
        self, clips: Sequence[Tensor], seconds: Sequence[float], with_maps: bool = False
    ) -> ClipEvidence:
        """Evidence of clips, given as the windows ``(W, C, T)`` of each.

        Args:
            clips: on the device of the networks.
            seconds: length of each clip.
            with_maps: return the evidence of every frame too.
        """
        measured = self.measure(clips, self.networks, with_maps=with_maps)
        counts = [len(windows) for windows in clips]
        latent = maps = None
        if measured.latent is not None:
            parts = measured.latent.split(counts)
            latent = torch.stack([windows.mean(0) for windows in parts])
        if measured.nll is not None:
            maps = list(measured.nll.split(counts))
        lengths = torch.tensor(seconds, dtype=torch.float64)
        evidence = self.evidence(measured.statistics, lengths)
        # A single window is the clip, which may be shorter than it.
        course = evidence.score.split([1] * len(clips))
        if max(counts) > 1:
            window = torch.full((sum(counts),), self.window_seconds, dtype=torch.float64)
            scores = self.evidence(measured.windows, window).score.split(counts)
            course = tuple(
                own if count > 1 else whole
                for own, whole, count in zip(scores, course, counts, strict=True)
            )
        return ClipEvidence(evidence, list(course), latent, maps)

    def evidence(self, statistics: Statistics, seconds: Tensor) -> Evidence:
        """From the statistics of clips, ``(n, C, D)`` by component, to the anomaly score.

        Args:
            statistics: by component.
            seconds: length of each clip, ``(n,)``.
        """
        raw = raw_scores(statistics, self.banks, self.precision)
        return self.calibration.evidence(raw, self.measure.families, seconds)

    def single_precision(self) -> "Pipeline":
        """The same with raw scores and calibration in float32, as in an exported graph."""
        calibration = self.calibration.single_precision()
        return replace(self, calibration=calibration, precision=torch.float32)


def make_measure(
    config: Config,
    microphones: int,
    device: torch.device,
    components: Collection[str] | None = None,
) -> ClipStatistics:
    """What measures components, on a device.

    Args:
        config: all settings.
        microphones: how many there are.
        device: where to measure.
        components: by name; by default those that the config's families have for so many
            microphones. A model has those of its banks, whatever a family got later.
    """
    scoring = config.scoring
    measure = ClipStatistics(
        LogMel(config.logmel),
        config.signals,
        selected(config, microphones) if components is None else components,
        microphones,
        views=scoring.views,
        noise_db=scoring.view_noise_db,
        seed=derive_seed(config.seed, "views"),
    )
    return measure.to(device).eval()


def raw_scores(
    statistics: Statistics, banks: dict[str, Bank], precision: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Raw score of every component: its distance to the bank of normal clips.

    Args:
        statistics: by component, ``(n, C, D)``.
        banks: by component.
        precision: of the result.

    Returns:
        By component, ``(n, C)``.
    """
    return {name: banks[name].distance(values).to(precision) for name, values in statistics.items()}


def selected(config: Config, microphones: int) -> list[str]:
    """Names of the components of the config's families that so many microphones allow."""
    return [
        name
        for name, component in COMPONENTS.items()
        if component.family in config.scoring.families and component.microphones <= microphones
    ]


def feature_axes(config: Config, microphones: int) -> dict[str, FeatureAxes]:
    """Frequency and time of every feature, by component that the config and microphones allow."""
    geometry = Geometry(
        config.audio.length, microphones, config.logmel, config.signals, config.despawn
    )
    return {name: COMPONENTS[name].axes(geometry) for name in selected(config, microphones)}
