"""Shorter and longer clips made of the training clips: what the other lengths are calibrated on.

Distances of a short clip are larger and scatter more than those of a long one. So some training
clips are cut down, and neighbouring cuts of one recording are taken together; what was fitted
without them scores these pieces like clips of that length.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audio_anomaly_detector.data.audio import MIN_SECONDS, to_windows
from audio_anomaly_detector.data.clips import Clip, independent_groups
from audio_anomaly_detector.learning.training_data import TrainingData
from audio_anomaly_detector.scoring.measurement import Statistics
from audio_anomaly_detector.seeding import derive_seed

# Neighbouring lengths differ by at most so much; scores between them are interpolated.
_RATIO = 3.2
# Of each length: more would say little more.
_PIECES = 64
# Longer lengths are calibrated up to what so many groups, and half of them, have.
_LEAST_GROUPS = 4


@dataclass(frozen=True)
class Pieces:
    """Pieces of one length.

    Args:
        seconds: the length.
        clips: positions of the training clips that each piece is of: one, or a run of neighbours.
        windows: ``(1, C, T)`` of each piece that is shorter than its clip; empty for runs.
    """

    seconds: float
    clips: list[list[int]]
    windows: list[Tensor]

    def held_out(self, clips: Sequence[int]) -> list[int]:
        """Positions of the pieces that are of these clips alone."""
        return [at for at, of in enumerate(self.clips) if set(of) <= set(clips)]

    def means(self, statistics: Statistics, members: Sequence[int]) -> Statistics:
        """Statistics of some runs from those of all clips, ``(n, C, D) -> (m, C, D)``."""
        return {
            name: torch.stack([values[self.clips[run]].mean(0) for run in members])
            for name, values in statistics.items()
        }


def usual_seconds(data: TrainingData) -> float:
    """Median length of the training clips, which are of less than two windows."""
    return float(np.median(data.store.seconds))


def make_pieces(data: TrainingData, clips: Sequence[int]) -> list[Pieces]:
    """Pieces of every length that the training clips allow, but for the usual one.

    A length whose pieces are all of one group says nothing of others, and is left out.

    Args:
        data: the training clips.
        clips: positions of those that may be used.
    """
    lengths = _shorter_lengths(usual_seconds(data), data.config.audio.window_seconds)
    made = [shorter_pieces(data, clips, seconds) for seconds in lengths]
    groups = independent_groups(data.store.clips)
    return [
        pieces
        for pieces in [*made, *runs_of_cuts(data, clips)]
        if len({groups[piece[0]] for piece in pieces.clips}) > 1
    ]


def _shorter_lengths(usual: float, window: float) -> list[float]:
    """From 1 s up, evenly in the logarithm, below the usual length; and that of a window."""
    longest = min(usual, window)
    lengths = [window] if usual > 1.05 * window else []
    if longest < 1.1 * MIN_SECONDS:
        return lengths
    steps = math.ceil(math.log(longest / MIN_SECONDS) / math.log(_RATIO))
    ratio = (longest / MIN_SECONDS) ** (1 / steps)
    return [*(MIN_SECONDS * ratio**step for step in range(steps)), *lengths]


def shorter_pieces(data: TrainingData, clips: Sequence[int], seconds: float) -> Pieces:
    """A piece of each of some clips, from anywhere in it."""
    audio = data.config.audio
    seed = derive_seed(data.config.seed, f"pieces of {seconds:.3f} s")
    rng = np.random.default_rng(seed)
    samples = round(seconds * audio.sample_rate)
    chosen: list[list[int]] = []
    windows: list[Tensor] = []
    for clip in rng.permutation(clips).tolist():
        row = data.windows_of[clip][0]
        sound = min(audio.length, round(data.store.seconds[clip] * audio.sample_rate))
        if sound < samples or len(chosen) == _PIECES:
            continue
        start = int(rng.integers(0, sound - samples + 1))
        piece = data.store.windows[row][:, start : start + samples]
        chosen.append([clip])
        windows.append(torch.from_numpy(to_windows(piece, audio.length, audio.window_slack)))
    return Pieces(seconds, chosen, windows)


def runs_of_cuts(data: TrainingData, clips: Sequence[int]) -> list[Pieces]:
    """Runs of neighbouring cuts: of two, four, ... and of as many as recordings have."""
    all_clips = data.store.clips
    groups = independent_groups(all_clips)
    chains = [
        list(chain)
        for chain in _chains(all_clips, set(clips))
        if len({groups[clip] for clip in chain}) == 1  # no blocks of one recording
    ]
    longest = dict.fromkeys((groups[clip] for clip in clips), 0)
    for chain in chains:
        longest[groups[chain[0]]] = max(longest[groups[chain[0]]], len(chain))
    # As long as the recordings of enough groups are.
    enough = max(_LEAST_GROUPS, math.ceil(len(longest) / 2))
    if len(longest) < enough:
        return []
    most = sorted(longest.values())[-enough]
    counts = [2**power for power in range(1, most.bit_length()) if 2**power < 0.75 * most]
    made = []
    for count in [*counts, most] if most > 1 else []:
        runs = [c[i : i + count] for c in chains for i in range(0, len(c) - count + 1, count)]
        seed = derive_seed(data.config.seed, f"runs of {count}")
        order = np.random.default_rng(seed).permutation(len(runs))[:_PIECES]
        seconds = count * data.config.audio.window_seconds
        made.append(Pieces(seconds, [runs[i] for i in order], []))
    return made


def _chains(clips: Sequence[Clip], allowed: set[int]) -> list[list[int]]:
    """Cuts of one window each that follow each other in one file, by their positions."""
    chains: list[list[int]] = []
    for index in sorted(allowed, key=lambda i: (clips[i].path, clips[i].start)):
        clip = clips[index]
        if clip.duration is None:
            continue
        before = clips[chains[-1][-1]] if chains else None
        follows = (
            before is not None
            and before.path == clip.path
            and before.duration == clip.duration
            and abs(before.start + (before.duration or 0.0) - clip.start) < 1e-3
        )
        if follows:
            chains[-1].append(index)
        else:
            chains.append([index])
    return chains
