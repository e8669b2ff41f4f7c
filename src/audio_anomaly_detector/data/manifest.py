"""The CSV manifest: clips listed one per line, wherever their files lie."""

import csv
import difflib
import io
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, cast, get_args

from audio_anomaly_detector.data.clips import Clip, Domain, MachineKey, Part
from audio_anomaly_detector.data.kinds import AUDIO_SUFFIXES
from audio_anomaly_detector.data.labels import NAMES, label_of
from audio_anomaly_detector.data.walk import as_on_disk
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import write_csv

_MACHINE = ("condition", "machine_type", "machine_id")
_COLUMNS = (
    *("path", "label", *_MACHINE, "split", "domain", "attributes", "start", "duration"),
    "group",
)
# Headers of other programs' tables: Hugging Face, DCASE, pandas, and our own split.csv.
_SYNONYMS = {
    **dict.fromkeys(
        ("file_name", "filename", "file", "file_path", "filepath", "audio", "audio_file"), "path"
    ),
    **dict.fromkeys(("audio_path", "audio_filepath", "wav", "wav_path", "wav_file"), "path"),
    **dict.fromkeys(("datei", "dateiname", "pfad", "fichier", "chemin", "archivo", "ruta"), "path"),
    **dict.fromkeys(
        ("파일", "파일명", "경로", "文件", "文件名", "路径", "ファイル", "ファイル名"), "path"
    ),
    **dict.fromkeys(("라벨", "레이블", "标签", "標籤", "ラベル", "etiqueta"), "label"),
    **dict.fromkeys(("labels", "is_anomaly", "is_anomalous", "anomaly"), "label"),
    **dict.fromkeys(("session", "session_id"), "group"),
    **dict.fromkeys(("machine", "machinetype"), "machine_type"),
    **dict.fromkeys(("machineid", "id"), "machine_id"),
    **dict.fromkeys(("part", "subset"), "split"),
    "domain_label": "domain",
    "start_time": "start",
}
_TRUTH = {"true": "1", "false": "0"}  # of a column is_anomaly


class Manifest(NamedTuple):
    """The clips in order of lines, what is wrong, and how the table was understood."""

    clips: list[Clip]
    problems: list[str]
    reading: tuple[str, ...]


def csv_manifest(root: Path) -> Manifest:
    """Read a table with a header and one line per clip.

    Columns: path (relative to the table), and optionally label (0, 1, or a word as in folder
    names), machine_type, machine_id, condition, split (train, test), domain (source, target),
    attributes, start and duration (s), or what other programs call them. Commas, semicolons or tabs
    between them. An empty field is one not given. A clip without a label is of unknown kind, but
    normal if its split is train. A machine, id or condition that is not given gets the name of the
    file.

    Args:
        root: the table.

    Raises:
        UserError: with the number of the line that has an error.
    """
    text = _decoded(root)
    before = 0
    if text[:4].lower() == "sep=":  # Excel's own line
        _, _, text = text.partition("\n")
        before = 1
    table = _Table(root, text, before)
    clips = table.clips()
    if not clips:
        raise UserError(f"{root}: lists no clips; give one line per clip below the header")
    labels = Counter(clip.label for clip in clips)
    counts = ", ".join(f"{n} {NAMES[label]}" for label, n in labels.most_common())
    return Manifest(clips, [], (f"labels of the table: {counts}", *table.reading()))


