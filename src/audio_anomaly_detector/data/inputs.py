"""The clips that a user names to be scored: files, folders, manifests, patterns of these."""

import os
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.layouts import Discovery, find_every_clip
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
    clips: dict[tuple[str, float, float | None], Clip] = {}
    again: Counter[str] = Counter()
    for clip in _named(found):
        first = clips.setdefault((os.path.realpath(clip.path), clip.start, clip.duration), clip)
        if first is not clip:
            again[first.name] += 1
    if again:
        problems.append(
            f"{len(again)} recording(s) were given several times and are used once "
            f"(such as {next(iter(again))})"
        )
    used = list(clips.values())
    if takes and used:
        used, left = join_takes(used)
        problems += left
    return Inputs(used, problems, failures)


def _expanded(given: Path) -> list[Path]:
    """The paths that a pattern fits; any other path, and a pattern that fits none, is itself."""
    path = given.expanduser()
    if not set("*?[") & set(str(path)) or os.path.lexists(path):
        return [given]
    anchor = Path(path.anchor)
    return sorted(anchor.glob(str(path.relative_to(anchor)))) or [given]


def _named(found: Sequence[Discovery]) -> list[Clip]:
    """The clips without labels, under names relative to the folder that all inputs share."""
    roots = {discovery.root for discovery in found}
    return [
        replace(clip, label=None, name=(_above(discovery.root, roots) / clip.name).as_posix())
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
