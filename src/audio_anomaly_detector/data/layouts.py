"""From a path to clips: one function per data set layout.

`auto` takes the one layout that fits: a `.csv` file is a manifest; files named as in DCASE, in
`train/`, `test/` or `supplemental/` or with the split in their names, are DCASE; names that say
normal and anomalous inside the folder of a machine are MIMII; anything else is a plain folder.
Where two of the first three fit, the user has to choose.

A new layout is one function here and one line in `LAYOUTS`. It gets the root and what the names of
the audio files below it say (`data/reading.py`; paths are relative to the root), and returns the
clips that it recognises, or None if the files are not laid out its way. What it leaves out is
reported to the user. Clips whose names leave open whether they are normal have no label, and a
question.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import get_args

from audio_anomaly_detector.choices import LayoutName
from audio_anomaly_detector.data.clips import Clip, Domain, MachineKey, Part
from audio_anomaly_detector.data.kinds import AUDIO_SUFFIXES, is_audio
from audio_anomaly_detector.data.labels import meaning
from audio_anomaly_detector.data.manifest import csv_manifest
from audio_anomaly_detector.data.names import NO_PATTERNS, Names, Patterns
from audio_anomaly_detector.data.reading import REMEDY, read_names
from audio_anomaly_detector.data.takes import find_takes, join_takes, likely_takes
from audio_anomaly_detector.data.walk import as_on_disk, is_text, listed, walk
from audio_anomaly_detector.errors import UserError


@dataclass
class Discovery:
    """What was found.

    Attributes:
        root: folder that the clips' names are relative to.
        layout: a name in `LAYOUTS`.
        clips: in order of name.
        problems: what was left out and why, a line each.
        reading: how folder and file names were understood, a line each.
        questions: by name of a clip, why its label is unclear.
    """

    root: Path
    layout: str
    clips: list[Clip]
    problems: list[str] = field(default_factory=list)
    reading: tuple[str, ...] = ()
    questions: dict[str, str] = field(default_factory=dict)

    def question(self, clips: Iterable[Clip] | None = None) -> str:
        """What is unclear about the labels of some clips (of all, if None) in one line, or ""."""
        asked = [self.questions.get(clip.name) for clip in (self.clips if clips is None else clips)]
        reasons = Counter(reason for reason in asked if reason)
        if not reasons:
            return ""
        first, more = next(iter(reasons)), len(reasons) - 1
        rest = f" (and {more} more such questions)" if more else ""
        return f"{self.root}: it is unclear which clips are normal: {first}{rest}; {REMEDY}"

    def require_labels(self, clips: Iterable[Clip]) -> None:
        """Refuse to go on where names leave open which of the clips are normal.

        Raises:
            UserError: says what is unclear, and how the user can say it.
        """
        if question := self.question(clips):
            raise UserError(question)


def find_clips(
    root: Path | str,
    layout: str = "auto",
    patterns: Patterns = NO_PATTERNS,
    takes: bool = False,
) -> Discovery:
    """Find the clips below a folder, in a CSV manifest, or in one audio file.

    Args:
        root: folder, CSV manifest or audio file.
        layout: a name in `LAYOUTS`, or `auto`.
        patterns: which names are normal and which anomalous, in place of the words in them.
        takes: whether each microphone of a take has its own file, to be joined to one clip.

    Returns:
        The clips with names relative to `root` (to its folder, if it is a file). Those whose names
        do not make clear whether they are normal have no label; see `Discovery.question`.

    Raises:
        UserError: if nothing is there, or the layout is unknown, does not fit or is ambiguous, or a
            manifest has an error, or the patterns contradict each other or fit nothing, or there
            are no takes where there should be.
    """
    if layout not in get_args(LayoutName):
        choices = ", ".join(get_args(LayoutName))
        raise UserError(f"there is no layout {layout!r}; choose {choices}")
    root = _existing(root)
    if root.is_file():
        found = _find_in_file(root, layout, patterns)
        if takes:
            found.clips, left = join_takes(found.clips)
            found.problems += left
        return found
    return _find_in_folder(root, layout, patterns, takes)


def _find_in_folder(root: Path, layout: str, patterns: Patterns, takes: bool) -> Discovery:
    files, problems, companions = _audio_files(root)
    further: dict[str, tuple[Path, ...]] = {}
    if takes:
        # Names of a take are read once: those of its first microphone.
        together, incomplete = find_takes([file.as_posix() for file in files])
        problems += incomplete
        further = {first: tuple(root / file for file in rest) for first, *rest in together}
        files = [PurePosixPath(first) for first in further]
    name, clips, names = _choose(root, files, layout, patterns)
    clips, untrained = _without_anomalous_training(sorted(clips, key=lambda clip: clip.name))
    taken = {clip.name for clip in clips} | untrained
    likely: list[tuple[str, ...]] = []
    if takes:
        clips = [replace(clip, further=further[clip.name]) for clip in clips]
    elif likely := likely_takes([clip.name for clip in clips]):
        take_of = {name: take[0] for take in likely for name in take}
        clips = [replace(clip, group=take_of[clip.name]) for clip in clips]
    left = [file for file in files if file.as_posix() not in taken]
    if untrained:
        problems.append(
            f"{len(untrained)} anomalous clip(s) in the training part were left out, as training "
            f"is on normal clips (such as {min(untrained)})"
        )
    if left and patterns != NO_PATTERNS:
        problems.append(
            f"{len(left)} audio file(s) fit neither --normal nor --abnormal and were left out "
            f"(such as {left[0]})"
        )
    elif left:
        problems.append(
            f"{len(left)} audio file(s) have no place in the {name} layout and were passed over "
            f"(such as {left[0]})"
        )
    reading, questions = _understood(name, clips, names, companions)
    if likely:
        reading += (
            f"the names are those of {len(likely)} takes of {len(likely[0])} microphones each, "
            "kept together; --join-takes makes them the channels of one clip",
        )
    return Discovery(root, name, clips, problems, reading, questions)


def find_every_clip(root: Path | str) -> Discovery:
    """Find all audio below a folder, whatever the names say of labels and splits: to be scored.

    Args:
        root: folder; a CSV manifest or an audio file is read as by `find_clips`.

    Raises:
        UserError: as `find_clips`.
    """
    root = _existing(root)
    if root.is_file():
        return _find_in_file(root, "auto", NO_PATTERNS)
    files, problems, _ = _audio_files(root)
    machine = MachineKey(_name(root), _name(root), _name(root))
    clips = [_clip(root, file, None, machine) for file in files]
    return Discovery(root, "folder", sorted(clips, key=lambda clip: clip.name), problems)


def machines(clips: Sequence[Clip]) -> dict[MachineKey, list[Clip]]:
    """Group clips by machine, in order of the keys."""
    groups: dict[MachineKey, list[Clip]] = {key: [] for key in sorted({c.machine for c in clips})}
    for clip in clips:
        groups[clip.machine].append(clip)
    return groups


def select_machine(clips: Sequence[Clip], machine_id: str | None) -> list[Clip]:
    """Take the clips of one machine.

    Args:
        clips: clips of any machines.
        machine_id: `id_00`, or `machine/id_00` or `condition/machine/id_00` where needed to tell
            machines apart; None if there is only one.

    Returns:
        Its clips.

    Raises:
        UserError: if no machine or several have that id; lists those there are.
    """
    groups = machines(clips)
    if machine_id is not None:
        machine_id = unicodedata.normalize("NFC", machine_id)
    matching = [key for key in groups if machine_id is None or f"/{key}".endswith(f"/{machine_id}")]
    if len(matching) == 1:
        return groups[matching[0]]
    if matching:
        what = "there are several machines" if machine_id is None else f"{machine_id} is ambiguous"
        raise UserError(f"{what}; choose one of {listed(map(str, matching))}")
    one_type = len({key[:2] for key in groups}) == 1
    there_are = listed(key.machine_id if one_type else str(key) for key in groups)
    raise UserError(f"there is no machine id {machine_id!r}; there are {there_are}")


def mimii(root: Path, names: Names) -> list[Clip] | None:
    """Read `<condition>/<machine>/<id>/{normal,abnormal}/*`, pointed at any of those folders.

    In place of the folders `normal` and `abnormal` other words, or words in the names of files, may
    say the same, and a split may stand between. Condition and machine type above the root come from
    its parents' names where these look like MIMII (`-6_dB_fan`, `6dB_pump`), otherwise from the
    root's own name.
    """
    clips = []
    for file, name in names.of.items():
        unclear = file in names.questions
        if not name.placed or (
            name.at is None and name.label is None and not unclear and not name.split
        ):
            continue
        if not name.machine and not re.fullmatch(r"id_\d+", root.name, re.IGNORECASE):
            continue
        if _DCASE_NAME.fullmatch(file.stem) and (name.at is None or name.at == len(file.parts) - 1):
            continue
        machine = _mimii_machine(root, name.machine)
        clips.append(
            _clip(root, file, name.label, machine, split=name.split, attributes=name.attributes)
        )
    read = ((clip.label, names.of[PurePosixPath(clip.name)]) for clip in clips)
    told = any(label == 0 and (name.at is not None or name.split) for label, name in read)
    return clips if told else None


def dcase(root: Path, names: Names) -> list[Clip] | None:
    """Read DCASE Task 2, 2020 to 2025: `<machine>/{train,test,supplemental}/`, or one machine.

    A section (2021 on) or id (2020) is a machine id. Test files of an evaluation set have no label.
    Supplemental recordings of the clean machine are normals to train on; those of noise alone are
    not of the machine and are left out. Files outside such folders say split or label in their own
    names. Source: dcase.community, task 2 of each year.
    """
    clips = []
    for file, name in names.of.items():
        parts = file.parts[:-1]
        match = _DCASE_NAME.fullmatch(file.stem)
        if match is None:
            continue
        words = {(match["before"] or "").lower(), *(match["words"] or "").lower().split("_")}
        at = max((i for i, part in enumerate(parts) if _dcase_part(part)), default=None)
        if at is None:
            in_folder = name.at is not None and name.at < len(parts)
            if in_folder or not words & {"train", "test", "normal", "anomaly", "supplemental"}:
                continue
            above, split = parts, _split_in(words)
        else:
            words |= {*parts[at].lower().split("_")}
            above, split = parts[:at], _dcase_part(parts[at])
        if "supplemental" in words and "noise" in words:
            continue
        normal = "normal" in words or split == "train"
        label = 1 if "anomaly" in words else 0 if normal else None
        if names.patterns != NO_PATTERNS:
            if not name.placed:
                continue
            label = name.label
        domain: Domain | None = "source" if "source" in words else None
        attributes = match["attributes"] or ""
        clips.append(
            _clip(
                root,
                file,
                label,
                machine=MachineKey(
                    condition="_".join(above[:-1]) or _name(root),
                    machine_type=above[-1] if above else _name(root),
                    machine_id=match["id"].lower(),
                ),
                split=split,
                domain="target" if "target" in words else domain,
                attributes="" if attributes.startswith("noAttribute") else attributes,
            )
        )
    return clips or None


def folder(root: Path, names: Names) -> list[Clip] | None:
    """Read a folder of normals of one machine, with all that is below it.

    What names call anomalous is anomalous. Condition, machine and id get the name of the root.
    """
    machine = MachineKey(_name(root), _name(root), _name(root))
    clips = [
        _clip(root, file, name.label, machine, split=name.split, attributes=name.attributes)
        for file, name in names.of.items()
        if name.placed
    ]
    return clips or None


# Of folders, in the order of detection; `folder` fits whatever the others leave.
LAYOUTS: dict[str, Callable[[Path, Names], list[Clip] | None]] = {
    "dcase": dcase,
    "mimii": mimii,
    "folder": folder,
}

_DCASE_FOLDERS: dict[str, Part] = {
    "source_test": "test",  # 2021
    "target_test": "test",
    "supplemental": "train",  # 2025
}
_DCASE_NAME = re.compile(
    r"(?:(?P<before>normal|anomaly)_)?(?P<id>(?:id|section)_\d+)"
    r"(?:_(?P<words>[a-z_]+))?_(?P<number>\d{4,})(?:_(?P<attributes>.+))?",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"[-+]?\d+_?dB", re.IGNORECASE)
_MIMII_MACHINES = {"fan", "pump", "slider", "valve"}


def _clip(
    root: Path,
    file: PurePosixPath,
    label: int | None,
    machine: MachineKey,
    *,
    split: Part | None = None,
    domain: Domain | None = None,
    attributes: str = "",
) -> Clip:
    machine = MachineKey(*(unicodedata.normalize("NFC", name) for name in machine))
    return Clip(root / file, file.as_posix(), label, machine, split, domain, attributes)


def _name(root: Path) -> str:
    return root.name or "data"


def _dcase_part(folder: str) -> Part | None:
    """The part of the data set that a folder holds, if it is one of DCASE's (`test_rename` too)."""
    train = meaning(folder).train
    return _DCASE_FOLDERS.get(folder.lower()) or (
        None if train is None else "train" if train else "test"
    )


