"""Cross-fitting: scores of normal clips by banks and networks that were fitted without them."""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from audio_anomaly_detector.data.clips import Fold, cross_folds, independent_groups
from audio_anomaly_detector.learning.folds import MachinePrior, PooledNetworks, network_folds
from audio_anomaly_detector.learning.measurements import Measurements
from audio_anomaly_detector.learning.pieces import Pieces
from audio_anomaly_detector.learning.stages import Watch, fit_networks
from audio_anomaly_detector.learning.training_data import TrainingData
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.pipeline import raw_scores
from audio_anomaly_detector.progress import Epoch, Progress, without_epochs
from audio_anomaly_detector.scoring.bank import Bank, Deviations
from audio_anomaly_detector.scoring.calibration import Raw
from audio_anomaly_detector.scoring.components import COMPONENTS
from audio_anomaly_detector.scoring.measurement import Statistics
from audio_anomaly_detector.scoring.usual_sound import SourceLevels
from audio_anomaly_detector.seeding import derive_seed

# Banks cost next to nothing: each clip of a few is left out alone, of many some at a time.
_FIXED_FOLDS = 20


class TrainedFold(NamedTuple):
    """Networks for one fold of a machine's clips.

    Attributes:
        name: of the fold, shown as progress.
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


class CrossFit(NamedTuple):
    """Scores of normal clips by what was fitted without them.

    Attributes:
        fixed: raw scores ``(n, C)`` of all clips, by component that nothing is trained for.
        network: raw scores ``(m, C)`` by component of trained networks; empty without a cross-fit.
        network_clips: positions of the m clips.
        pieces: raw scores of pieces of other lengths, ``(k, C)``, in the order of these lengths.
        levels: in the maps of the networks, of some of these clips.
    """

    fixed: Raw
    network: Raw
    network_clips: list[int]
    pieces: list[Raw]
    levels: list[SourceLevels]


class FinalFit(NamedTuple):
    """The banks and networks that are kept.

    Attributes:
        banks: of every component.
        surrogates: statistics of surrogates of normal clips, ``(k, C, D)`` by component.
        networks: trained; None where no family needs them.
        history: epochs of their training.
        perplexity: of their codes; None without networks or where they come from a pool.
        network: raw scores ``(m, C)`` of clips that they hold out; empty if they hold none out.
        network_clips: positions of the m clips.
        pieces: raw scores of pieces of these clips, by component of networks.
        levels: in the maps of the networks, of some of these clips.
    """

    banks: dict[str, Bank]
    surrogates: Statistics
    networks: Networks | None
    history: list[Epoch]
    perplexity: float | None
    network: Raw
    network_clips: list[int]
    pieces: list[Raw]
    levels: list[SourceLevels]


class FoldScores(NamedTuple):
    """What the networks of a fold make of the clips that it holds out.

    Attributes:
        banks: of the clips that it does not.
        raw: raw scores ``(m, C)`` by component; empty if it holds none out.
        levels: in the maps of the networks, of some of the clips.
    """

    banks: dict[str, Bank]
    raw: Raw
    levels: list[SourceLevels]


class NetworkSource:
    """Networks of every fold of a machine: trained here, or taken from a pool.

    Args:
        data: the training clips.
        progress: receives progress, and the epochs of the final networks.
        watch: see `fitting.fit`.
        prior: of a pool.
    """

    def __init__(
        self,
        data: TrainingData,
        progress: Progress,
        watch: Watch | None = None,
        prior: MachinePrior | None = None,
    ) -> None:
        self.data, self.progress, self.watch, self.prior = data, progress, watch, prior
        store = data.store
        alike = store.clips_alike
        self.folds = prior.folds if prior else network_folds(store.clips, data.config, alike)

    @property
    def calibration_clips(self) -> list[int]:
        """Positions of the clips that are scored by networks trained without them."""
        folds = [*self.folds.cross, self.folds.final]
        return sorted({clip for fold in folds for clip in fold.held_out})

    @cached_property
    def clips_for_maps(self) -> list[int]:
        """Those of them whose levels in the maps of the networks are kept."""
        return self.data.clips_for_maps(self.calibration_clips)

    def cross_fits(self) -> Iterator[TrainedFold]:
        """Those of the cross-fit, trained as they are asked for."""
        for number, fold in enumerate(self.folds.cross):
            name = f"fold-{number + 1}"
            if self.prior is not None:
                yield _pooled(name, fold, self.prior.cross[number])
            else:
                yield self._train(name, fold, without_epochs(self.progress), None)

    def final(self) -> TrainedFold:
        """Those that are kept."""
        name, fold = "final", self.folds.final
        if self.prior is not None and self.prior.final is not None:
            return _pooled(name, fold, self.prior.final)
        return self._train(name, fold, self.progress, self.watch)

    def _train(self, name: str, fold: Fold, progress: Progress, watch: Watch | None) -> TrainedFold:
        factor = self.folds.epoch_factor
        networks, history, perplexity = fit_networks(
            self.data, fold.fit, name, factor, progress, watch
        )
        return TrainedFold(name, fold, networks, {}, history, perplexity)


def cross_fit(
    measurements: Measurements,
    source: NetworkSource | None,
    prior: dict[str, Deviations],
    pieces: list[Pieces],
) -> CrossFit:
    """Score every normal clip by banks, and by networks, that lack it.

    Args:
        measurements: of all training clips.
        source: of networks; None where none are trained.
        prior: deviations of a pool, by fixed component; empty without a pool.
        pieces: of every other length that is calibrated.
    """
    of_pieces: list[Raw] = [{} for _ in pieces]
    fixed = _cross_fit_fixed(measurements, prior, pieces, of_pieces)
    parts: list[Raw] = []
    clips: list[int] = []
    levels: list[SourceLevels] = []
    if source is not None:
        reference_size = _independent(measurements, source.folds.final.fit)
        for trained in source.cross_fits():
            fold = _fit_fold(measurements, source, trained, reference_size, pieces, of_pieces)
            parts.append(fold.raw)
            levels += fold.levels
            clips += trained.fold.held_out
    return CrossFit(fixed, joined(parts), clips, of_pieces, levels)


def final_fit(
    measurements: Measurements,
    source: NetworkSource | None,
    prior: dict[str, Deviations],
    pieces: list[Pieces],
) -> FinalFit:
    """Fit the banks, and train the networks, that are kept; arguments as for `cross_fit`."""
    everyone = list(range(len(measurements.data.store.clips)))
    deviations = prior or measurements.segment_deviations(everyone)
    reference_size = _independent(measurements, everyone)
    banks = _fit_banks(measurements, measurements.fixed, reference_size, deviations)
    surrogates = measurements.fixed_of_surrogates
    of_pieces: list[Raw] = [{} for _ in pieces]
    if source is None:
        return FinalFit(banks, surrogates, None, [], None, {}, [], of_pieces, [])
    trained = source.final()
    reference_size = _independent(measurements, trained.fold.fit)
    fold = _fit_fold(measurements, source, trained, reference_size, pieces, of_pieces)
    return FinalFit(
        banks | fold.banks,
        surrogates | measurements.surrogate_statistics(trained.networks),
        trained.networks,
        trained.history,
        trained.perplexity,
        fold.raw,
        trained.fold.held_out,
        of_pieces,
        fold.levels,
    )


def joined(parts: list[Raw]) -> Raw:
    """Raw scores of several groups of clips, one after the other; empty groups are left out."""
    filled = [part for part in parts if part]
    if not filled:
        return {}
    return {name: np.concatenate([part[name] for part in filled]) for name in filled[0]}


def _independent(measurements: Measurements, clips: list[int]) -> int:
    """How many of these clips are independent: the number of their groups."""
    groups = independent_groups(measurements.data.store.clips)
    return len({groups[clip] for clip in clips})


def _cross_fit_fixed(
    measurements: Measurements,
    prior: dict[str, Deviations],
    pieces: list[Pieces],
    of_pieces: list[Raw],
) -> Raw:
    """Raw scores ``(n, C)`` of fixed components; those of pieces are entered in `of_pieces`.

    Only the weights of the bands come from surrogates of all clips, those left out included.
    Without a pool the prior is that of segments of the clips fitted on.
    """
    fixed, clips = measurements.fixed, measurements.data.store.clips
    raw: Raw = {}
    seed = derive_seed(measurements.data.config.seed, "folds")
    reference_size = _independent(measurements, list(range(len(clips))))
    alike = measurements.data.store.clips_alike
    for fold in cross_folds(clips, _FIXED_FOLDS, seed, alike):
        deviations = prior or measurements.segment_deviations(fold.fit)
        banks = _fit_banks(measurements, _of(fixed, fold.fit), reference_size, deviations)
        _score_pieces(measurements, None, fixed, fold, banks, pieces, of_pieces)
        for name, values in raw_scores(_of(fixed, fold.held_out), banks).items():
            empty = np.empty((len(clips), measurements.data.microphones))
            raw.setdefault(name, empty)[fold.held_out] = values.numpy()
    return raw


def _score_pieces(
    measurements: Measurements,
    networks: Networks | None,
    of_clips: Statistics,
    fold: Fold,
    banks: dict[str, Bank],
    pieces: list[Pieces],
    of_pieces: list[Raw],
) -> None:
    """Enter the raw scores of the pieces of held-out clips, ``(k, C)`` by component and length."""
    for one, raw in zip(pieces, of_pieces, strict=True):
        members = one.held_out(fold.held_out)
        if not members:
            continue
        statistics = measurements.of_pieces(one, networks, of_clips, members)
        for name, values in raw_scores(statistics, banks).items():
            empty = np.empty((len(one.clips), measurements.data.microphones))
            raw.setdefault(name, empty)[members] = values.numpy()


def _fit_banks(
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
            measurements.fixed_of_surrogates[name] if COMPONENTS[name].by_band else None,
            prior.get(name),
        )
        for name, values in statistics.items()
    }


def _pooled(name: str, fold: Fold, pooled: PooledNetworks) -> TrainedFold:
    return TrainedFold(name, fold, pooled.networks, pooled.deviations, [], None)


def _fit_fold(
    measurements: Measurements,
    source: NetworkSource,
    trained: TrainedFold,
    reference_size: int,
    pieces: list[Pieces],
    of_pieces: list[Raw],
) -> FoldScores:
    """Banks of a fold's networks, and raw scores and levels of the clips that it holds out, if any.

    Raw scores of their pieces are entered in `of_pieces`.
    """
    fold, clips = trained.fold, range(len(measurements.data.store.clips))
    what = f"{trained.name}: measuring clips"
    mapped = set(source.clips_for_maps).intersection(fold.held_out)
    statistics, levels = measurements.with_levels(trained.networks, what, clips, mapped)
    fitted = _of(statistics, fold.fit)
    banks = _fit_banks(measurements, fitted, reference_size, trained.deviations)
    if not fold.held_out:
        return FoldScores(banks, {}, [])
    _score_pieces(measurements, trained.networks, statistics, fold, banks, pieces, of_pieces)
    scores = raw_scores(_of(statistics, fold.held_out), banks)
    return FoldScores(banks, {name: values.numpy() for name, values in scores.items()}, levels)


def _of(statistics: Statistics, clips: list[int]) -> Statistics:
    return {name: values[clips] for name, values in statistics.items()}
