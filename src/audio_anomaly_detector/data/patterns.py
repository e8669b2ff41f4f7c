"""Labels by the user's own patterns of names, in place of the words in them."""

import fnmatch
from collections.abc import Sequence
from pathlib import PurePosixPath

from audio_anomaly_detector.data.clips import Part
from audio_anomaly_detector.data.labels import meaning
from audio_anomaly_detector.data.names import Folder, Name, Names, Patterns, parts_of
from audio_anomaly_detector.data.words import same
from audio_anomaly_detector.errors import UserError


def read_patterns(files: Sequence[PurePosixPath], patterns: Patterns) -> Names:
    """Label files by patterns; splits are read from folders as ever.

    A folder that a part of a pattern names holds a kind of clips, and so do those beside it; the
    folders above are the machine.

    Raises:
        UserError: a file fits patterns of both kinds, or a pattern fits no file.
    """
    names = Names(patterns=patterns)
    given = [*patterns.normal, *patterns.abnormal]
    named = [part for pattern in given for part in pattern.split("/") if part.strip("*?")]
    above = {
        parts[:at]
        for parts in map(parts_of, files)
        for at, part in enumerate(parts[:-1])
        if meaning(part).train is None and any(_alike(part, each) for each in named)
    }
    used: set[str] = set()
    for file in files:
        normal = [pattern for pattern in patterns.normal if _fits(file, pattern)]
        abnormal = [pattern for pattern in patterns.abnormal if _fits(file, pattern)]
        if normal and abnormal:
            raise UserError(
                f"{file}: fits --normal {normal[0]} and --abnormal {abnormal[0]}; make one narrower"
            )
        used |= {*normal, *abnormal}
        label = 1 if abnormal else 0 if normal or not patterns.normal else None
        said = [f"--normal {p}" for p in normal] + [f"--abnormal {p}" for p in abnormal]
        names.of[file] = _name(parts_of(file), label, (said or ["no pattern"])[0], above)
    for pattern in given:
        if pattern not in used:
            raise UserError(
                f"the pattern {pattern!r} fits no clip; patterns are compared with paths such as "
                f"{files[0]}"
            )
    names.keep_real_splits()
    return names


def _name(parts: Folder, label: int | None, said: str, above: set[Folder]) -> Name:
    folders = range(len(parts) - 1)
    splits = [at for at in folders if meaning(parts[at]).train is not None]
    kinds = [at for at in folders if parts[:at] in above and at not in splits]
    end = max(kinds, default=len(parts) - 1)
    machine = tuple(
        parts[at]
        for at in range(end)
        if at not in {*splits, *kinds} and (kinds or not meaning(parts[at]).session)
    )
    split: Part | None = None
    if splits:
        split = "train" if meaning(parts[splits[-1]]).train else "test"
    placed = label is not None
    at = end if placed else None
    return Name(label, said, at, machine, split=split, placed=placed)


def _fits(file: PurePosixPath, pattern: str) -> bool:
    tails = ("/".join(file.parts[at:]) for at in range(len(file.parts)))
    return any(_alike(text, pattern.strip("/")) for text in (*tails, *file.parts, file.stem))


def _alike(text: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(same(text), same(pattern))
