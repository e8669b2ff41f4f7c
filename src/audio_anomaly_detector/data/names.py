"""How the folder and file names of a data set are read: labels, splits, machines, and what is unclear.

The rules, in order:

1. The words of a name that say normal or anomalous (`data/labels.py`) label what lies below it; a
   folder that holds both kinds by the names below it is no label.
2. `train` and `test` folders (or words of labelled file names) side by side are a split: training
   clips are normal, test clips without a word have no label; but where everything in `train` is
   called normal, other folders in `test` are kinds of faults, as in MVTec.
3. Beside names that say normal, a name without such a word is unclear.
4. Without any word all clips are normal, unless a name is that of a fault, or the clips lie in
   places that differ by more than dates and numbers.

Clips that are unclear have no label, and with it a question to the user.
"""

import fnmatch
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from audio_anomaly_detector.data.clips import Part
from audio_anomaly_detector.data.labels import NAMES, meaning, with_partners
from audio_anomaly_detector.data.words import same
from audio_anomaly_detector.errors import UserError

Folder = tuple[str, ...]

REMEDY = (
    "say which clips are which with --normal PATTERN and --abnormal PATTERN, or in a manifest (aad "
    "inspect DATA --write-manifest FILE.csv writes one to be corrected), or take all that is not "
    "called anomalous for normal with --layout folder"
)
_LEFT_OUT = {"ground_truth"}  # of MVTec: masks


class Patterns(NamedTuple):
    """What the user says of names: patterns as of a shell.

    Each is compared with every folder and file name, and with the path from every folder on;
    `*` takes slashes too. Without patterns of normal clips all that no other pattern fits is normal.
    """

    normal: tuple[str, ...] = ()
    abnormal: tuple[str, ...] = ()


NO_PATTERNS = Patterns()


@dataclass(frozen=True)
class Name:
    """What the name of one file comes to.

    Args:
        label: 0 normal, 1 anomalous, None unknown.
        said: the words that say so, as shown to the user.
        at: position of the folder that says so, the number of folders for the file name itself;
            None if none does.
        machine: the folders that name the machine.
        split: training or test, where names say so.
        attributes: the kind of fault, where a folder says so.
        placed: whether it belongs to the data set by its name.
    """

    label: int | None = None
    said: str = ""
    at: int | None = None
    machine: Folder = ()
    split: Part | None = None
    attributes: str = ""
    placed: bool = True


@dataclass
class Names:
    """All names of a data set.

    Args:
        of: each file's.
        questions: what is unclear about those that are.
        contradictory: files whose path says both normal and anomalous.
        patterns: of the user, in place of words.
    """

    of: dict[PurePosixPath, Name] = field(default_factory=dict)
    questions: dict[PurePosixPath, str] = field(default_factory=dict)
    contradictory: set[PurePosixPath] = field(default_factory=set)
    patterns: Patterns = NO_PATTERNS


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
        return _by_patterns(files, patterns)
    names = _Reader(files).read()
    if rest:
        for file, name in names.of.items():
            if name.label is None and file not in names.contradictory:
                names.of[file] = replace(name, label=0, placed=True)
                names.questions.pop(file, None)
    elif all(name.at is None and name.split is None for name in names.of.values()):
        _read_plain(root, files, names)
    return names


def reading(names: Names, files: Iterable[PurePosixPath]) -> list[str]:
    """How names were understood, a line for each word, for the user."""
    said: Counter[tuple[str, int | None]] = Counter()
    splits: Counter[str] = Counter()
    for file in files:
        name = names.of[file]
        said[name.said or "no word", name.label] += 1
        if name.split:
            splits[name.split] += 1
    lines = [
        f"{text} → {NAMES[label]} ({count} {'clip' if count == 1 else 'clips'})"
        for (text, label), count in sorted(
            said.items(), key=lambda item: (item[0][1] or 0, item[0][0])
        )
    ]
    if splits:
        lines.append(
            "split by names: "
            + ", ".join(f"{n} {part}" for part, n in sorted(splits.items(), reverse=True))
        )
    return lines


