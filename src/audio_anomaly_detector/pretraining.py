"""Pretraining: networks that learn from the normal clips of several machines together.

What a machine of the pool then needs of its own is cheap: banks, calibration and a threshold. As
the calibration clips of every machine must be unheard, there is one set of networks for each fold,
trained without that fold's clips of every machine, and one trained on all clips.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from audio_anomaly_detector.config import Config, parse_config
from audio_anomaly_detector.corpus import Corpus, make_statistics, read_clips
from audio_anomaly_detector.data.clips import Clip, Fold, cross_folds
from audio_anomaly_detector.data.layouts import machines
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import save_tensors
from audio_anomaly_detector.model_file import (
    FORMAT,
    claim_work_folder,
    fingerprint,
    network_weights,
    read_model_file,
    restore_networks,
)
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.scoring.components import NETWORK_FAMILIES
from audio_anomaly_detector.seeding import derive_seed
from audio_anomaly_detector.stages import Listener, fit_networks


@dataclass(frozen=True)
class Pretrained:
    """Networks of a pool.

    Args:
        config: they were trained with.
        networks: for each fold of the calibration, then those trained on all clips.
        held_out: for each fold, the clips that its networks never heard.
        machines: names of the machines they learned from.
        fingerprint: of config and clips.
    """

    config: Config
    networks: list[Networks]
    held_out: list[list[str]]
    machines: list[str]
    fingerprint: str

    def folds_of(self, clips: Sequence[Clip]) -> list[tuple[Networks, Fold]]:
        """The networks with those of one machine's clips that each never heard.

        Clips that are not of the pool were heard by none and are divided among the folds; so a
        machine that came later can use the pool, too.

        Args:
            clips: training clips of the machine.

        Returns:
            One pair for each fold, then the networks trained on all clips with an empty fold.
        """
        everyone = set(range(len(clips)))
        keys = [_key(clip) for clip in clips]
        parts = [{i for i in everyone if keys[i] in names} for names in map(set, self.held_out)]
        unknown = sorted(everyone.difference(*parts))
        for number, part in enumerate(np.array_split(unknown, len(parts))):
            parts[number].update(part.tolist())
        folds = [Fold(sorted(everyone - part), sorted(part)) for part in parts]
        return list(zip(self.networks, [*folds, Fold(sorted(everyone), [])], strict=True))

    def save(self, path: Path) -> None:
        """Write a file of plain tensors and data.

        Raises:
            UserError: the place cannot be written or the disk is full.
        """
        save_tensors(
            path,
            {
                "format": FORMAT,
                "config": json.dumps(self.config.model_dump(mode="json")),
                "networks": [network_weights(networks) for networks in self.networks],
                "held_out": self.held_out,
                "machines": self.machines,
                "fingerprint": self.fingerprint,
            },
        )

    @classmethod
    def load(cls, path: Path, device: torch.device) -> "Pretrained":
        """Read what `save` wrote; nothing in it is executed.

        Raises:
            UserError: no such file, or not one of these.
        """
        content = read_model_file(path)
        if "held_out" not in content:
            raise UserError(f"{path}: holds no networks of a pool; 'aad run-all --pool' makes them")
        config = parse_config(json.loads(content["config"]))
        networks = [restore_networks(config, state, device) for state in content["networks"]]
        return cls(
            config,
            networks,
            content["held_out"],
            content["machines"],
            content["fingerprint"],
        )


def pretrain(
    clips: Sequence[Clip],
    config: Config,
    work: Path,
    device: torch.device,
    listener: Listener,
    on_error: Literal["skip", "stop"] = "skip",
) -> Pretrained:
    """Train the three networks on the normal clips of several machines.

    The masked transformer also learns to tell the machines apart: which sound is whose is a label
    that costs nothing (Giri et al., "Self-supervised classification for detecting anomalous
    sounds", DCASE 2020).

    Args:
        clips: normal training clips of all machines, few long recordings cut.
        config: all settings.
        work: folder for checkpoints and cached data; a second run goes on from it.
        device: where to train.
        listener: hears of progress and epochs.
        on_error: leave out clips that cannot be used, or stop at the first.

    Raises:
        UserError: no clip can be used, full disk.
        ClipError: with ``on_error="stop"``, the first clip that cannot be used.
    """
    claim_work_folder(work, config, clips)
    store = read_clips(clips, config, work, on_error, listener.progress)
    # Of no use here: what needs no network is each machine's own affair.
    scoring = config.scoring.model_copy(update={"families": NETWORK_FAMILIES})
    measure = make_statistics(
        config.model_copy(update={"scoring": scoring}), store.windows.shape[1]
    )
    measure = measure.to(device).eval()
    corpus = Corpus(store, config, measure, work, device, listener.progress)
    names = list(machines(store.clips))
    labels = np.array([names.index(clip.machine) for clip in store.clips])
    held_out = _held_out(store.clips, labels, config)
    networks = []
    for number, left_out in enumerate([*held_out, set[int]()]):
        name = "final" if number == len(held_out) else f"fold-{number + 1}"
        part = [place for place in range(len(store.clips)) if place not in left_out]
        longer = config.stages.held_out_factor
        trained = fit_networks(corpus, part, name, longer, listener, labels=labels)
        networks.append(trained[0].eval())
    return Pretrained(
        config,
        networks,
        [[_key(store.clips[place]) for place in sorted(left_out)] for left_out in held_out],
        ["/".join(name) for name in names],
        fingerprint(config, clips),
    )


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
