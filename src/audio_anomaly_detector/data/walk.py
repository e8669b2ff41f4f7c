"""The audio files below a folder, and what lies beside them."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from audio_anomaly_detector.data.kinds import AUDIO_SUFFIXES

# Files that belong to a data set and are no audio: tables, texts, pictures.
_COMPANIONS = {
    *(".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".xml", ".toml", ".ini", ".txt", ".md"),
    *(".rst", ".pdf", ".png", ".jpg", ".jpeg", ".svg", ".html", ".bib"),
    *("license", "readme", "checksums", "makefile", "thumbs.db", "desktop.ini"),
}


def walk(root: Path) -> tuple[list[PurePosixPath], list[str], list[str]]:
    """Find audio files below the root in order, following links but never twice to one folder.

    Returns:
        The files, what is wrong with others, and what lies beside the audio as in any data set.
    """
    files, problems = [], []
    others, companions = Counter[str](), Counter[str]()
    seen: set[str] = set()

    def unreadable(error: OSError) -> None:
        problems.append(f"{error.filename}: the folder cannot be opened ({error.strerror})")

    for here, folders, names in os.walk(root, followlinks=True, onerror=unreadable):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            problems.append(f"{here}: links to a folder that is read already and was passed over")
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f != "__MACOSX")
        for name in sorted(n for n in names if not n.startswith(".")):
            file = Path(here, name)
            if file.suffix.lower() in _COMPANIONS or name.lower() in _COMPANIONS:
                companions[file.suffix or name] += 1
            elif file.suffix.lower() not in AUDIO_SUFFIXES:
                others[file.suffix or name] += 1
            elif not is_text(str(file)):
                problems.append(f"{file}: the name is not valid text; rename the file")
            else:
                files.append(PurePosixPath(file.relative_to(root).as_posix()))
    if others:
        kinds = listed(f"{n} × {suffix}" for suffix, n in others.most_common())
        problems.append(f"{others.total()} file(s) are not audio and were passed over: {kinds}")
    kinds = listed(f"{n} × {suffix}" for suffix, n in companions.most_common())
    return files, problems, [f"other files: {kinds}"] if kinds else []


def as_on_disk(path: Path) -> Path:
    """A path as its file is named: in the composed or decomposed Unicode form that is there."""
    if path.exists() or str(path).isascii():
        return path
    here = Path(path.anchor)
    for part in path.parts[len(here.parts) :]:
        there = here / part
        if not there.exists() and here.is_dir():
            typed = unicodedata.normalize("NFC", part)
            alike = (p for p in here.iterdir() if unicodedata.normalize("NFC", p.name) == typed)
            there = next(alike, there)
        here = there
    return here


def is_text(name: str) -> bool:
    """Whether a file name can be written into a UTF-8 file."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def listed(items: Iterable[str], most: int = 20) -> str:
    """Write a list for one line of text."""
    shown = list(items)
    rest = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + rest
