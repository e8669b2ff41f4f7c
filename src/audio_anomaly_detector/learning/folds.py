"""Which clips networks are trained on and calibrated on, and what a pool gives to them."""

from typing import NamedTuple

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip, Fold, cross_folds, independent_groups
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.scoring.bank import Deviations
from audio_anomaly_detector.seeding import derive_seed

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


class PooledNetworks(NamedTuple):
    """Networks of a pool for one fold.

    Attributes:
        networks: trained.
        deviations: of the other machines' clips, by component of the networks.
    """

    networks: Networks
    deviations: dict[str, Deviations]


class MachinePrior(NamedTuple):
    """What a pool gives to one machine.

    Attributes:
        fixed: deviations of the other machines' clips, by component that nothing is trained for.
        cross: networks for each fold of the cross-fit; empty where none are trained.
        final: networks trained on all clips; None where none are trained.
        folds: of the machine's clips.
    """

    fixed: dict[str, Deviations]
    cross: list[PooledNetworks]
    final: PooledNetworks | None
    folds: NetworkFolds


def network_folds(clips: list[Clip], config: Config, alike: int = 1) -> NetworkFolds:
    """Folds of the networks of one machine: cross-fits of few clips, a held-out part of many.

    Many are cross-fitted, too, where all of the held-out part would be of one group: that does not
    tell how scores of others scatter.

    Args:
        clips: of the machine.
        config: all settings.
        alike: see `cross_folds`.
    """
    seed = derive_seed(config.seed, "folds")
    n = len(clips)
    if n >= config.scoring.hold_out_from:
        held_out = max(_HELD_OUT_LEAST, round(_HELD_OUT_SHARE * n))
        final = cross_folds(clips, max(2, n // held_out), seed, alike)[0]
        groups = independent_groups(clips)
        if len({groups[clip] for clip in final.held_out}) > 1:
            return NetworkFolds([], final, config.stages.held_out_factor)
    everyone = Fold(list(range(n)), [])
    return NetworkFolds(cross_folds(clips, config.scoring.folds, seed, alike), everyone, 1)


def calibration_size(clips: list[Clip], config: Config) -> int:
    """How many independent clips would set the threshold, known before anything is fitted."""
    groups = independent_groups(clips)
    trains = config.pool == "none" and config.trains_networks
    many = len(clips) >= config.scoring.hold_out_from
    held_out = network_folds(clips, config).final.held_out if trains and many else []
    return len({groups[clip] for clip in held_out or range(len(clips))})
