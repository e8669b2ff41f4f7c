"""What a clip is, and how clips are split for training, test and cross-fitting.

The unit is the clip, never the frame: a label, a score and a fold belong to a whole clip, so that
no window of a test clip is ever used in training.
"""

import re
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


def part_named(name: str) -> tuple[str, float, float | None]:
    """The recording of a clip, by its name, and its start and length in s; see `Clip.cut`."""
    recording, _, times = name.partition("#t=")
    if not times:
        return recording, 0.0, None
    start, _, end = times.partition(",")
    return recording, float(start), float(end) - float(start) if end else None


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


# One recording is divided into so many blocks, or fewer of two cuts at least.
_BLOCKS = 10


def independent_groups(clips: Sequence[Clip]) -> list[int]:
    """Which clips vary together: the number of each clip's group.

    Clips of one recording, or of one `Clip.group`, are alike, so that only the number of groups
    says how much is known of other recordings. If all, or all but one, are of one, blocks of
    neighbouring cuts have to do.
    """
    groups = _groups(clips)
    if _are_one(groups):
        groups = _blocks(groups, _BLOCKS)
    number = [0] * len(clips)
    for group, positions in enumerate(groups):
        for position in positions:
            number[position] = group
    return number


def are_one(clips: Sequence[Clip]) -> bool:
    """Whether all clips, or all but one, are of one recording or group."""
    return _are_one(_groups(clips))


def natural_order(clip: Clip) -> tuple[list[str | int], float]:
    """Key to sort clips by in order of recording, with the numbers in their paths as numbers."""
    parts = re.split(r"(\d+)", str(clip.path))
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], clip.start


def count_groups(clips: Sequence[Clip]) -> int:
    """How many recordings, or groups of them, clips are of."""
    return len(_groups(clips))


def _groups(clips: Sequence[Clip]) -> list[list[int]]:
    """Positions of the clips by group, in order of name and time, not of the clips."""
    groups: dict[str, list[int]] = {}
    for index in sorted(range(len(clips)), key=lambda i: natural_order(clips[i])):
        groups.setdefault(clips[index].group or str(clips[index].path), []).append(index)
    return list(groups.values())


def _are_one(groups: list[list[int]]) -> bool:
    """Whether nothing could be learned from the rest while the largest group is left out."""
    return sum(map(len, groups)) - max(map(len, groups)) < 2


def _blocks(groups: list[list[int]], most: int) -> list[list[int]]:
    """Runs of neighbouring cuts, of two cuts each where there are eight."""
    cuts = [index for group in groups for index in group]
    count = min(most, max(4, len(cuts) // 2), len(cuts))
    return [block.tolist() for block in np.array_split(cuts, count)]


def _shuffled(groups: list[list[int]], seed: int) -> list[list[int]]:
    return [groups[i] for i in np.random.default_rng(seed).permutation(len(groups))]


def split_clips(clips: Sequence[Clip], seed: int) -> Split:
    """Split the clips of one machine into training and test.

    The layout's own split where it prescribes one. Otherwise the test set is every anomalous clip
    and as many normals, at most half of them (MIMII's convention); the rest of the normals train.
    Clips without a label cannot train: they are in the test part, to be scored, not evaluated.
    Recordings that were cut, and other groups, stay whole, but for one that is larger than the
    test set: of that a run of neighbouring cuts is taken.

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
    held_out = {normals[index].name for index in _held_out(normals, n_test, seed)}
    train = [clip for clip in normals if clip.name not in held_out]
    kept = {clip.name for clip in train}
    return Split(train=train, test=[clip for clip in clips if clip.name not in kept])


def _held_out(normals: Sequence[Clip], wanted: int, seed: int) -> list[int]:
    """Positions of the normals for test: whole groups, as many as fit."""
    held_out: list[int] = []
    for group in reversed(_shuffled(_groups(normals), seed)):
        if len(held_out) + len(group) <= wanted:
            held_out += group
        elif not held_out:
            held_out = group[len(group) - wanted :]
    return held_out


def cross_folds(clips: Sequence[Clip], n_folds: int, seed: int, alike: int = 1) -> list[Fold]:
    """Divide clips into folds for cross-fitting, each clip held out exactly once.

    A group of clips that vary together is never divided. If all clips are cuts of one recording,
    the folds are runs of neighbouring cuts. Of these, and of clips whose neighbours are alike, the
    neighbours on either side of those held out are not fitted on either, as sound goes on. Folds
    are as even as that allows.

    Args:
        clips: at least 2 clips, in any order.
        n_folds: at least 2; at most one fold per group is made.
        seed: of the permutation of the groups.
        alike: over how many clips neighbours are alike, see `neighbours.with_neighbours`.

    Returns:
        `min(n_folds, number of groups)` folds.

    Raises:
        ValueError: for fewer than 2 clips or folds.
    """
    if len(clips) < 2 or n_folds < 2:
        raise ValueError(f"cross-fitting needs 2 clips and 2 folds, got {len(clips)} clips")
    groups = _groups(clips)
    one = _are_one(groups)
    if one:
        blocks = _blocks(groups, min(n_folds, _BLOCKS))
    else:
        blocks = [[] for _ in range(min(n_folds, len(groups)))]
        for group in sorted(_shuffled(groups, seed), key=len, reverse=True):
            min(blocks, key=len).extend(group)
    order = sorted(range(len(clips)), key=lambda i: natural_order(clips[i]))
    folds = []
    for block in blocks:
        fit = set(order) - set(block)
        if one or alike > 1:
            fit -= _beside(order, set(block), alike if one else alike // 4)
        folds.append(Fold(fit=sorted(fit), held_out=sorted(block)))
    return folds


def _beside(order: list[int], held_out: set[int], count: int) -> set[int]:
    """Up to so many clips before and behind each that is held out, as many as can be spared."""
    fitted = len(order) - len(held_out)
    spare = min(fitted - 2 * _BLOCKS, fitted // 2)
    places = [place for place, index in enumerate(order) if index in held_out]
    for reach in range(count, 0, -1):
        near = {i for place in places for i in order[max(0, place - reach) : place + reach + 1]}
        if len(near - held_out) <= spare:
            return near - held_out
    return set()
