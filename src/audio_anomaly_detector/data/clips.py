"""What a clip is, and how clips are split for training, test and cross-fitting.

The unit is the clip, never the frame: a label, a score and a fold belong to a whole clip, so that
no window of a test clip is ever used in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from audio_anomaly_detector.errors import UserError

Part = Literal["train", "test"]
Domain = Literal["source", "target"]


class MachineKey(NamedTuple):
    """Which machine a clip was recorded from; one detector is fitted per key."""

    condition: str
    machine_type: str
    machine_id: str

    def __str__(self) -> str:
        """Write the key as it is typed at the command line."""
        return "/".join(self)


@dataclass(frozen=True)
class Clip:
    """One recording, or one cut of a long recording: the unit of label and score.

    Args:
        path: the audio file.
        name: its posix path relative to the data root, with `#t=START,END` (s) for a cut; unique.
        label: 0 normal, 1 anomalous, None unknown.
        machine: the machine it was recorded from.
        split: what the layout prescribes; None leaves the split to `split_clips`.
        domain: DCASE domain, where the layout names it.
        attributes: whatever else the layout states of the operating conditions.
        start: first second that belongs to the clip.
        duration: length in s; None goes to the end of the file.
        group: name of what it was recorded together with; empty: its file. Clips of one group
            are never divided among folds while there are enough groups.
        further: files of the other microphones of the take, in order, where each has its own.
    """

    path: Path
    name: str
    label: int | None
    machine: MachineKey
    split: Part | None = None
    domain: Domain | None = None
    attributes: str = ""
    start: float = 0.0
    duration: float | None = None
    group: str = ""
    further: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the recording: one, or one for each microphone."""
        return (self.path, *self.further)

    def cut(self, start: float, duration: float | None) -> "Clip":
        """Make a clip of a part of this recording, `start` in s from the beginning of the file."""
        end = "" if duration is None else _seconds(start + duration)
        name = f"{self.name.partition('#t=')[0]}#t={_seconds(start)},{end}"
        return replace(self, name=name, start=start, duration=duration)


def _seconds(value: float) -> str:
    """Write a time in full to the microsecond, without trailing zeros."""
    return f"{value:.6f}".rstrip("0").rstrip(".")


class Split(NamedTuple):
    """Clips to learn from (normal ones only) and clips to evaluate on."""

    train: list[Clip]
    test: list[Clip]


class Fold(NamedTuple):
    """Positions of the clips to fit on and of those held out, both ascending."""

    fit: list[int]
    held_out: list[int]


def _recordings(clips: Sequence[Clip], seed: int) -> list[list[int]]:
    """Positions of the clips grouped by recording: recordings shuffled, cuts in order of time.

    Clips are sorted before they are shuffled, so the result does not depend on their order.
    """
    groups: dict[str, list[int]] = {}
    for index in sorted(range(len(clips)), key=lambda i: (clips[i].path, clips[i].start)):
        groups.setdefault(clips[index].group or str(clips[index].path), []).append(index)
    recordings = list(groups.values())
    return [recordings[i] for i in np.random.default_rng(seed).permutation(len(recordings))]


def split_clips(clips: Sequence[Clip], seed: int) -> Split:
    """Split the clips of one machine into training and test.

    The layout's own split where it prescribes one. Otherwise the test set is every anomalous clip
    and as many normals, at most half of them (MIMII's convention); the rest of the normals train.
    Clips without a label cannot train: they are in the test part, to be scored, not evaluated.
    Of a recording that was cut, a run of neighbouring cuts is taken, not scattered ones.

    Args:
        clips: clips of one machine, in any order.
        seed: chooses the normals for test.

    Returns:
        Both parts in order of name; `train` holds normals only.

    Raises:
        UserError: if only some of the clips have a prescribed split.
    """
    clips = sorted(clips, key=lambda clip: clip.name)
    undecided = [clip for clip in clips if clip.split is None]
    if undecided and len(undecided) < len(clips):
        raise UserError(
            f"{len(undecided)} of {len(clips)} clips have no split (such as {undecided[0].name}); "
            "give every clip of the machine a split (train or test), or none of them"
        )
    if not undecided:
        return Split(
            train=[clip for clip in clips if clip.split == "train" and clip.label == 0],
            test=[clip for clip in clips if clip.split == "test"],
        )
    normals = [clip for clip in clips if clip.label == 0]
    n_test = min(sum(clip.label == 1 for clip in clips), len(normals) // 2)
    shuffled = [index for recording in _recordings(normals, seed) for index in recording]
    held_out = {normals[index].name for index in shuffled[len(normals) - n_test :]}
    train = [clip for clip in normals if clip.name not in held_out]
    kept = {clip.name for clip in train}
    return Split(train=train, test=[clip for clip in clips if clip.name not in kept])


def cross_folds(clips: Sequence[Clip], n_folds: int, seed: int) -> list[Fold]:
    """Divide clips into folds for cross-fitting, each clip held out exactly once.

    A recording that was cut is never scattered: with at least as many recordings as folds each
    recording lies whole in one fold; with fewer, the folds are runs of neighbouring cuts, so that
    only cuts at the borders of a run have neighbours in another fold. Folds are as even as that
    allows.

    Args:
        clips: at least 2 clips, in any order.
        n_folds: at least 2; at most one fold per clip is made.
        seed: of the permutation of the recordings.

    Returns:
        `min(n_folds, len(clips))` folds.

    Raises:
        ValueError: for fewer than 2 clips or folds.
    """
    n_folds = min(n_folds, len(clips))
    if n_folds < 2:
        raise ValueError(f"cross-fitting needs 2 clips and 2 folds, got {len(clips)} clips")
    recordings = _recordings(clips, seed)
    if len(recordings) < n_folds:
        order = [index for recording in recordings for index in recording]
        blocks = [block.tolist() for block in np.array_split(order, n_folds)]
    else:
        blocks = [[] for _ in range(n_folds)]
        for recording in sorted(recordings, key=len, reverse=True):
            min(blocks, key=len).extend(recording)
    everyone = set(range(len(clips)))
    return [Fold(fit=sorted(everyone - set(block)), held_out=sorted(block)) for block in blocks]
