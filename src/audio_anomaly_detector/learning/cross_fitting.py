"""Cross-fitting: scores of normal clips by banks and networks that were fitted without them."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip, Fold, cross_folds
from audio_anomaly_detector.learning.measurements import Measurements
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.pipeline import raw_scores
from audio_anomaly_detector.progress import Epoch
from audio_anomaly_detector.scoring.bank import Bank, Deviations
from audio_anomaly_detector.scoring.calibration import Raw
from audio_anomaly_detector.scoring.components import COMPONENTS, NETWORK_FAMILIES
from audio_anomaly_detector.scoring.measurement import Statistics
from audio_anomaly_detector.seeding import derive_seed

# Banks cost next to nothing: each clip of a few is left out alone, of many some at a time.
_SIGNAL_FOLDS = 20
_HELD_OUT_SHARE = 0.2
_HELD_OUT_LEAST = 20


class NetworkFolds(NamedTuple):
    """Which clips networks are trained on and which they are calibrated on.

    Attributes:
        cross: one for each cross-fit, whose networks are dropped afterwards.
        final: of the networks that are kept; it holds clips out where there is no cross-fit.
        epoch_factor: times as many epochs where one training takes the place of all cross-fits.
    """

    cross: list[Fold]
    final: Fold
    epoch_factor: int


class TrainedFold(NamedTuple):
    """Networks for one fold of a machine's clips.

    Attributes:
        name: of the fold; ``final`` for the networks that are kept.
        fold: the clips that may fit banks, and those that the networks were trained without.
        networks: trained, in evaluation mode.
        deviations: by component of the networks, of other machines' clips; empty without a pool.
        history: epochs of their training; empty where they come from a pool.
        perplexity: of their codes on the training clips; None where they come from a pool.
    """

    name: str
    fold: Fold
    networks: Networks
    deviations: dict[str, Deviations]
    history: list[Epoch]
    perplexity: float | None


class FinalFit(NamedTuple):
    """The networks that are kept, and what is fitted to their outputs.

    Attributes:
        trained: the networks.
        banks: of their components.
        raw: scores ``(n, C)`` of the clips that their fold holds out; empty if it holds none.
    """

    trained: TrainedFold
    banks: dict[str, Bank]
    raw: Raw


def network_folds(clips: list[Clip], config: Config) -> NetworkFolds:
    """Folds of the networks of one machine: cross-fits of few clips, a held-out part of many."""
    seed = derive_seed(config.seed, "folds")
    n = len(clips)
    if n < config.scoring.hold_out_from:
        everyone = Fold(list(range(n)), [])
        return NetworkFolds(cross_folds(clips, config.scoring.folds, seed), everyone, 1)
    held_out = max(_HELD_OUT_LEAST, round(_HELD_OUT_SHARE * n))
    final = cross_folds(clips, max(2, n // held_out), seed)[0]
    return NetworkFolds([], final, config.stages.held_out_factor)


def calibration_size(clips: list[Clip], config: Config) -> int:
    """How many of these training clips would set the threshold, known before anything is fitted."""
    trains = config.pool == "none" and set(config.scoring.families) & set(NETWORK_FAMILIES)
    if not trains or len(clips) < config.scoring.hold_out_from:
        return len(clips)
    return len(network_folds(clips, config).final.held_out)


def cross_fit_signal(measurements: Measurements, prior: dict[str, Deviations]) -> Raw:
    """Raw scores ``(n, C)`` of what needs no network, by banks that lack the clip scored.

    Only the weights of the bands come from surrogates of all clips, those left out included.

    Args:
        measurements: of all training clips.
        prior: deviations of a pool; empty: those of segments of the clips fitted on.
    """
    signal, clips = measurements.signal, measurements.data.store.clips
    raw: Raw = {}
    seed = derive_seed(measurements.data.config.seed, "folds")
    for fold in cross_folds(clips, _SIGNAL_FOLDS, seed):
        deviations = prior or measurements.segment_deviations(fold.fit)
        banks = fit_banks(measurements, _of(signal, fold.fit), len(clips), deviations)
        for name, values in raw_scores(_of(signal, fold.held_out), banks).items():
            empty = np.empty((len(clips), measurements.data.microphones))
            raw.setdefault(name, empty)[fold.held_out] = values.numpy()
    return raw


def cross_fit_networks(
    measurements: Measurements, folds: Iterable[TrainedFold], reference_size: int
) -> tuple[Raw, list[int]]:
    """Raw scores of every fold's held-out clips by networks and banks that lack them.

    Args:
        measurements: of all training clips.
        folds: networks of each, trained as they are asked for.
        reference_size: clips of the final banks.

    Returns:
        Scores ``(n, C)`` by component, empty without folds, and the positions of the clips.
    """
    parts: list[Raw] = []
    held_out: list[int] = []
    for trained in folds:
        statistics = _statistics(measurements, trained)
        fitted = _of(statistics, trained.fold.fit)
        banks = fit_banks(measurements, fitted, reference_size, trained.deviations)
        parts.append(_raw(_of(statistics, trained.fold.held_out), banks))
        held_out += trained.fold.held_out
    return (joined(parts) if parts else {}), held_out


def fit_final_networks(measurements: Measurements, trained: TrainedFold) -> FinalFit:
    """Banks of the networks that are kept, and scores of the clips that these lack."""
    statistics = _statistics(measurements, trained)
    fold = trained.fold
    fitted = _of(statistics, fold.fit)
    banks = fit_banks(measurements, fitted, len(fold.fit), trained.deviations)
    raw = _raw(_of(statistics, fold.held_out), banks) if fold.held_out else {}
    return FinalFit(trained, banks, raw)


def fit_banks(
    measurements: Measurements,
    statistics: Statistics,
    reference_size: int,
    prior: dict[str, Deviations],
) -> dict[str, Bank]:
    """Bank of every component; `reference_size` and `prior` as in `Bank.fit`."""
    config = measurements.data.config
    seed = derive_seed(config.seed, "bank")
    return {
        name: Bank.fit(
            values,
            config.scoring.bank_capacity,
            seed,
            COMPONENTS[name].scaled,
            reference_size,
            measurements.signal_of_surrogates[name] if COMPONENTS[name].by_band else None,
            prior.get(name),
        )
        for name, values in statistics.items()
    }


def joined(parts: list[Raw]) -> Raw:
    """Raw scores of several groups of clips, one after the other."""
    filled = [part for part in parts if part]
    return {name: np.concatenate([part[name] for part in filled]) for name in filled[0]}


def _statistics(measurements: Measurements, trained: TrainedFold) -> Statistics:
    clips = range(len(measurements.data.store.clips))
    return measurements.statistics(trained.networks, f"{trained.name}: measuring clips", clips)


def _raw(statistics: Statistics, banks: dict[str, Bank]) -> Raw:
    return {name: values.numpy() for name, values in raw_scores(statistics, banks).items()}


def _of(statistics: Statistics, clips: list[int]) -> Statistics:
    return {name: values[clips] for name, values in statistics.items()}
