"""Fitting a pipeline to the normal clips of one machine: cross-fit, then final fit."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.cache import WindowStore
from audio_anomaly_detector.data.clips import are_one, independent_groups
from audio_anomaly_detector.learning.backbone import load_backbone
from audio_anomaly_detector.learning.cross_fitting import (
    NetworkSource,
    cross_fit,
    final_fit,
    joined,
)
from audio_anomaly_detector.learning.folds import MachinePrior
from audio_anomaly_detector.learning.measurements import Measurements
from audio_anomaly_detector.learning.pieces import make_pieces, usual_seconds
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
from audio_anomaly_detector.scoring.components import COMPONENTS, FAMILY_WEIGHT, NETWORK_FAMILIES
from audio_anomaly_detector.scoring.conditions import Conditions
from audio_anomaly_detector.scoring.measurement import Statistics
from audio_anomaly_detector.scoring.threshold import NormalScores, ScoresByLength
from audio_anomaly_detector.scoring.usual_sound import UsualSound

# By how much a fault changes the steady level of a band. Where normal clips vary by more, as in a
# hall as loud as the machine, steady levels depend on the hall; peaks and differences between
# microphones change by more.
_STEADY_EFFECT_DB = 2.0
# Where scores of another recording of a machine lie, in standard deviations of the scores of
# left-out blocks of the only one that is known, and how much wider they scatter. From recordings
# of 5 and of 20 minutes of 16 synthetic machines: 3.5 and 3.6, 2.4 and 2.4, most of it from machine
# to machine.
_OTHER_RECORDINGS_MEAN = 3.6
_OTHER_RECORDINGS_SPREAD = 2.4
# Robust deviations from which a normal clip is named as an outlier (Iglewicz and Hoaglin, "How to
# detect and handle outliers", 1993).
_OUTLIER_FROM = 3.5


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Scores of normal clips, of one length, by what was fitted without them.

    Args:
        seconds: the length.
        raw: by component, ``(n, C)``; n may differ between components.
        groups: by component, which of the n clips vary together, ``(n,)``.
    """

    seconds: float
    raw: Raw
    groups: dict[str, np.ndarray]


@dataclass(frozen=True)
class Fitted:
    """Result of a fit.

    Args:
        pipeline: ready to score.
        normal_scores: scores of the calibration clips, and of pieces of other lengths.
        conditions: how the training clips were recorded; empty: too few to say.
        usual_sound: how they sound in short frames; None: too few to say.
        calibration_clips: their positions among the training clips.
        history: epochs of the networks that are kept.
        outliers: positions of training clips far from all the others.
        perplexity: codes of the VQ-VAE that the training clips use; None where none was trained.
    """

    pipeline: Pipeline
    normal_scores: ScoresByLength
    conditions: tuple[Conditions, ...]
    usual_sound: UsualSound | None
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

    First the cross-fit: scores of normal clips by banks and networks without them. What nothing is
    trained for is scored by leaving out a few clips at a time; networks are trained once for each
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
    pretrained = load_backbone(config, device) if config.takes_pretrained else None
    measurements = Measurements(data, measure, pretrained)
    source = None
    if measure.network_components and pretrained is None:
        source = NetworkSource(data, progress, watch, prior)
    fixed_prior = prior.fixed if prior else {}
    everyone = list(range(len(store.clips)))
    pieces = make_pieces(data, source.calibration_clips if source else everyone)
    cross = cross_fit(measurements, source, fixed_prior, pieces)
    final = final_fit(measurements, source, fixed_prior, pieces)
    network_raw = joined([cross.network, final.network])
    calibration_clips = cross.network_clips + final.network_clips
    if source is None:
        calibration_clips = everyone
    groups = np.array(independent_groups(store.clips))
    usual = LeftOut(
        usual_seconds(data),
        cross.fixed | network_raw,
        dict.fromkeys(cross.fixed, groups) | dict.fromkeys(network_raw, groups[calibration_clips]),
    )
    others = [
        LeftOut(
            one.seconds,
            fixed | network,
            dict.fromkeys([*fixed, *network], groups[[clips[0] for clips in one.clips]]),
        )
        for one, fixed, network in zip(pieces, cross.pieces, final.pieces, strict=True)
    ]
    calibration = _calibrate(usual, others, final.banks, final.surrogates)
    pipeline = Pipeline(
        measure, final.networks or pretrained, final.banks, calibration, config.audio.window_seconds
    )
    raw = {name: values[calibration_clips] for name, values in cross.fixed.items()} | network_raw
    scored = LeftOut(usual.seconds, raw, dict.fromkeys(raw, groups[calibration_clips]))
    return Fitted(
        pipeline,
        _normal_scores(pipeline, scored, others, are_one(store.clips)),
        data.conditions(),
        data.usual_sound([*measurements.levels, *cross.levels, *final.levels]),
        calibration_clips,
        final.history,
        [calibration_clips[i] for i in _outliers(scored)],
        final.perplexity,
    )


