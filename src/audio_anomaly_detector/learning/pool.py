"""The pool prior: what the normal clips of several machines say about each of them.

Deviations, which show how sound varies from clip to clip and which a handful of clips of one
machine cannot; and the networks, where they are wanted. A machine of the pool then needs only
banks, calibration and a threshold of its own. As its calibration clips must not have been trained
on, there is one set of networks for each fold, trained without that fold's clips of every machine,
and one trained on all clips.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from audio_anomaly_detector.choices import PoolScope
from audio_anomaly_detector.config import Config, parse_config
from audio_anomaly_detector.data.cache import build_store
from audio_anomaly_detector.data.clips import (
    Clip,
    Fold,
    MachineKey,
    cross_folds,
    independent_groups,
)
from audio_anomaly_detector.data.datasets import cut_long_recordings
from audio_anomaly_detector.data.groups import with_groups
from audio_anomaly_detector.data.layouts import machines
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import claim_folder, hold_folder
from audio_anomaly_detector.learning.backbone import check_backbone, load_backbone
from audio_anomaly_detector.learning.folds import MachinePrior, NetworkFolds, PooledNetworks
from audio_anomaly_detector.learning.identity import fit_identity
from audio_anomaly_detector.learning.measurements import Measurements
from audio_anomaly_detector.learning.stages import fit_networks
from audio_anomaly_detector.learning.training_data import TrainingData
from audio_anomaly_detector.model_file import (
    network_weights,
    read_model_file,
    restore_networks,
    write_model_file,
)
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.pipeline import make_measure
from audio_anomaly_detector.progress import Progress, without_epochs
from audio_anomaly_detector.run_options import OnError
from audio_anomaly_detector.scoring.bank import Deviations
from audio_anomaly_detector.scoring.measurement import Statistics
from audio_anomaly_detector.seeding import derive_seed

# Clips whose deviations are kept, and of one machine at most: with 56 instead of 184 a third of
# the gain is lost.
_SAMPLE = 256
_SAMPLE_OF_ONE = 8


@dataclass(frozen=True)
class PoolPrior:
    """What was learned from a pool of machines.

    Args:
        config: it was trained with.
        networks: for each fold of the calibration, then those trained on all clips; empty where
            none are trained.
        held_out: for each fold, the clips that its networks were trained without.
        machines: names of the machines that it was learned from.
        sample: by clip of a sample of them, whose clip it is: condition, type and id.
        fixed: by component that nothing is trained for, each sampled clip less the mean of its
            machine's, ``(m, C, D)``.
        of_networks: for each of `networks`, the same of their components.
        fingerprint: of config and clips.
    """

    config: Config
    networks: list[Networks]
    held_out: list[list[str]]
    machines: list[str]
    sample: list[tuple[str, ...]]
    fixed: Statistics
    of_networks: list[Statistics]
    fingerprint: str

    def for_machine(self, clips: Sequence[Clip], microphones: int) -> MachinePrior:
        """The prior of one machine: networks with its clips that each was trained without.

        Clips that are not of the pool are divided among the folds, so that a machine that came
        later can use the pool, too. One with another number of microphones than the pool's gets
        the networks only. A machine under another condition is not another machine: of MIMII's
        signal-to-noise ratios all are mixed from the same recordings, and the same recording at
        another ratio would make calibration clips seem more normal than later ones.

        Args:
            clips: training clips of the machine.
            microphones: of the machine.
        """
        own = {clip.machine[1:] for clip in clips}  # whatever the condition
        others = [row for row, machine in enumerate(self.sample) if machine[1:] not in own]

        def deviations(statistics: Statistics) -> dict[str, Deviations]:
            return {
                name: Deviations(values[others], len(others))
                for name, values in statistics.items()
                if others and values.shape[1] == microphones
            }

        networks = [
            PooledNetworks(networks, deviations(statistics))
            for networks, statistics in zip(self.networks, self.of_networks, strict=True)
        ]
        final = networks.pop() if networks else None
        return MachinePrior(deviations(self.fixed), networks, final, self._folds_of(clips))

    def _folds_of(self, clips: Sequence[Clip]) -> NetworkFolds:
        """For each fold of the networks, the clips that they were trained without."""
        everyone = set(range(len(clips)))
        final = Fold(sorted(everyone), [])
        if not self.networks:
            return NetworkFolds([], final, 1)
        keys = [_key(clip) for clip in clips]
        parts = [{i for i in everyone if keys[i] in names} for names in map(set, self.held_out)]
        unknown = sorted(everyone.difference(*parts))
        groups = independent_groups(clips)
        of_unknown = sorted({groups[clip] for clip in unknown})
        for number, some in enumerate(np.array_split(of_unknown, len(parts))):
            parts[number].update(clip for clip in unknown if groups[clip] in some)
        folds = [Fold(sorted(everyone - part), sorted(part)) for part in parts]
        return NetworkFolds(folds, final, 1)

    def save(self, path: Path) -> None:
        """Write a file of plain tensors and data.

        Raises:
            UserError: the place cannot be written or the disk is full.
        """
        write_model_file(
            path,
            {
                "config": json.dumps(self.config.model_dump(mode="json"), allow_nan=False),
                "networks": [network_weights(networks) for networks in self.networks],
                "held_out": self.held_out,
                "machines": self.machines,
                "sample": self.sample,
                "fixed": self.fixed,
                "of_networks": self.of_networks,
                "fingerprint": self.fingerprint,
            },
        )

    @classmethod
    def load(cls, path: Path, device: torch.device) -> "PoolPrior":
        """Read what `save` wrote; nothing in it is executed.

        Raises:
            UserError: no such file, or not one of these.
        """
        content = read_model_file(path)
        if "held_out" not in content:
            raise UserError(f"{path}: holds no pool; 'aad run-all --pool' makes them")
        try:
            config = parse_config(json.loads(content["config"]))
            return cls(
                config,
                [restore_networks(config, state, device) for state in content["networks"]],
                content["held_out"],
                content["machines"],
                [tuple(machine) for machine in content["sample"]],
                content["fixed"],
                content["of_networks"],
                content["fingerprint"],
            )
        except Exception as error:  # what an altered file holds can be wrong in any way
            raise UserError(
                f"{path}: the pool is damaged or altered; delete it, and it is learned again"
            ) from error


def fit_pool(
    clips: Sequence[Clip],
    config: Config,
    work: Path,
    device: torch.device,
    progress: Progress,
    on_error: OnError = "skip",
) -> PoolPrior:
    """Learn from the normal clips of several machines.

    The masked transformer is also trained to classify the machines, a label that costs nothing
    (Giri et al., "Self-supervised classification for detecting anomalous sounds", DCASE 2020).

    Args:
        clips: normal training clips of all machines; long recordings are cut into windows.
        config: all settings.
        work: folder for checkpoints and cached data; a second run resumes from it.
        device: where to train.
        progress: receives progress and epochs.
        on_error: leave out clips that cannot be used, or stop at the first.

    Raises:
        UserError: no clip can be used, full disk; another run is writing into `work`.
        ClipError: with ``on_error="stop"``, the first clip that cannot be used.
    """
    with hold_folder(work):
        return _fit_pool(clips, config, work, device, progress, on_error)


def _fit_pool(
    clips: Sequence[Clip],
    config: Config,
    work: Path,
    device: torch.device,
    progress: Progress,
    on_error: OnError,
) -> PoolPrior:
    check_backbone(config)
    # As a fit of each machine does, so that it finds its clips again.
    clips = cut_long_recordings(with_groups(clips, config.audio.group), config.audio)
    identity = fit_identity(config, clips)
    claim_folder(work, identity)
    sample = _sampled(clips, config)
    if not config.trains_networks:  # no other clip is read
        clips = [clip for clip in clips if _key(clip) in sample]
    store = build_store(clips, config.audio, work / "windows", on_error, progress)
    measure = make_measure(config, store.windows.shape[1], device)
    data = TrainingData(store, config, measure.logmel, work, device, progress)
    pretrained = load_backbone(config, device) if config.takes_pretrained else None
    measurements = Measurements(data, measure, pretrained)
    names = list(machines(store.clips))
    labels = np.array([names.index(clip.machine) for clip in store.clips])
    chosen = [place for place, clip in enumerate(store.clips) if _key(clip) in sample]
    chosen = [place for place in chosen if np.count_nonzero(labels[chosen] == labels[place]) > 1]

    def deviations(networks: Networks | None, what: str) -> Statistics:
        if not chosen:
            return {}
        return _less_their_mean(measurements.statistics(networks, what, chosen), labels[chosen])

    held_out: list[set[int]] = []
    networks, of_networks = [], []
    if config.trains_networks:
        held_out = _held_out(store.clips, labels, config)
        for number, left_out in enumerate([*held_out, set[int]()]):
            kept = number == len(held_out)
            name = "final" if kept else f"fold-{number + 1}"
            part = [place for place in range(len(store.clips)) if place not in left_out]
            epoch_factor = config.stages.held_out_factor
            shown = progress if kept else without_epochs(progress)
            trained = fit_networks(data, part, name, epoch_factor, shown, labels=labels)
            networks.append(trained.networks.eval())
            of_networks.append(deviations(networks[-1], f"{name}: measuring clips"))
    return PoolPrior(
        config,
        networks,
        [[_key(store.clips[place]) for place in sorted(left_out)] for left_out in held_out],
        ["/".join(name) for name in names],
        [tuple(store.clips[place].machine) for place in chosen],
        deviations(None, "measuring clips"),
        of_networks,
        identity,
    )


def _sampled(clips: Sequence[Clip], config: Config) -> set[str]:
    """Clips drawn from as many machines as possible."""
    random = np.random.default_rng(derive_seed(config.seed, "pool"))
    turns: list[list[str]] = [[] for _ in range(_SAMPLE_OF_ONE)]
    for own in machines(clips).values():
        drawn = random.permutation(len(own))[:_SAMPLE_OF_ONE]
        for turn, place in zip(turns, drawn, strict=False):
            turn.append(_key(own[place]))
    shuffled = [turn[i] for turn in turns for i in random.permutation(len(turn))]
    return set(shuffled[:_SAMPLE])


def _less_their_mean(statistics: Statistics, labels: np.ndarray) -> Statistics:
    """Take the mean of each machine's clips away; at least two of each."""
    less = {name: values.clone() for name, values in statistics.items()}
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        for values in less.values():
            values[own] -= values[own].mean(0)
            values[own] *= math.sqrt(len(own) / (len(own) - 1))  # the mean is theirs, too
    return less


def _held_out(clips: Sequence[Clip], labels: np.ndarray, config: Config) -> list[set[int]]:
    """Positions of the clips that each fold's networks may not learn from."""
    seed = derive_seed(config.seed, "folds")
    held_out: list[set[int]] = [set() for _ in range(config.scoring.folds)]
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label).tolist()
        if len(places) < 2:  # no detector of its own; the others may learn from it
            continue
        own = [clips[place] for place in places]
        for number, fold in enumerate(cross_folds(own, config.scoring.folds, seed)):
            held_out[number].update(places[i] for i in fold.held_out)
    return held_out


def _key(clip: Clip) -> str:
    return "/".join((*clip.machine, clip.name))


def pool_members(keys: Iterable[MachineKey], pool: PoolScope) -> dict[MachineKey, list[MachineKey]]:
    """Which machines go together, by the name of their pool."""
    members: dict[MachineKey, list[MachineKey]] = {}
    for key in keys:
        name = key
        if pool != "none":
            name = MachineKey("", "all", "") if pool == "all" else key._replace(machine_id="")
        members.setdefault(name, []).append(key)
    return members