class _Reader:
    """Reads labels, splits and machines from words, file by file."""

    def __init__(self, files: Sequence[PurePosixPath]) -> None:
        self.files = files
        stems = {file.stem for file in files}
        self.labels = with_partners({part for file in files for part in file.parts[:-1]} | stems)
        kinds = {meaning(stem).train for stem in stems if self.labels[stem]}
        self.stems_split = {True, False} <= kinds
        self.kinds_below = self._kinds_below()
        self.children: dict[Folder, dict[str, int]] = defaultdict(dict)
        self.names = Names()
        self.unclear: dict[tuple[Folder, str], list[str]] = defaultdict(list)
        self.asked: dict[PurePosixPath, tuple[Folder, str]] = {}

    def read(self) -> Names:
        for file in self.files:
            self.names.of[file] = self._labelled(file)
        self._keep_real_splits()
        good_trainings = self._good_trainings()
        for file, name in self.names.of.items():
            if name.label is None and file not in self.names.questions:
                self.names.of[file] = self._unlabelled(file, name, good_trainings)
        for file, key in self.asked.items():
            self.names.questions[file] = _question(key, self.unclear[key], self.children)
        self._ask_about_machines_below_labels()
        return self.names

    def _kinds_below(self) -> dict[Folder, set[int]]:
        """The labels that names below each folder state."""
        kinds: dict[Folder, set[int]] = defaultdict(set)
        for file in self.files:
            parts = _parts(file)
            for at, part in enumerate(parts):
                stated = self.labels[part]
                if len(stated) == 1:
                    for above in range(at):
                        kinds[parts[: above + 1]] |= stated
        return kinds

    def _labelled(self, file: PurePosixPath) -> Name:
        """Label, machine and split as far as the file's own path says them."""
        parts = _parts(file)
        last = len(parts) - 1
        stated: dict[int, int] = {}
        for at, part in enumerate(parts):
            if len(self.labels[part]) == 1 and (
                at == last or len(self.kinds_below[parts[: at + 1]]) < 2
            ):
                (stated[at],) = self.labels[part]
        for at, label in stated.items():
            self.children[parts[:at]][parts[at]] = label
        splits = [at for at in range(last) if meaning(parts[at]).train is not None]
        train = meaning(parts[splits[-1]]).train if splits else None
        if not splits and self.stems_split and stated:
            train = meaning(file.stem).train
        split: Part | None = None if train is None else "train" if train else "test"
        in_folders = [at for at in stated if at < last]
        at = max(in_folders) if in_folders else last if stated else None
        aside = {*splits, *stated}
        if in_folders:
            machine = tuple(parts[i] for i in range(max(in_folders)) if i not in aside)
        else:
            end = last if at is not None or not splits else splits[-1]
            machine = tuple(
                parts[i] for i in range(end) if i not in aside and not meaning(parts[i]).session
            )
        if _LEFT_OUT & {part.lower() for part in parts[:last]}:
            return Name(placed=False)
        if len(set(stated.values())) == 2:
            words = " and ".join(f'"{parts[i]}" says {NAMES[label]}' for i, label in stated.items())
            self.names.questions[file] = f"{file}: {words}"
            self.names.contradictory.add(file)
            return Name(machine=machine, split=split)
        if at is None:
            both = [part for part in parts if len(self.labels[part]) == 2]
            unsure = [part for part in parts if meaning(part).unsure]
            if both:
                self.names.questions[file] = f'"{both[-1]}" says both normal and anomalous'
            elif unsure:
                self.names.questions[file] = f'"{unsure[-1]}" may say normal or anomalous'
            return Name(machine=machine, split=split)
        said = f'"{parts[at]}"' if at < last else f'"{meaning(file.stem).word}" in file names'
        return Name(stated[at], said, at, machine, split)

    def _keep_real_splits(self) -> None:
        """A split has both parts, of the same machine."""
        kinds: dict[Folder, set[Part | None]] = defaultdict(set)
        for name in self.names.of.values():
            kinds[name.machine].add(name.split)
        for file, name in self.names.of.items():
            if name.split and not {"train", "test"} <= kinds[name.machine]:
                self.names.of[file] = replace(name, split=None)

    def _good_trainings(self) -> set[Folder]:
        """Machines whose training folder holds nothing but folders called normal."""
        train = [
            (
                name.machine,
                name.label == 0 and name.at is not None and name.at < len(file.parts) - 1,
            )
            for file, name in self.names.of.items()
            if name.split == "train"
        ]
        return {machine for machine, _ in train} - {machine for machine, good in train if not good}

    def _unlabelled(self, file: PurePosixPath, name: Name, good_trainings: set[Folder]) -> Name:
        """What a file is whose own path says nothing."""
        if not name.placed:
            return name
        parts = _parts(file)
        beside = next(
            (k for k in range(len(parts) - 1, -1, -1) if parts[:k] in self.children), None
        )
        fault = next((part for part in parts if meaning(part).fault), None)
        if beside is None:
            if name.split == "test":
                return self._maybe_fault(parts, name, good_trainings)
            if not self.children:
                if name.split == "train" and fault:
                    self._ask(file, ((), "fault"), fault)
                    return name
                return replace(name, label=0 if name.split == "train" else None)
            if name.split == "train" and not fault:
                return replace(name, label=0, said="training clips")
            if (
                all(meaning(part).session for part in parts[:-1])
                and not fault
                and not self._any_normal()
            ):
                return replace(name, label=0)
            if name.split == "train" or not self._any_normal():
                self._ask(file, ((), "beside"), parts[0])
                return name
            return replace(name, placed=False)
        child, is_file = parts[beside], beside == len(parts) - 1
        if name.split == "test" and name.machine in good_trainings and not is_file:
            return self._maybe_fault(parts, name, good_trainings)
        if not is_file and meaning(child).noise:
            return replace(name, placed=False)
        machine = tuple(p for p in parts[:beside] if meaning(p).train is None and not self._says(p))
        if (
            0 in self.children[parts[:beside]].values()
            or fault
            or not (is_file or meaning(child).session)
        ):
            self._ask(file, (parts[:beside], "beside"), child)
            return replace(name, machine=machine)
        return replace(name, label=None if name.split == "test" else 0, machine=machine)

    def _maybe_fault(self, parts: Folder, name: Name, good_trainings: set[Folder]) -> Name:
        """A test clip: of a kind of faults where training holds only normal folders, as in MVTec."""
        at = max(
            (i for i in range(len(parts) - 1) if meaning(parts[i]).train is False), default=None
        )
        if at is None or at + 2 > len(parts) - 1 or name.machine not in good_trainings:
            return name
        kind = parts[at + 1]
        if meaning(kind).session or meaning(kind).unsure:
            return name
        return replace(
            name, label=1, said=f'"{kind}", a folder of test', at=at + 1, attributes=kind
        )

    def _says(self, part: str) -> bool:
        return len(self.labels[part]) == 1

    def _any_normal(self) -> bool:
        return any(0 in children.values() for children in self.children.values())

    def _ask(self, file: PurePosixPath, key: tuple[Folder, str], child: str) -> None:
        if child not in self.unclear[key]:
            self.unclear[key].append(child)
        self.asked[file] = key

    def _ask_about_machines_below_labels(self) -> None:
        """`normal/id_00`, `normal/id_02`: several machines below a label."""
        below: dict[Folder, dict[str, None]] = defaultdict(dict)
        for file, name in self.names.of.items():
            if name.at is not None and name.at < len(file.parts) - 2:
                below[file.parts[: name.at + 1]][file.parts[name.at + 1]] = None
        numbered = {label: _numbered(children) for label, children in below.items()}
        for file, name in self.names.of.items():
            several = (
                numbered.get(file.parts[: (name.at or 0) + 1]) if name.at is not None else None
            )
            if several:
                self.names.questions.setdefault(
                    file, f"{_listed(several)} below {name.said} may be several machines"
                )
                self.names.of[file] = replace(name, label=None)