def _normal_scores(
    pipeline: Pipeline, usual: LeftOut, others: list[LeftOut], of_one: bool
) -> ScoresByLength:
    """Joined scores of left-out clips and pieces.

    The same clips set centre and spread, which costs the threshold about a percentage point of
    false alarms; leaving each out in turn instead overshoots far more with few clips.

    Args:
        pipeline: calibrated.
        usual: whole clips.
        others: pieces.
        of_one: all are of one recording. The scores are then moved to where those of other
            recordings are expected.
    """
    lengths = sorted([usual, *others], key=lambda left_out: left_out.seconds)
    scores = []
    for one in lengths:
        raw = {name: torch.from_numpy(values) for name, values in one.raw.items()}
        groups = next(iter(one.groups.values()))
        seconds = torch.full((len(groups),), one.seconds, dtype=torch.float64)
        evidence = pipeline.calibration.evidence(raw, pipeline.measure.families, seconds)
        left_out = evidence.score.numpy()
        scores.append(NormalScores(_of_others(left_out) if of_one else left_out, groups))
    seconds_of = tuple(one.seconds for one in lengths)
    return ScoresByLength(seconds_of, tuple(scores), usual.seconds)


def _of_others(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores that other recordings are expected to have, from those of blocks of one, ``(n,)``."""
    mean, deviation = scores.mean(), scores.std(ddof=1)
    return mean + _OTHER_RECORDINGS_MEAN * deviation + _OTHER_RECORDINGS_SPREAD * (scores - mean)


def _calibrate(
    usual: LeftOut, others: list[LeftOut], banks: dict[str, Bank], surrogates: Statistics
) -> Calibration:
    """Calibration of raw scores of left-out clips.

    Args:
        usual: of whole clips.
        others: of pieces.
        banks: final ones.
        surrogates: statistics of surrogates, ``(m, C, D)`` by component.
    """
    components = {name: COMPONENTS[name] for name in usual.raw}
    steadiness = 1.0
    for name, component in components.items():
        if component.steadiness_reference:
            steadiness = banks[name].reliability(_STEADY_EFFECT_DB, usual.raw[name])
    deviating = {
        name: values for name, values in surrogates.items() if COMPONENTS[name].lost_in_surrogates
    }
    resolution = {name: component.resolution for name, component in components.items()}
    calibration = Calibration.fit(
        usual.raw,
        resolution,
        {name: steadiness if c.steady else 1.0 for name, c in components.items()},
        {name: component.family for name, component in components.items()},
        NETWORK_FAMILIES,
        raw_scores(deviating, banks),
        usual.groups,
        usual.seconds,
        FAMILY_WEIGHT,
    )
    for one in others:
        calibration = calibration.with_length(one.seconds, one.raw, resolution, one.groups)
    return calibration


def _outliers(scored: LeftOut) -> list[int]:
    """Positions of clips far from all the others, by median and MAD of their left-out scores.

    Args:
        scored: scores of clips by models without them.
    """
    resolution = {name: COMPONENTS[name].resolution for name in scored.raw}
    left_out = left_out_components(scored.raw, resolution, scored.groups)
    scores = np.mean([np.arcsinh(values) for values in left_out.values()], axis=0)
    median = np.median(scores)
    deviation = MAD_TO_SIGMA * np.median(np.abs(scores - median))
    limit = median + _OUTLIER_FROM * max(deviation, 1e-9)
    return [int(i) for i in np.flatnonzero(scores > limit)]