def _split_in(words: set[str]) -> Part | None:
    """The part of the data set that the words of a DCASE file name say."""
    if words & {"train", "supplemental"}:
        return "train"
    return "test" if "test" in words else None


def _mimii_machine(root: Path, folders: tuple[str, ...]) -> MachineKey:
    """Name the machine by the folders between the root and `normal/`, and by the root's parents."""
    if len(folders) >= 2:
        return MachineKey("_".join(folders[:-2]) or _name(root), folders[-2], folders[-1])
    machine_folder = root if folders else root.parent
    condition_folder = machine_folder.parent
    known = bool(_CONDITION.match(condition_folder.name))
    trusted = bool(folders) or known or machine_folder.name.lower() in _MIMII_MACHINES
    return MachineKey(
        condition=condition_folder.name if known else _name(root),
        machine_type=machine_folder.name if trusted else _name(root),
        machine_id=folders[0] if folders else root.name,
    )


def _existing(root: Path | str) -> Path:
    """The absolute path of what a user names; refused if nothing is there."""
    if root == "":
        raise UserError("the path is empty; give a folder, a manifest or an audio file")
    root = Path(root).expanduser()
    # Clips outlive the working directory (other processes read them); `..` has no name to show.
    root = as_on_disk(root.resolve() if ".." in root.parts else root.absolute())
    if not root.exists():
        raise UserError(f"{root}: there is no such folder or file; check the path")
    if not is_text(str(root)):
        raise UserError(f"{root}: the name is not valid text; rename it")
    return root