def _read_plain(root: Path, files: Sequence[PurePosixPath], names: Names) -> None:
    """Files of which no name below the root says anything."""
    own = root
    while own.name and own != own.parent and meaning(own.name).session:
        own = own.parent
    said = meaning(own.name)
    shown = f'the folder\'s own name, "{own.name}"'
    places = _places(files)
    faults = dict.fromkeys(part for file in files for part in _parts(file) if meaning(part).fault)
    question, label = "", 0
    if said.labels == {1} and said.whole:
        label = 1
    elif 1 in said.labels or said.unsure or (said.fault and said.whole):
        question = f"{shown}, does not say that the clips are normal"
    elif faults:
        question = _question(((), "fault"), list(faults), {})
    elif places:
        question = f"{_listed(places)} may be several machines or kinds of clips"
    for file, name in names.of.items():
        if file in names.questions or not name.placed:
            continue
        if question:
            names.questions[file] = question
        else:
            names.of[file] = replace(name, label=label, said=shown if said.labels else "")


def _places(files: Sequence[PurePosixPath]) -> list[str]:
    """Sub-folders side by side, or beside files, that differ by more than dates and numbers."""
    children: dict[Folder, dict[str, None]] = defaultdict(dict)
    with_files: set[Folder] = set()
    for file in files:
        folders = file.parts[:-1]
        with_files.add(folders)
        for at, folder in enumerate(folders):
            children[folders[:at]][folder] = None
    for above, names in children.items():
        classes = {same(name) for name in names} == {"0", "1"}
        odd = [name for name in names if not meaning(name).session]
        if classes or (odd and (len(names) > 1 or above in with_files)):
            return list(names)
    return []


