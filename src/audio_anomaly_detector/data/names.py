"""What the folder and file names of a data set come to, file by file."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import NamedTuple

from audio_anomaly_detector.data.clips import Part
from audio_anomaly_detector.data.labels import NAMES

Folder = tuple[str, ...]
_LINES = 20  # shown of how names were read


class Patterns(NamedTuple):
    """What the user says of names: patterns as of a shell.

    Each is compared with every folder and file name, and with the path from every folder on;
    `*` takes slashes too. Without patterns of normal clips all that fits no other is normal.
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
        above: folders called like a split, above those.
        split: training or test, where names say so.
        attributes: the kind of fault, where a folder says so.
        placed: whether it belongs to the data set by its name.
    """

    label: int | None = None
    said: str = ""
    at: int | None = None
    machine: Folder = ()
    above: Folder = ()
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

    def keep_real_splits(self) -> None:
        """Keep splits of machines that have both parts: `test/` alone is any folder."""
        kinds: dict[Folder, set[Part | None]] = defaultdict(set)
        for name in self.of.values():
            kinds[name.machine].add(name.split)
        for file, name in self.of.items():
            if name.split and not {"train", "test"} <= kinds[name.machine]:
                self.of[file] = replace(name, split=None, machine=name.above + name.machine)

    def reading(self, files: Iterable[PurePosixPath]) -> list[str]:
        """How the names of some files were understood, a line for each word, for the user."""
        said: Counter[tuple[str, int | None]] = Counter()
        splits: Counter[str] = Counter()
        for file in files:
            name = self.of[file]
            said[name.said or "no word", name.label] += 1
            if name.split:
                splits[name.split] += 1
        lines = [
            f"{text} → {NAMES[label]} ({count} {'clip' if count == 1 else 'clips'})"
            for (text, label), count in sorted(
                said.items(), key=lambda item: (item[0][1] is None, item[0][1], item[0][0])
            )
        ]
        if len(lines) > _LINES:
            lines[_LINES:] = [f"and {len(lines) - _LINES} more such words"]
        if splits:
            parts = ", ".join(f"{splits[part]} {part}" for part in ("train", "test"))
            lines.append(f"split by names: {parts}")
        return lines


def parts_of(file: PurePosixPath) -> Folder:
    """The names in a path: of its folders, and of the file without its suffix."""
    return (*file.parts[:-1], file.stem)
