"""Data sets of whose names none says anything: all normal, unless something speaks against it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from audio_anomaly_detector.data.labels import meaning
from audio_anomaly_detector.data.names import Folder, Names, parts_of
from audio_anomaly_detector.data.words import same


def read_plain(root: Path, files: Sequence[PurePosixPath], names: Names) -> None:
    """Files of which no name below the root says anything."""
    own = root
    while own.name and own != own.parent and meaning(own.name).time:
        own = own.parent
    said = meaning(own.name)
    shown = f'the folder\'s own name, "{own.name}"'
    apart = may_be_classes(files)
    faults = dict.fromkeys(part for file in files for part in parts_of(file) if meaning(part).fault)
    question, label = "", 0
    if said.labels == {1} and not said.rest:
        label = 1
    elif 1 in said.labels or said.unsure or said.fault:
        question = f"{shown}, does not say that the clips are normal"
    elif faults:
        question = fault_question(list(faults))
    elif apart:
        question = f"{quoted(apart)} may be several machines or kinds of clips"
    for file, name in names.of.items():
        if file in names.questions or not name.placed:
            continue
        if question:
            names.questions[file] = question
        else:
            names.of[file] = replace(name, label=label, said=shown if said.labels else "")


def may_be_classes(files: Sequence[PurePosixPath]) -> list[str]:
    """Places that may be machines or kinds of clips: they differ by more than dates and numbers."""
    apart = places(files)
    if len(apart) > 1:
        return [place for place in apart if place]
    numbers: dict[Folder, dict[str, None]] = defaultdict(dict)
    for folders in (file.parts[:-1] for file in files):
        for at, folder in enumerate(folders):
            numbers[folders[:at]][folder] = None
    return ["0", "1"] if any(set(names) == {"0", "1"} for names in numbers.values()) else []


def places(files: Iterable[PurePosixPath]) -> list[str]:
    """Where files lie, but for folders that are called by dates and numbers."""
    where: dict[Folder, str] = {}
    for file in files:
        odd = [folder for folder in file.parts[:-1] if not meaning(folder).session]
        where.setdefault(tuple(map(same, odd)), "/".join(odd))
    return list(where.values())


def fault_question(names: Sequence[str]) -> str:
    """What is asked where names are those of faults."""
    return f"{quoted(names)} {'names' if len(names) == 1 else 'name'} faults, but no label"


def quoted(names: Sequence[str], most: int = 5) -> str:
    """Write names for one line of text."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f'"{name}"' for name in names[:most]) + rest