def _audio_files(root: Path) -> tuple[list[PurePosixPath], list[str], list[str]]:
    """What `walk` finds; refused if there is no audio among it."""
    files, problems, companions = walk(root)
    if not files:
        found = "".join(f" ({line})" for line in [*problems, *companions][:1])
        raise UserError(
            f"{root}: no audio files below it{found}; "
            "point to a folder with WAV, FLAC, OGG, MP3 or AIFF files"
        )
    return files, problems, companions


def _choose(
    root: Path, files: Sequence[PurePosixPath], layout: str, patterns: Patterns
) -> tuple[str, list[Clip], Names]:
    """Apply the layout asked for, or the one that fits."""
    names = read_names(root, files, patterns, rest=layout == "folder")
    if layout != "auto":
        clips = LAYOUTS[layout](root, names) if layout in LAYOUTS else None
        if clips is None:
            raise UserError(f"{root}: is not laid out as {layout}; try --layout auto")
        return layout, clips, names
    fits = {name: clips for name, read in LAYOUTS.items() if (clips := read(root, names))}
    special = [name for name in fits if name != "folder"]
    if len(special) > 1:
        raise UserError(
            f"{root}: holds files laid out as {' and as '.join(special)}; "
            "choose one with --layout, or point to a folder with one of them"
        )
    name = special[0] if special else "folder"
    if name not in fits:
        raise UserError(f"{root}: no audio file in it belongs to the data set; point elsewhere")
    return name, fits[name], names


