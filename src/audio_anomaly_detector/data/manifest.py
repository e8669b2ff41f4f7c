"""The CSV manifest: clips listed one per line, wherever their files lie."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import cast, get_args

from audio_anomaly_detector.data.clips import LABEL_NAMES, Clip, Domain, MachineKey, Part
from audio_anomaly_detector.errors import UserError

_MACHINE = ("condition", "machine_type", "machine_id")
_COLUMNS = ("path", "label", *_MACHINE, "split", "domain", "attributes", "start", "duration")
_LABELS: dict[str, int | None] = {"": None, "0": 0, "1": 1, **LABEL_NAMES}


def csv_manifest(root: Path, _files: Sequence[PurePosixPath]) -> list[Clip] | None:
    """Read a CSV file with a header and one line per clip.

    Columns: path (relative to the CSV file), and optionally label (0, 1, normal, abnormal, anomaly,
    anomalous), machine_type, machine_id, condition, split (train, test), domain (source, target),
    attributes, start and duration (s). An empty field is one not given. A clip without a label is
    of unknown kind, but normal if its split is train. A machine, id or condition that is not
    given gets the name of the file.

    Args:
        root: the CSV file.
        _files: not used; every layout is called the same way.

    Returns:
        The clips in order of lines; None if `root` is not a file.

    Raises:
        UserError: with the number of the line that has an error.
    """
    if not root.is_file():
        return None
    clips: dict[str, Clip] = {}
    line = 1
    try:
        with root.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restkey="", restval="", strict=True)
            _check_columns(root, list(reader.fieldnames or []))
            for row in reader:
                line = reader.line_num
                try:
                    clip = _clip(root, row)
                    if clip.name in clips:
                        raise ValueError(f"{clip.name} is in an earlier line too")
                except ValueError as error:
                    raise UserError(f"{root}, line {line}: {error}; correct it") from error
                clips[clip.name] = clip
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{root}: cannot be read as CSV beyond line {line} ({error}); save it as UTF-8 CSV"
        ) from error
    if not clips:
        raise UserError(f"{root}: lists no clips; give one line per clip below the header")
    return list(clips.values())


def _check_columns(root: Path, columns: list[str]) -> None:
    unknown = [column for column in columns if column not in _COLUMNS]
    if "path" not in columns:
        problem = "has no column named path"
    elif unknown:  # a misspelt `label` or `split` must not silently count as not given
        problem = f"has an unknown column {unknown[0]!r}"
    else:
        return
    raise UserError(f"{root}, line 1: {problem}; known columns are {', '.join(_COLUMNS)}")


def _clip(root: Path, row: dict[str, str]) -> Clip:
    """Make the clip of one line; a ValueError names what is wrong with it."""
    if "" in row:  # where DictReader puts fields beyond the last column
        raise ValueError("has more fields than the header")
    row = {column: value.strip() for column, value in row.items()}

    def one_of(column: str, known: Sequence[str]) -> str | None:
        value = row.get(column, "").lower()
        if value and value not in known:
            raise ValueError(f"{column} {value!r} is none of {', '.join(known)}")
        return value or None

    def seconds(column: str, least: float) -> float | None:
        value = row.get(column, "")
        try:
            number = float(value) if value else None
        except ValueError:
            number = math.nan
        if number is not None and not least <= number < math.inf:
            raise ValueError(f"{column} {value!r} is not a number of seconds of at least {least:g}")
        return number

    if not row["path"] or "\0" in row["path"]:
        raise ValueError("the path is empty or has a NUL character")
    for column in _MACHINE:  # these become names of files
        if any(character in row.get(column, "") for character in "/\\\0"):
            raise ValueError(f"{column} {row[column]!r} has a slash")
    path = PurePosixPath(row["path"])
    label = _LABELS[one_of("label", [name for name in _LABELS if name]) or ""]
    split = cast(Part | None, one_of("split", get_args(Part)))
    if split == "train" and label == 1:
        raise ValueError("an anomalous clip cannot be in the split train")
    clip = Clip(
        path=root.parent / path,
        name=path.as_posix(),
        label=0 if split == "train" else label,
        machine=MachineKey(*(row.get(column) or root.stem for column in _MACHINE)),
        split=split,
        domain=cast(Domain | None, one_of("domain", get_args(Domain))),
        attributes=row.get("attributes", ""),
    )
    start, duration = seconds("start", 0.0), seconds("duration", 0.001)
    return clip if start is None and duration is None else clip.cut(start or 0.0, duration)
