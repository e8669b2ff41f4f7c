"""Fitting: networks, cross-fitting, banks and calibration."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.cache import WindowStore
from audio_anomaly_detector.data.clips import Clip, Fold, cross_folds
from audio_anomaly_detector.learning.stages import Watch, fit_networks
from audio_anomaly_detector.learning.training_data import (
    Corpus,
)
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.progress import Epoch, Progress
from audio_anomaly_detector.scoring.bank import Bank, Deviations
from audio_anomaly_detector.scoring.calibration import (
    MAD_TO_SIGMA,
    Calibration,
    Raw,
    left_out_components,
)
from audio_anomaly_detector.scoring.components import (
    LOST_IN_SURROGATES,
    NETWORK_FAMILIES,
    STEADY_EFFECT_DB,
    STEADY_LEVELS,
)
from audio_anomaly_detector.scoring.measurement import ClipStatistics, Statistics
from audio_anomaly_detector.seeding import derive_seed

# Banks cost next to nothing: each clip of a few is left out alone, of many some at a time.
_SIGNAL_FOLDS = 20
_HELD_OUT_SHARE = 0.2
_HELD_OUT_LEAST = 20
# Robust deviations from which a normal clip is named as unlike the others (Iglewicz and Hoaglin,
# "How to detect and handle outliers", 1993).
_ODD_FROM = 3.5


class Lent(NamedTuple):
    """Networks of a pool for one fold of a machine.

    Attributes:
        networks: trained.
        fold: whose held-out clips they never heard.
        deviations: by component of theirs, of the other machines' clips.
    """

    networks: Networks
    fold: Fold
    deviations: dict[str, Deviations]


class Borrowed(NamedTuple):
    """What a machine has from a pool.

    Attributes:
        signal: deviations of the other machines' clips, by component that needs no network.
        networks: for each fold, those that are kept last; none where no family needs them.
    """

    signal: dict[str, Deviations]
    networks: list[Lent]


@dataclass(frozen=True)
class Fitted:
    """What a fit yields.

    Args:
        networks: the trained models; none where no family needs them.
        banks: by component.
        calibration: of the raw scores.
        normal_scores: joined scores of the calibration clips, shape ``(n,)``.
        calibration_clips: their positions among the training clips.
        history: epochs of the final model.
        odd: positions of training clips that sound unlike the rest.
        perplexity: how many codes of the VQ-VAE the training clips use; none without networks.
    """

    networks: Networks | None
    banks: dict[str, Bank]
    calibration: Calibration
    normal_scores: np.ndarray
    calibration_clips: list[int]
    history: list[Epoch]
    odd: list[int]
    perplexity: float | None


def fit(
    store: WindowStore,
    config: Config,
    measure: ClipStatistics,
    work: Path,
    device: torch.device,
    progress: Progress,
    watch: Watch | None = None,
    borrowed: Borrowed | None = None,
) -> Fitted:
    """Fit everything to the normal clips of one machine.

    What needs no network is calibrated by leaving out a few clips at a time. Of the networks,
    below ``hold_out_from`` clips every clip is scored by models that were trained on the other
    folds, and the final model is trained on all; from there on a part of the clips is held out
    and the model that is kept is the one calibrated.

    Args:
        store: windows of the training clips.
        config: all settings.
        measure: measures the components of a clip.
        work: folder for checkpoints and cached spectrograms; a second run goes on from it.
        device: where the networks live.
        progress: hears of progress and epochs.
        watch: looks at the networks after every epoch of the final model; its ``auroc`` chooses
            the epoch if, and only if, ``stages.oracle_epoch`` is set.
        borrowed: what a pool knows (`PoolPrior.lend`); no network is trained then.
    """
    corpus = Corpus(store, config, measure, work, device, progress)
    everyone = list(range(len(store.clips)))
    banks = _fit_banks(
        corpus.signal, corpus, len(everyone), _deviations(corpus, everyone, borrowed)
    )
    raw = _cross_fitted(corpus, store.clips, borrowed)
    learned = _Learned(None, {}, {}, everyone, [], None)
    if measure.network_components:
        learned = _learn(corpus, progress, watch, borrowed)
        banks |= learned.banks
        raw |= learned.raw
    resolution = {key: c.resolution for key, c in measure.components.items()}
    steadiness = 1.0
    if STEADY_LEVELS in banks:
        steadiness = banks[STEADY_LEVELS].reliability(STEADY_EFFECT_DB)
    reliability = {key: steadiness if c.steady else 1.0 for key, c in measure.components.items()}
    surrogates = dict(corpus.signal_of_surrogates)
    if learned.networks is not None:
        surrogates |= corpus.surrogate_statistics(learned.networks)
    judged = {name: values for name, values in surrogates.items() if name in LOST_IN_SURROGATES}
    calibration = Calibration.fit(
        raw,
        resolution,
        reliability,
        measure.families,
        NETWORK_FAMILIES,
        raw_scores(judged, banks),
    )
    of_held_out = {
        name: values if name in learned.raw else values[learned.held_out]
        for name, values in raw.items()
    }
    # The same clips set centre and spread, which costs the threshold about a percentage point of
    # false alarms; leaving each out in turn instead overshoots far more with few clips.
    components = calibration.components({n: torch.from_numpy(v) for n, v in of_held_out.items()})
    families = calibration.families(components, measure.families)
    odd = _outliers(left_out_components(of_held_out, resolution))
    return Fitted(
        networks=learned.networks,
        banks=banks,
        calibration=calibration,
        normal_scores=calibration.join(families).numpy(),
        calibration_clips=learned.held_out,
        history=learned.history,
        odd=[learned.held_out[i] for i in odd],
        perplexity=learned.perplexity,
    )


class _Learned(NamedTuple):
    """The part of a fit that networks make.

    Attributes:
        networks: those that are kept.
        banks: of their components.
        raw: scores of clips that the networks had not heard, ``(n, C)`` by component.
        held_out: positions of those clips.
        history: epochs of the networks that are kept.
        perplexity: of their codes.
    """

    networks: Networks | None
    banks: dict[str, Bank]
    raw: Raw
    held_out: list[int]
    history: list[Epoch]
    perplexity: float | None


def _learn(
    corpus: Corpus,
    progress: Progress,
    watch: Watch | None,
    borrowed: Borrowed | None,
) -> _Learned:
    """Train the networks, or take those of a pool, and score clips that they have not heard."""
    history: list[Epoch] = []
    perplexity: float | None = None
    longer = 1
    if borrowed is not None:
        folds = [lent.fold for lent in borrowed.networks]
    else:
        folds, longer = _training_folds(corpus.store.clips, corpus.config)
    parts: list[Raw] = []
    for number, fold in enumerate(folds):
        final = number == len(folds) - 1
        name = "final" if final else f"fold-{number + 1}"
        deviations: dict[str, Deviations] = {}
        if borrowed is not None:
            networks, _, deviations = borrowed.networks[number]
        else:
            networks, history, perplexity = fit_networks(
                corpus, fold.fit, name, longer, progress, watch if final else None
            )
        statistics = corpus.statistics(
            networks, f"{name}: measuring clips", range(len(corpus.store.clips))
        )
        banks = _fit_banks(_of(statistics, fold.fit), corpus, len(folds[-1].fit), deviations)
        if fold.held_out:
            scores = raw_scores(_of(statistics, fold.held_out), banks)
            parts.append({name: values.numpy() for name, values in scores.items()})
    raw = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    held_out = [clip for fold in folds for clip in fold.held_out]
    return _Learned(networks, banks, raw, held_out, history, perplexity)


def _deviations(
    corpus: Corpus, clips: list[int], borrowed: Borrowed | None
) -> dict[str, Deviations]:
    """Those of other machines where there is a pool, else those of stretches of these clips."""
    return (borrowed.signal if borrowed else {}) or corpus.stretches(clips)


def _cross_fitted(corpus: Corpus, clips: list[Clip], borrowed: Borrowed | None) -> Raw:
    """Raw scores, ``(n, C)``, of what needs no network, by banks that lack the clip scored.

    Only which bands count most is told by surrogates of all clips, those left out included.
    """
    signal = corpus.signal
    raw: Raw = {}
    for fold in cross_folds(clips, _SIGNAL_FOLDS, derive_seed(corpus.config.seed, "folds")):
        deviations = _deviations(corpus, fold.fit, borrowed)
        banks = _fit_banks(_of(signal, fold.fit), corpus, len(clips), deviations)
        for name, values in raw_scores(_of(signal, fold.held_out), banks).items():
            scores = raw.setdefault(name, np.empty((len(clips), corpus.microphones)))
            scores[fold.held_out] = values.numpy()
    return raw


def _of(statistics: Statistics, clips: list[int]) -> Statistics:
    return {name: values[clips] for name, values in statistics.items()}


def raw_scores(statistics: Statistics, banks: dict[str, Bank]) -> dict[str, Tensor]:
    """Raw score of every component: its distance to the bank of normal clips.

    Args:
        statistics: by component, ``(n, C, D)``.
        banks: by component.

    Returns:
        By component, ``(n, C)``.
    """
    return {name: banks[name].distance(values).double() for name, values in statistics.items()}


def _fit_banks(
    statistics: Statistics,
    corpus: Corpus,
    stands_for: int,
    deviations: dict[str, Deviations],
) -> dict[str, Bank]:
    """Bank of every component; `stands_for` and what is borrowed as in `Bank.fit`."""
    seed = derive_seed(corpus.config.seed, "bank")
    banks = {}
    for name, values in statistics.items():
        component = corpus.measure.components[name]
        banks[name] = Bank.fit(
            values,
            corpus.config.scoring.bank_capacity,
            seed,
            component.scaled,
            stands_for,
            corpus.signal_of_surrogates[name] if component.by_band else None,
            deviations.get(name),
        )
    return banks


def _training_folds(clips: list[Clip], config: Config) -> tuple[list[Fold], int]:
    """What networks are trained and calibrated on, the kept ones last; times the epochs."""
    seed = derive_seed(config.seed, "folds")
    n = len(clips)
    if n < config.scoring.hold_out_from:
        return [*cross_folds(clips, config.scoring.folds, seed), Fold(list(range(n)), [])], 1
    held_out = max(_HELD_OUT_LEAST, round(_HELD_OUT_SHARE * n))
    folds = cross_folds(clips, max(2, n // held_out), seed)[:1]
    return folds, config.stages.held_out_factor


def _outliers(left_out: dict[str, np.ndarray]) -> list[int]:
    """Positions of clips that lie far from all the others, by median and MAD."""
    scores = np.mean([np.arcsinh(values) for values in left_out.values()], axis=0)
    median = np.median(scores)
    deviation = MAD_TO_SIGMA * np.median(np.abs(scores - median))
    return [int(i) for i in np.flatnonzero(scores > median + _ODD_FROM * max(deviation, 1e-9))]
