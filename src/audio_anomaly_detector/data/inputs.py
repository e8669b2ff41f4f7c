"""The clips that a user names to be scored, or to adapt to: files, folders, manifests, patterns."""

import os
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.layouts import (
    Discovery,
    find_clips,
    find_every_clip,
    machines,
    select_machine,
)
from audio_anomaly_detector.data.names import NO_PATTERNS, Patterns
from audio_anomaly_detector.data.takes import join_takes
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.run_options import OnError


class Inputs(NamedTuple):
    """Clips in order, what was noticed while they were looked for, and what could not be used."""

    clips: list[Clip]
    problems: list[str]
    failures: list[UserError]


def find_inputs(paths: Sequence[Path], on_error: OnError = "skip", takes: bool = False) -> Inputs:
    """Find the clips that are to be scored, without labels.

    Words that label clips or split them where a detector is fitted say nothing here: all audio
    below a folder is scored. Names are relative to the folder that all inputs share, so that
    `a/1.wav` and `b/1.wav` stay apart. A recording that is given twice, under whatever path, is
    taken once.

    Args:
        paths: audio files, folders of them, CSV manifests, or patterns such as `new/*.wav`, which
            some shells leave to the program.
        on_error: leave out what cannot be used, or stop at the first.
        takes: as in `find_clips`.

    Raises:
        UserError: with ``on_error="stop"``, the first problem.
    """
    found: list[Discovery] = []
    failures: list[UserError] = []
    for path in (each for given in paths for each in _expanded(given)):
        try:
            found.append(find_every_clip(path))
        except UserError as error:
            if on_error == "stop":
                raise
            failures.append(error)
    problems = [problem for discovery in found for problem in discovery.problems]
    used, again = _once([replace(clip, label=None) for clip in _named(found)])
    problems += again
    if takes and used:
        used, left = join_takes(used)
        problems += left
    return Inputs(used, problems, failures)


def find_normals(
    paths: Sequence[Path],
    machine: MachineKey,
    machine_id: str | None = None,
    layout: str = "auto",
    patterns: Patterns = NO_PATTERNS,
    takes: bool = False,
) -> Inputs:
    """Find further normal clips of a machine, and those among them that are called anomalous.

    Args:
        paths: as for `find_inputs`; of a data set of several machines the one is taken.
        machine: of the model.
        machine_id: how that machine is called here; None: as in the model, or there is only one.
        layout: as in `find_clips`, like the rest.
        patterns: likewise.
        takes: likewise.

    Returns:
        Clips of the machine in order, with labels; without those of a test part.

    Raises:
        UserError: as `find_clips` and `select_machine`; names leave open which clips are normal.
    """
    found = []
    problems = []
    for path in (each for given in paths for each in _expanded(given)):
        discovery = find_clips(path, layout, patterns, takes)
        problems += discovery.problems
        there = map(str, machines(discovery.clips))
        named = machine_id or (str(machine) if str(machine) in there else None)
        clips = select_machine(discovery.clips, named)
        discovery.require_labels(clips)
        learned = [clip for clip in clips if clip.split != "test"]
        if len(learned) < len(clips):
            left = len(clips) - len(learned)
            problems.append(f"{path}: {left} clip(s) of the test part were left out")
        found.append(replace(discovery, clips=learned))
    used, again = _once([replace(clip, machine=machine) for clip in _named(found)])
    return Inputs(used, problems + again, [])


def _once(clips: Sequence[Clip]) -> tuple[list[Clip], list[str]]:
    """Every recording once, and what is said of those that were given several times."""
    first: dict[tuple[str, float, float | None], Clip] = {}
    again: Counter[str] = Counter()
    for clip in clips:
        same = first.setdefault((os.path.realpath(clip.path), clip.start, clip.duration), clip)
        if same is not clip:
            again[same.name] += 1
    if not again:
        return list(first.values()), []
    said = (
        f"{len(again)} recording(s) were given several times and are used once "
        f"(such as {next(iter(again))})"
    )
    return list(first.values()), [said]


def _expanded(given: Path) -> list[Path]:
    """The paths that a pattern fits; any other path, and a pattern that fits none, is itself."""
    path = given.expanduser()
    if not set("*?[") & set(str(path)) or os.path.lexists(path):
        return [given]
    anchor = Path(path.anchor)
    return sorted(anchor.glob(str(path.relative_to(anchor)))) or [given]


def _named(found: Sequence[Discovery]) -> list[Clip]:
    """The clips, under names relative to the folder that all inputs share."""
    roots = {discovery.root for discovery in found}
    return [
        replace(clip, name=(_above(discovery.root, roots) / clip.name).as_posix())
        for discovery in found
        for clip in discovery.clips
    ]


def _above(root: Path, roots: Set[Path]) -> Path:
    """What is put before the names of the clips of one root."""
    if len(roots) == 1:
        return Path()
    try:
        return root.relative_to(os.path.commonpath(roots))
    except ValueError:  # on several drives
        return root
