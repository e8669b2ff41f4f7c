"""Fitting a pipeline to the normal clips of one machine: cross-fit, then final fit."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.cache import WindowStore
from audio_anomaly_detector.learning.cross_fitting import (
    NetworkSource,
    cross_fit,
    final_fit,
    joined,
)
from audio_anomaly_detector.learning.folds import MachinePrior
from audio_anomaly_detector.learning.measurements import Measurements
from audio_anomaly_detector.learning.stages import Watch
from audio_anomaly_detector.learning.training_data import TrainingData
from audio_anomaly_detector.pipeline import Pipeline, make_measure, raw_scores
from audio_anomaly_detector.progress import Epoch, Progress
from audio_anomaly_detector.scoring.bank import Bank
from audio_anomaly_detector.scoring.calibration import (
    MAD_TO_SIGMA,
    Calibration,
    Raw,
    left_out_components,
)
from audio_anomaly_detector.scoring.components import COMPONENTS, NETWORK_FAMILIES
from audio_anomaly_detector.scoring.measurement import Statistics

# By how much a fault changes the steady level of a band. Where normal clips vary by more, as in a
# hall as loud as the machine, steady levels depend on the hall; peaks and differences between
# microphones change by more.
_STEADY_EFFECT_DB = 2.0
# Robust deviations from which a normal clip is named as an outlier (Iglewicz and Hoaglin, "How to
# detect and handle outliers", 1993).
_OUTLIER_FROM = 3.5


@dataclass(frozen=True)
class Fitted:
    """Result of a fit.

    Args:
        pipeline: ready to score.
        normal_scores: scores of the calibration clips, ``(n,)``.
        calibration_clips: their positions among the training clips.
        history: epochs of the networks that are kept.
        outliers: positions of training clips far from all the others.
        perplexity: codes of the VQ-VAE that the training clips use; None without networks.
    """

    pipeline: Pipeline
    normal_scores: np.ndarray
    calibration_clips: list[int]
    history: list[Epoch]
    outliers: list[int]
    perplexity: float | None


def fit(
    store: WindowStore,
    config: Config,
    work: Path,
    device: torch.device,
    progress: Progress,
    watch: Watch | None = None,
    prior: MachinePrior | None = None,
) -> Fitted:
    """Fit everything to the normal clips of one machine.

    First the cross-fit: scores of normal clips by banks and networks without them. What needs no
    network is scored by leaving out a few clips at a time; networks are trained once for each
    fold. Then the final fit: the banks and networks that are kept. From ``hold_out_from`` clips
    on networks are not cross-fitted, but the final ones hold a part of the clips out.

    Args:
        store: windows of the training clips.
        config: all settings.
        work: folder for checkpoints and cached spectrograms; a second run resumes from it.
        device: where the networks live.
        progress: receives progress and epochs.
        watch: called with the networks after every epoch of the final model; its ``auroc`` chooses
            the epoch if, and only if, ``stages.oracle_epoch`` is set.
        prior: of a pool (`PoolPrior.for_machine`); no network is trained then.
    """
    measure = make_measure(config, store.windows.shape[1], device)
    data = TrainingData(store, config, measure.logmel, work, device, progress)
    measurements = Measurements(data, measure)
    source = None
    if measure.network_components:
        source = NetworkSource(data, progress, watch, prior)
    signal_prior = prior.signal if prior else {}
    cross = cross_fit(measurements, source, signal_prior)
    final = final_fit(measurements, source, signal_prior)
    network_raw = joined([cross.network, final.network])
    calibration_clips = cross.network_clips + final.network_clips
    if source is None:
        calibration_clips = list(range(len(store.clips)))
    calibration = _calibrate(cross.signal | network_raw, final.banks, final.surrogates)
    pipeline = Pipeline(measure, final.networks, final.banks, calibration)
    raw = {name: values[calibration_clips] for name, values in cross.signal.items()} | network_raw
    # The same clips set centre and spread, which costs the threshold about a percentage point of
    # false alarms; leaving each out in turn instead overshoots far more with few clips.
    evidence = calibration.evidence(
        {name: torch.from_numpy(values) for name, values in raw.items()}, measure.families
    )
    return Fitted(
        pipeline,
        evidence.score.numpy(),
        calibration_clips,
        final.history,
        [calibration_clips[i] for i in _outliers(raw)],
        final.perplexity,
    )


def _calibrate(raw: Raw, banks: dict[str, Bank], surrogates: Statistics) -> Calibration:
    """Calibration of raw scores of left-out clips.

    Args:
        raw: ``(n, C)`` by component.
        banks: final ones.
        surrogates: statistics of surrogates, ``(m, C, D)`` by component.
    """
    components = {name: COMPONENTS[name] for name in raw}
    steadiness = 1.0
    for name, component in components.items():
        if component.steadiness_reference:
            steadiness = banks[name].reliability(_STEADY_EFFECT_DB)
    deviating = {
        name: values for name, values in surrogates.items() if COMPONENTS[name].lost_in_surrogates
    }
    return Calibration.fit(
        raw,
        {name: component.resolution for name, component in components.items()},
        {name: steadiness if c.steady else 1.0 for name, c in components.items()},
        {name: component.family for name, component in components.items()},
        NETWORK_FAMILIES,
        raw_scores(deviating, banks),
    )


def _outliers(raw: Raw) -> list[int]:
    """Positions of clips far from all the others, by median and MAD of their left-out scores.

    Args:
        raw: scores of clips by models without them, ``(n, C)`` by component.
    """
    left_out = left_out_components(raw, {name: COMPONENTS[name].resolution for name in raw})
    scores = np.mean([np.arcsinh(values) for values in left_out.values()], axis=0)
    median = np.median(scores)
    deviation = MAD_TO_SIGMA * np.median(np.abs(scores - median))
    limit = median + _OUTLIER_FROM * max(deviation, 1e-9)
    return [int(i) for i in np.flatnonzero(scores > limit)]