class _Table:
    """The lines of a table with a header.

    Args:
        root: its file.
        text: its content.
        before: lines of the file before the text.
    """

    def __init__(self, root: Path, text: str, before: int) -> None:
        self.root, self.before = root, before
        delimiter = _delimiter(text)
        self.rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        lines = text.splitlines()
        first = lines[1].split(delimiter) if len(lines) > 1 else []
        try:
            self.header = next(self.rows, [])
            self.names, self.unused = _columns(root, 1 + before, self.header, first)
        except csv.Error as error:
            raise self._unreadable(1 + before, error) from error

    def clips(self) -> list[Clip]:
        """One for each line that is not empty."""
        clips: dict[str, Clip] = {}
        others: dict[str, list[str]] = {column: [] for column in self.unused}
        line = 1 + self.before
        try:
            for values in self.rows:
                line = self.rows.line_num + self.before
                if not any(value.strip() for value in values):
                    continue
                clip = self._clip(line, values, others)
                if clip.name in clips:
                    raise _wrong_line(self.root, line, f"{clip.name} is in an earlier line too")
                clips[clip.name] = clip
        except csv.Error as error:
            raise self._unreadable(line, error) from error
        if "label" not in self.names:
            _check_no_labels(self.root, others)
        return list(clips.values())

    def reading(self) -> list[str]:
        """How the columns were understood, where that is not plain."""
        columns = zip(self.header, self.names, strict=True)
        renamed = [
            f"{column} as {name}" for column, name in columns if name and _key(column) != name
        ]
        return [
            f"columns {what}: {', '.join(which)}"
            for what, which in (("read", renamed), ("not used", self.unused))
            if which
        ]

    def _clip(self, line: int, values: Sequence[str], others: dict[str, list[str]]) -> Clip:
        if len(values) > len(self.header):
            raise _wrong_line(self.root, line, "has more fields than the header")
        cells = [_without_apostrophe(value.strip()) for value in values]
        cells += [""] * (len(self.header) - len(cells))
        for column, cell in zip(self.header, cells, strict=True):
            if column in others:
                others[column].append(cell)
        try:
            row = {n: cell for n, cell in zip(self.names, cells, strict=True) if n is not None}
            return _clip(self.root, row)
        except ValueError as error:
            raise _wrong_line(self.root, line, str(error)) from error

    def _unreadable(self, line: int, error: csv.Error) -> UserError:
        return UserError(
            f"{self.root}: cannot be read as CSV beyond line {line} ({error}); save it as UTF-8 CSV"
        )


