"""How names are read: labels, splits, machines, and what is unclear.

The rules, in order:

1. The words of a name that say normal or anomalous (`data/labels.py`) label what lies below it; a
   folder that holds both kinds by the names below it is no label.
2. `train` and `test` folders (or words of labelled file names) side by side are a split: training
   clips are normal, test clips without a word have no label; but where everything in `train` is
   in folders called normal, other folders in `test` are kinds of faults, as in MVTec.
3. Beside names that say normal, a name without such a word is unclear.
4. Without any word all clips are normal, unless a name is that of a fault, or the clips lie in
   places that differ by more than dates and numbers.

Clips that are unclear have no label, and with it a question to the user.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from audio_anomaly_detector.data.clips import Part
from audio_anomaly_detector.data.labels import NAMES, meaning, with_partners
from audio_anomaly_detector.data.names import (
    NO_PATTERNS,
    Folder,
    Name,
    Names,
    Patterns,
    parts_of,
)
from audio_anomaly_detector.data.patterns import read_patterns
from audio_anomaly_detector.data.plain_names import (
    fault_question,
    may_be_classes,
    places,
    quoted,
    read_plain,
)

REMEDY = (
    "say which clips are which with --normal PATTERN and --abnormal PATTERN, or in a manifest (aad "
    "inspect DATA --write-manifest FILE.csv writes one to be corrected), or take all that is not "
    "called anomalous for normal with --layout folder"
)
_LEFT_OUT = {"ground_truth"}  # of MVTec: masks
_UNSORTED = {"unknown", "unlabeled", "unlabelled", "unsorted", "other", "others", "misc", "new"}


def read_names(
    root: Path, files: Sequence[PurePosixPath], patterns: Patterns = NO_PATTERNS, rest: bool = False
) -> Names:
    """Read the names of all files of a data set.

    Args:
        root: its name counts if no name below it says anything.
        files: relative to the root.
        patterns: of the user; words of labels are not read then.
        rest: whether all that is not called anomalous is normal, without a question.

    Raises:
        UserError: patterns contradict each other, or fit nothing.
    """
    if patterns != NO_PATTERNS:
        return read_patterns(files, patterns)
    names = _Reader(files).read()
    if rest:
        for file, name in names.of.items():
            if name.label is None and file not in names.contradictory:
                names.of[file] = replace(name, label=0, placed=True)
                names.questions.pop(file, None)
    elif all(name.at is None and name.split is None for name in names.of.values()):
        read_plain(root, files, names)
    return names


class _Reader:
    """Reads labels, splits and machines from words, file by file."""

    def __init__(self, files: Sequence[PurePosixPath]) -> None:
        self.files = files
        stems = {file.stem for file in files}
        self.labels = with_partners({part for file in files for part in file.parts[:-1]} | stems)
        self.stems_split = {True, False} <= {meaning(s).train for s in stems if self.labels[s]}
        self.kinds_below = self._kinds_below()
        self.children: dict[Folder, dict[str, int]] = defaultdict(dict)
        self.names = Names()
        self.unclear: dict[tuple[Folder, str], list[str]] = defaultdict(list)
        self.asked: dict[PurePosixPath, tuple[Folder, str]] = {}

    def read(self) -> Names:
        """All names."""
        for file in self.files:
            self.names.of[file] = self._labelled(file)
        self.names.keep_real_splits()
        self.any_normal = any(0 in children.values() for children in self.children.values())
        good = self._good_trainings()
        self.mixed_trainings = self._mixed_trainings()
        for file, name in self.names.of.items():
            if name.label is None and name.placed and file not in self.names.questions:
                kind = self._kind_of_fault(file, name, good)
                if kind is None:
                    self.names.of[file] = self._unlabelled(file, name)
                else:
                    said = f'"{kind}" in test'
                    self.names.of[file] = replace(name, label=1, said=said, at=0, attributes=kind)
        for file, key in self.asked.items():
            self.names.questions[file] = _question(key, self.unclear[key], self.children)
        self._ask_about_machines_below_labels()
        self._ask_about_machines_in_labels()
        return self.names

    def _kinds_below(self) -> dict[Folder, set[int]]:
        """The labels that folders below each folder state.

        Names of files can contradict a folder called by a label alone; where it is called more
        (`normal_street_fan`), those that say nothing else count as well.
        """
        kinds: dict[Folder, set[int]] = defaultdict(set)
        for parts in map(parts_of, self.files):
            for at, part in enumerate(parts):
                if len(self.labels[part]) != 1:
                    continue
                is_file = at == len(parts) - 1
                for above in range(at):
                    if not is_file or (meaning(parts[above]).rest and not meaning(part).rest):
                        kinds[parts[: above + 1]] |= self.labels[part]
        return kinds

    def _stated(self, parts: Folder) -> dict[int, int]:
        """The labels that the names of a path state, by position."""
        stated: dict[int, int] = {}
        for at, part in enumerate(parts):
            is_file = at == len(parts) - 1
            if len(self.labels[part]) == 1 and (
                is_file or len(self.kinds_below[parts[: at + 1]]) < 2
            ):
                (stated[at],) = self.labels[part]
        return stated

    def _labelled(self, file: PurePosixPath) -> Name:
        """Label, machine and split as far as the file's own path says them."""
        parts = parts_of(file)
        last = len(parts) - 1
        if _LEFT_OUT & {part.lower() for part in parts[:last]}:
            return Name(placed=False)
        stated = self._stated(parts)
        for i, label in stated.items():
            self.children[parts[:i]][parts[i]] = label
        splits = [i for i in range(last) if meaning(parts[i]).train is not None]
        train = meaning(parts[splits[-1]]).train if splits else None
        if not splits and self.stems_split and stated:
            train = meaning(file.stem).train
        split: Part | None = None if train is None else "train" if train else "test"
        at = max((i for i in stated if i < last), default=last if stated else None)
        in_folder = at is not None and at < last
        end = at if at is not None else splits[-1] if splits else last
        aside = {*splits, *(i for i in stated if not meaning(parts[i]).rest)}
        machine = tuple(
            parts[i]
            for i in range(end)
            if i not in aside and (in_folder or not meaning(parts[i]).session)
        )
        first = next((i for i in range(end) if parts[i] in machine), 0)
        above = tuple(parts[i] for i in splits if i < first)
        name = Name(machine=machine, above=above, split=split)
        if at is None or len(set(stated.values())) == 2:
            self._ask_about_words(file, parts, stated)
            return name
        said = f'"{parts[at]}"' if in_folder else f'"{meaning(file.stem).word}" in file names'
        return replace(name, label=stated[at], said=said, at=at)

    def _ask_about_words(self, file: PurePosixPath, parts: Folder, stated: dict[int, int]) -> None:
        """Ask about words of a path that contradict each other, or may say something."""
        both = [part for part in parts if len(self.labels[part]) == 2]
        unsure = [part for part in parts if meaning(part).unsure]
        if stated:
            words = " and ".join(f'"{parts[i]}" says {NAMES[label]}' for i, label in stated.items())
            self.names.questions[file] = f"{file}: {words}"
            self.names.contradictory.add(file)
        elif both:
            self.names.questions[file] = f'"{both[-1]}" says both normal and anomalous'
        elif unsure:
            self.names.questions[file] = f'"{unsure[-1]}" may say normal or anomalous'

    def _good_trainings(self) -> set[Folder]:
        """Machines whose training folder holds nothing but folders called normal."""
        train = [
            (name.machine, name.label == 0 and name.at not in (None, len(file.parts) - 1))
            for file, name in self.names.of.items()
            if name.split == "train"
        ]
        return {machine for machine, _ in train} - {machine for machine, good in train if not good}

    def _mixed_trainings(self) -> set[Folder]:
        """Machines whose training clips without a label lie in places that may be classes."""
        below: dict[Folder, list[PurePosixPath]] = defaultdict(list)
        for file, name in self.names.of.items():
            if name.split == "train" and name.label is None:
                at = max(i for i, part in enumerate(parts_of(file)) if meaning(part).train)
                below[name.machine].append(PurePosixPath(*file.parts[at + 1 :] or file.parts[-1:]))
        return {machine for machine, files in below.items() if may_be_classes(files)}

    def _kind_of_fault(self, file: PurePosixPath, name: Name, good: set[Folder]) -> str | None:
        """The folder in `test` that names a kind of faults, as in MVTec."""
        if name.split != "test" or name.machine not in good:
            return None
        folders = file.parts[:-1]
        at = max(
            (i for i, part in enumerate(folders) if meaning(part).train is False), default=None
        )
        if at is None or at + 1 == len(folders):
            return None
        kind = folders[at + 1]
        no_kind = meaning(kind).session or meaning(kind).unsure or kind.lower() in _UNSORTED
        return None if no_kind else kind

    def _unlabelled(self, file: PurePosixPath, name: Name) -> Name:
        """What a file is whose own path says nothing."""
        parts = parts_of(file)
        beside = next(
            (k for k in range(len(parts) - 1, -1, -1) if parts[:k] in self.children), None
        )
        fault = next((part for part in parts if meaning(part).fault), None)
        if beside is None:
            return self._apart(file, name, fault)
        child, is_file = parts[beside], beside == len(parts) - 1
        if not is_file and meaning(child).noise:
            return replace(name, placed=False)
        name = replace(
            name,
            machine=tuple(
                part
                for part in parts[:beside]
                if meaning(part).train is None and len(self.labels[part]) != 1
            ),
        )
        normal_beside = 0 in self.children[parts[:beside]].values()
        if normal_beside or fault or not (is_file or meaning(child).session):
            self._ask(file, (parts[:beside], "beside"), child)
            return name
        return name if name.split == "test" else replace(name, label=0)

    def _apart(self, file: PurePosixPath, name: Name, fault: str | None) -> Name:
        """A file that has no names with labels beside it or its folders."""
        key: tuple[Folder, str] = ((), "fault")
        if name.split == "test" or (not self.children and name.split is None):
            return name
        if fault and (name.split or not self.any_normal):
            child = fault
        elif name.split == "train":
            if name.machine not in self.mixed_trainings:
                return replace(name, label=0, said="training clips")
            key, child = (name.machine, "places"), file.parts[-2]
        elif self.any_normal:
            return replace(name, placed=False)
        elif all(meaning(part).session for part in file.parts[:-1]):
            return replace(name, label=0)
        else:
            key, child = ((), "beside"), file.parts[0]
        self._ask(file, key, child)
        return name

    def _ask(self, file: PurePosixPath, key: tuple[Folder, str], child: str) -> None:
        if child not in self.unclear[key]:
            self.unclear[key].append(child)
        self.asked[file] = key

    def _ask_about_machines_below_labels(self) -> None:
        """`normal/fan`, `normal/pump`: several machines below a label."""
        below: dict[Folder, list[PurePosixPath]] = defaultdict(list)
        for file, name in self.names.of.items():
            if name.label == 0 and name.at is not None and name.at < len(file.parts) - 1:
                below[file.parts[: name.at + 1]].append(file)
        for folder, files in below.items():
            deeper = (
                PurePosixPath(
                    *(f for f in file.parts[len(folder) : -1] if meaning(f).train is None),
                    file.name,
                )
                for file in files
            )
            apart = [place for place in places(deeper) if place]
            for file in files if len(apart) > 1 else ():
                name = self.names.of[file]
                question = f"{quoted(apart)} below {name.said} may be several machines"
                self.names.questions[file] = question
                self.names.of[file] = replace(name, label=None)

    def _ask_about_machines_in_labels(self) -> None:
        """`fan_normal`, `pump_normal`: several machines in the names of the labels' own folders."""
        called: dict[Folder, dict[str, tuple[str, ...]]] = defaultdict(dict)
        for file, name in self.names.of.items():
            if name.label == 0 and name.at is not None and name.at < len(file.parts) - 1:
                folder = file.parts[name.at]
                called[file.parts[: name.at]][folder] = meaning(folder).rest
        for file, name in self.names.of.items():
            beside = called.get(file.parts[: name.at or 0], {}) if name.at is not None else {}
            if len(set(beside.values())) > 1 and file.parts[name.at or 0] in beside:
                question = f"{quoted(list(beside))} may be several machines"
                self.names.questions.setdefault(file, question)
                self.names.of[file] = replace(name, label=None)


def _question(
    key: tuple[Folder, str], unclear: Sequence[str], children: dict[Folder, dict[str, int]]
) -> str:
    above, kind = key
    if kind == "fault":
        return fault_question(unclear)
    if kind == "places":
        return f"{quoted(unclear)} may be several machines or kinds of clips"
    labels = children.get(above) or {k: v for said in children.values() for k, v in said.items()}
    word, label = next(iter(labels.items()))
    place = f"{'/'.join(above)}: " if above else ""
    return f'{place}"{word}" says {NAMES[label]}, but what is {quoted(unclear)}?'
