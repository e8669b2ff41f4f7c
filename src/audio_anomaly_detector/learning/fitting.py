"""Fitting a pipeline to the normal clips of one machine: cross-fit, then final fit."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.cache import WindowStore
from audio_anomaly_detector.data.clips import Fold
from audio_anomaly_detector.learning.cross_fitting import (
    NetworkFolds,
    TrainedFold,
    cross_fit_networks,
    cross_fit_signal,
    fit_banks,
    fit_final_networks,
    joined,
    network_folds,
)
from audio_anomaly_detector.learning.measurements import Measurements
from audio_anomaly_detector.learning.pool import MachinePrior
from audio_anomaly_detector.learning.stages import Watch, fit_networks
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

    What needs no network is calibrated by leaving out a few clips at a time. Of the networks,
    below ``hold_out_from`` clips every clip is scored by models that were trained on the other
    folds, and the final model is trained on all; from there on a part of the clips is held out
    and the model that is kept is the one calibrated.

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
    everyone = list(range(len(store.clips)))
    signal_prior = prior.signal if prior else {}
    deviations = signal_prior or measurements.segment_deviations(everyone)
    banks = fit_banks(measurements, measurements.signal, len(everyone), deviations)
    raw = cross_fit_signal(measurements, signal_prior)
    surrogates = dict(measurements.signal_of_surrogates)
    calibration_clips, trained = everyone, None
    network_raw: Raw = {}
    if measure.network_components:
        folds = prior.folds if prior else network_folds(store.clips, config)
        train = _Trainer(data, folds, progress, watch, prior)
        cross_raw, held_out = cross_fit_networks(
            measurements, train.cross_fits(), len(folds.final.fit)
        )
        final = fit_final_networks(measurements, train.final())
        trained = final.trained
        calibration_clips = held_out + folds.final.held_out
        network_raw = joined([cross_raw, final.raw])
        banks |= final.banks
        surrogates |= measurements.surrogate_statistics(trained.networks)
    calibration = _calibrate(raw | network_raw, banks, surrogates)
    pipeline = Pipeline(measure, trained and trained.networks, banks, calibration)
    of_calibration = network_raw | {name: values[calibration_clips] for name, values in raw.items()}
    # In the order of the components: sums depend on it.
    of_calibration = {name: of_calibration[name] for name in raw | network_raw}
    # The same clips set centre and spread, which costs the threshold about a percentage point of
    # false alarms; leaving each out in turn instead overshoots far more with few clips.
    evidence = calibration.evidence(
        {name: torch.from_numpy(values) for name, values in of_calibration.items()},
        measure.families,
    )
    return Fitted(
        pipeline,
        evidence.score.numpy(),
        calibration_clips,
        trained.history if trained else [],
        [calibration_clips[i] for i in _outliers(of_calibration)],
        trained.perplexity if trained else None,
    )


class _Trainer:
    """Networks of every fold: trained, or taken from a pool."""

    def __init__(
        self,
        data: TrainingData,
        folds: NetworkFolds,
        progress: Progress,
        watch: Watch | None,
        prior: MachinePrior | None,
    ) -> None:
        self.data, self.folds, self.prior = data, folds, prior
        self.progress, self.watch = progress, watch

    def cross_fits(self) -> Iterator[TrainedFold]:
        """One after the other, as they are asked for."""
        for number, fold in enumerate(self.folds.cross):
            yield self._trained(number, f"fold-{number + 1}", fold, None)

    def final(self) -> TrainedFold:
        """The networks that are kept."""
        return self._trained(-1, "final", self.folds.final, self.watch)

    def _trained(self, number: int, name: str, fold: Fold, watch: Watch | None) -> TrainedFold:
        if self.prior is not None:
            own = self.prior.networks[number]
            return TrainedFold(name, fold, own.networks, own.deviations, [], None)
        networks, history, perplexity = fit_networks(
            self.data, fold.fit, name, self.folds.epoch_factor, self.progress, watch
        )
        return TrainedFold(name, fold, networks, {}, history, perplexity)


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