def _without_apostrophe(cell: str) -> str:
    """A cell without what keeps a spreadsheet from running it; see `files.write_csv`."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] in tuple("=+-@") else cell


def _wrong_line(root: Path, line: int, problem: str) -> UserError:
    return UserError(f"{root}, line {line}: {problem}; correct it")


def write_manifest(path: Path, clips: Sequence[Clip], unclear: Iterable[str] = ()) -> None:
    """Write clips as a manifest that gives the same clips again.

    Args:
        path: of the manifest; the clips' paths are written relative to its folder.
        clips: any clips.
        unclear: names of clips whose label the user is asked for: they get no split either, which
            would make them normal.

    Raises:
        UserError: the file cannot be written.
    """
    asked = set(unclear)
    folder = path.absolute().parent
    write_csv(
        path,
        _COLUMNS,
        (
            [
                "|".join(_relative(file, folder) for file in clip.files),
                "" if clip.label is None else NAMES[clip.label],
                *clip.machine,
                "" if clip.name in asked else clip.split or "",
                clip.domain or "",
                clip.attributes,
                clip.start or "",
                "" if clip.duration is None else clip.duration,
                clip.group,
            ]
            for clip in clips
        ),
    )


def _relative(file: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # another drive
        return file.as_posix()


def _decoded(root: Path) -> str:
    try:
        content = root.read_bytes()
        utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{root}: cannot be read as CSV ({error}); save it as UTF-8 (Excel: CSV UTF-8)"
        ) from error


def _delimiter(text: str) -> str:
    """The one of comma, semicolon, tab and bar that gives the header the most known columns."""
    header = next(iter(text.splitlines()), "")

    def known(delimiter: str) -> tuple[int, int]:
        columns = [column.strip('"') for column in header.split(delimiter)]
        return sum(_name_of(column) is not None for column in columns), len(columns)

    return max(",;\t|", key=known)


def _key(column: str) -> str:
    return "_".join(column.strip().casefold().replace("-", " ").split())


def _name_of(column: str) -> str | None:
    key = _key(column)
    return key if key in _COLUMNS else _SYNONYMS.get(key)


def _columns(
    root: Path, line: int, header: Sequence[str], first: Sequence[str]
) -> tuple[list[str | None], list[str]]:
    """What each column is (None: not used), and the columns not used.

    A misspelt `label` or `split` must not silently count as not given, so what is spelt much like a
    known column is an error.
    """
    names = [_name_of(column) for column in header]
    exact = {_key(column) for column in header}
    for at, name in enumerate(names):
        if name in exact and _key(header[at]) != name:
            names[at] = None  # `file` beside `path`
    for name in _COLUMNS:
        columns = [column for column, each in zip(header, names, strict=True) if each == name]
        if len(columns) > 1:
            raise UserError(
                f"{root}, line {line}: has several columns for {name} ({', '.join(columns)}); "
                "keep one"
            )
    known = f"known columns are {', '.join(_COLUMNS)}"
    if "path" not in names:
        if header and all(map(_is_number, first or header)):
            raise UserError(
                f"{root}: is a table of samples, not a list of clips; save the signal as WAV with "
                "its sample rate (Python: soundfile.write) and point to that"
            )
        if any(PurePosixPath(cell.strip()).suffix.lower() in AUDIO_SUFFIXES for cell in header):
            known = "put a header such as path,label above the clips"
        raise UserError(f"{root}, line {line}: has no column named path; {known}")
    unused = []
    for column, name in zip(header, names, strict=True):
        if name is not None or _name_of(column) is not None or not column.strip():
            continue
        close = difflib.get_close_matches(_key(column), [*_COLUMNS, *_SYNONYMS], 1, 0.75)
        if close:
            raise UserError(
                f"{root}, line {line}: has an unknown column {column!r}; if it is "
                f"{_name_of(close[0])}, write that, else give it another name; {known}"
            )
        unused.append(column)
    return names, unused


def _check_no_labels(root: Path, cells: dict[str, list[str]]) -> None:
    for column, values in cells.items():
        if {0, 1} <= {label_of(value) for value in values if not _is_number(value)}:
            raise UserError(
                f"{root}: the column {column!r} reads like labels, but no column is named label; "
                "name it label, or give it numbers if it is something else"
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _clip(root: Path, row: dict[str, str]) -> Clip:
    """Make the clip of one line; a ValueError names what is wrong with it."""

    def one_of(column: str, known: Sequence[str]) -> str | None:
        value = row.get(column, "").lower()
        if value and value not in known:
            raise ValueError(f"{column} {value!r} is none of {', '.join(known)}")
        return value or None

    def seconds(column: str, least: float) -> float | None:
        value = row.get(column, "")
        try:
            number = float(value.replace(",", ".")) if value else None
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
    path, *further = _paths(root, row["path"])
    label = _label(row.get("label", ""))
    row["split"] = (
        row.get("split", "").lower().replace("training", "train").replace("testing", "test")
    )
    split = cast(Part | None, one_of("split", get_args(Part)))
    if split == "train" and label == 1:
        raise ValueError("an anomalous clip cannot be in the split train")
    machine = (unicodedata.normalize("NFC", row.get(c, "") or root.stem) for c in _MACHINE)
    clip = Clip(
        path=root.parent / path,
        name=path.as_posix(),
        label=0 if split == "train" else label,
        machine=MachineKey(*machine),
        split=split,
        domain=cast(Domain | None, one_of("domain", get_args(Domain))),
        attributes=row.get("attributes", ""),
        group=row.get("group", ""),
        further=tuple(root.parent / file for file in further),
    )
    start, duration = seconds("start", 0.0), seconds("duration", 0.001)
    return clip if start is None and duration is None else clip.cut(start or 0.0, duration)


def _paths(root: Path, cell: str) -> list[PurePosixPath]:
    """The file that a cell names, or with bars between them those of a take's microphones."""
    whole = "|" not in cell or (root.parent / cell).exists()
    return [_path(root, file.strip()) for file in ([cell] if whole else cell.split("|"))]


def _path(root: Path, cell: str) -> PurePosixPath:
    if not cell:
        raise ValueError("the path has an empty file between its bars")
    path = PurePosixPath(cell)
    if "\\" in cell and not (root.parent / path).exists():
        path = PurePosixPath(cell.replace("\\", "/"))  # written on Windows
    there = as_on_disk(root.parent / path)
    return path if there == root.parent / path else PurePosixPath(_relative(there, root.parent))


def _label(value: str) -> int | None:
    if not value:
        return None
    label = label_of(_TRUTH.get(value.lower(), value.removesuffix(".0")))
    if label is None:
        raise ValueError(
            f"label {value!r} is none of 0, 1, normal, anomalous, or another word for these; leave "
            "it empty where it is unknown"
        )
    return label