def _by_patterns(files: Sequence[PurePosixPath], patterns: Patterns) -> Names:
    """Label by the user's patterns; machine and split by folders as ever."""
    names = Names(patterns=patterns)
    used: set[str] = set()
    reader = _Reader(files)
    parts_of_patterns = [
        part for pattern in (*patterns.normal, *patterns.abnormal) for part in pattern.split("/")
    ]
    literal = [part for part in parts_of_patterns if part.strip("*?")]
    for file in files:
        fits = {
            label: [pattern for pattern in given if _fits(file, pattern)]
            for label, given in ((0, patterns.normal), (1, patterns.abnormal))
        }
        if fits[0] and fits[1]:
            raise UserError(
                f"{file}: fits --normal {fits[0][0]} and --abnormal {fits[1][0]}; make one narrower"
            )
        used |= {*fits[0], *fits[1]}
        parts = _parts(file)
        splits = [at for at in range(len(parts) - 1) if meaning(parts[at]).train is not None]
        kinds = [
            at
            for at in range(len(parts) - 1)
            if at not in splits and any(_same_pattern(parts[at], part) for part in literal)
        ]
        end = max(kinds) if kinds else len(parts) - 1
        machine = tuple(
            parts[i]
            for i in range(end)
            if i not in splits and i not in kinds and (kinds or not meaning(parts[i]).session)
        )
        split: Part | None = None
        if splits:
            split = "train" if meaning(parts[splits[-1]]).train else "test"
        label = 1 if fits[1] else 0 if fits[0] or not patterns.normal else None
        said = [f"--normal {p}" for p in fits[0]] + [f"--abnormal {p}" for p in fits[1]]
        at = end if label is not None else None
        names.of[file] = Name(
            label, said[0] if said else "no pattern", at, machine, split, placed=label is not None
        )
    unused = [p for p in (*patterns.normal, *patterns.abnormal) if p not in used]
    if unused:
        raise UserError(
            f"the pattern {unused[0]!r} fits no clip; patterns are compared with paths such as {files[0]}"
        )
    reader.names = names
    reader._keep_real_splits()
    return names


def _fits(file: PurePosixPath, pattern: str) -> bool:
    pattern = pattern.strip("/")
    tails = ("/".join(file.parts[at:]) for at in range(len(file.parts)))
    return any(_same_pattern(text, pattern) for text in (*tails, *file.parts, file.stem))


def _same_pattern(text: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(same(text), same(pattern))


def _parts(file: PurePosixPath) -> Folder:
    return (*file.parts[:-1], file.stem)


def _numbered(children: Iterable[str]) -> list[str]:
    """Names that differ by their numbers alone and are no dates."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for child in children:
        if not meaning(child).session:
            kinds["".join(c for c in same(child) if not c.isdigit())].append(child)
    return next((names for names in kinds.values() if len(names) > 1), [])


def _question(
    key: tuple[Folder, str], unclear: Sequence[str], children: dict[Folder, dict[str, int]]
) -> str:
    above, kind = key
    if kind == "fault":
        return f"{_listed(unclear)} {'names' if len(unclear) == 1 else 'name'} faults, but no label"
    labels = children.get(above) or {k: v for said in children.values() for k, v in said.items()}
    word, label = next(iter(labels.items()))
    place = f"{'/'.join(above)}: " if above else ""
    return f'{place}"{word}" says {NAMES[label]}, but what is {_listed(unclear)}?'


def _listed(names: Sequence[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f'"{name}"' for name in names[:most]) + rest