def _find_in_file(root: Path, layout: str, patterns: Patterns) -> Discovery:
    """Find the clips of a CSV manifest, or take a single audio file as a folder of one."""
    if root.suffix.lower() in AUDIO_SUFFIXES or is_audio(root):
        names = read_names(root.parent, [PurePosixPath(root.name)], patterns, layout == "folder")
        clips = folder(root.parent, names) or []
        found = Discovery(
            root.parent, "folder", clips, [], *_understood("folder", clips, names, [])
        )
    elif root.suffix.lower() in (".csv", ".tsv", ".txt") or layout == "csv":
        if patterns != NO_PATTERNS:
            raise UserError(
                f"{root}: --normal and --abnormal are for folders; a manifest has the column label"
            )
        manifest = csv_manifest(root)
        clips = sorted(manifest.clips, key=lambda clip: clip.name)
        found = Discovery(root.parent, "csv", clips, manifest.problems, manifest.reading)
    else:
        raise UserError(f"{root}: is neither audio nor a .csv manifest; point to one, or a folder")
    if layout not in ("auto", found.layout):
        raise UserError(f"{root}: a file cannot be laid out as {layout}; use --layout auto")
    return found


def _understood(
    layout: str, clips: Sequence[Clip], names: Names, companions: Sequence[str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """How the clips' names were understood, and what is unclear."""
    files = [PurePosixPath(clip.name) for clip in clips]
    if layout == "dcase" and names.patterns == NO_PATTERNS:
        return ("labels and split as named by DCASE", *companions), {}
    questions = {
        file.as_posix(): names.questions[file] for file in files if file in names.questions
    }
    return (*names.reading(files), *companions), questions


def _without_anomalous_training(clips: Sequence[Clip]) -> tuple[list[Clip], set[str]]:
    """Leave out anomalous clips that a data set's own split gives to training."""
    wrong = {clip.name for clip in clips if clip.label == 1 and clip.split == "train"}
    return [clip for clip in clips if clip.name not in wrong], wrong
