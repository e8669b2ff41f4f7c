"""What a backbone hears: clips of new machines in every step, drawn by worker processes."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from audio_anomaly_detector.pretraining.recipe import Recipe, Sounds
from audio_anomaly_detector.seeding import derive_seed
from audio_anomaly_detector.synthesis.prior.recordings import machine_clips
from audio_anomaly_detector.synthesis.sounds import Clock


class MachineSounds(NamedTuple):
    """Clips of M machines, each at unit RMS.

    Attributes:
        normal: ``(M, n, T)``.
        alone: what is heard of the machine itself in each, ``(M, n, T)``.
        changed: one clip of each with something else in it, ``(M, T)``.
    """

    normal: Tensor
    alone: Tensor
    changed: Tensor


class StepSounds(Dataset[MachineSounds]):
    """The clips of every step, by its number: the same in whatever process they are drawn.

    Args:
        recipe: what is drawn, and its seed.
        sample_rate: Hz.
        purpose: steps of different purposes share no machine.
        rank: of this process among those that train together; each hears machines of its own.
    """

    def __init__(self, recipe: Recipe, sample_rate: int, purpose: str, rank: int = 0) -> None:
        self.recipe, self.sample_rate = recipe, sample_rate
        self.purpose, self.rank = purpose, rank

    def __getitem__(self, step: int) -> MachineSounds:
        """Draw the clips of a step."""
        seed = self.recipe.seed
        # All ranks draw clips of one length, or some would wait for others.
        kind = self._kind(np.random.default_rng(derive_seed(seed, self.purpose, step)))
        clock = Clock(round(kind.seconds * self.sample_rate), self.sample_rate)
        rng = np.random.default_rng(derive_seed(seed, self.purpose, step, self.rank))
        drawn = [machine_clips(rng, clock, kind.normal, 1) for _ in range(kind.machines)]
        parts = (
            np.stack([getattr(clips, name) for clips in drawn]).astype(np.float32)
            for name in MachineSounds._fields
        )
        normal, alone, changed = map(torch.from_numpy, parts)
        return MachineSounds(normal, alone, changed[:, 0])

    def _kind(self, rng: np.random.Generator) -> Sounds:
        shares = np.array([kind.share for kind in self.recipe.sounds])
        return self.recipe.sounds[int(rng.choice(len(shares), p=shares / shares.sum()))]
