"""From a path to clips: one function per data set layout.

`auto` takes the one layout that fits: a `.csv` file is a manifest; files named as in DCASE inside
`train/`, `test/` or `supplemental/` are DCASE; a `normal/` folder inside the folder of a machine is
MIMII; anything else is a plain folder. Where two of the first three fit, the user has to choose.

A new layout is one function here and one line in `LAYOUTS`. It gets the root and the audio files
below it, as paths relative to the root, and returns the clips that it recognises, or None if the
files are not laid out its way. What it leaves out is reported to the user.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from audio_anomaly_detector.data.clips import LABEL_NAMES, Clip, Domain, MachineKey, Part
from audio_anomaly_detector.data.kinds import AUDIO_SUFFIXES, is_audio
from audio_anomaly_detector.data.manifest import csv_manifest
from audio_anomaly_detector.errors import UserError


class Discovery(NamedTuple):
    """What was found.

    Attributes:
        root: folder that the clips' names are relative to.
        layout: a name in `LAYOUTS`.
        clips: in order of name.
        problems: what was left out and why, a line each.
        reading: how folder and file names were understood, a line each.
    """

    root: Path
    layout: str
    clips: list[Clip]
    problems: list[str]
    reading: tuple[str, ...] = ()


def find_clips(root: Path | str, layout: str = "auto") -> Discovery:
    """Find the clips below a folder, in a CSV manifest, or in one audio file.

    Args:
        root: folder, CSV manifest or audio file.
        layout: a name in `LAYOUTS`, or `auto`.

    Returns:
        The clips with names relative to `root` (to its folder, if it is a file).

    Raises:
        UserError: if nothing is there, or the layout is unknown, does not fit or is ambiguous, or a
            manifest has an error.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise UserError(f"there is no layout {layout!r}; choose auto, {', '.join(LAYOUTS)}")
    root = Path(root).expanduser()
    # Clips outlive the working directory (other processes read them); `..` has no name to show.
    root = root.resolve() if ".." in root.parts else root.absolute()
    if not root.exists():
        raise UserError(f"{root}: there is no such folder or file; check the path")
    if root.is_file():
        return _find_in_file(root, layout)
    files, problems = _walk(root)
    if not files:
        found = f" ({problems[0]})" if problems else ""
        raise UserError(
            f"{root}: no audio files below it{found}; "
            "point to a folder with WAV, FLAC, OGG, MP3 or AIFF files"
        )
    name, clips = _choose(root, files, layout)
    taken = {clip.name for clip in clips}
    left = [file for file in files if file.as_posix() not in taken]
    if left:
        problems.append(
            f"{len(left)} audio file(s) have no place in the {name} layout and were passed over "
            f"(such as {left[0]})"
        )
    return Discovery(root, name, sorted(clips, key=lambda clip: clip.name), problems)


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
    matching = [key for key in groups if machine_id is None or f"/{key}".endswith(f"/{machine_id}")]
    if len(matching) == 1:
        return groups[matching[0]]
    if matching:
        what = "there are several machines" if machine_id is None else f"{machine_id} is ambiguous"
        raise UserError(f"{what}; choose one of {_listed(map(str, matching))}")
    one_type = len({key[:2] for key in groups}) == 1
    there_are = _listed(key.machine_id if one_type else str(key) for key in groups)
    raise UserError(f"there is no machine id {machine_id!r}; there are {there_are}")


def mimii(root: Path, files: Sequence[PurePosixPath]) -> list[Clip] | None:
    """Read `<condition>/<machine>/<id>/{normal,abnormal}/*`, pointed at any of those folders.

    Condition and machine type above the root come from its parents' names where these look like
    MIMII (`-6_dB_fan`, `6dB_pump`), otherwise from the root's own name.
    """
    clips = []
    for file in files:
        folders = [part.lower() for part in file.parts[:-1]]
        at = max((i for i, part in enumerate(folders) if part in LABEL_NAMES), default=None)
        if at is None or (at == 0 and not re.fullmatch(r"id_\d+", root.name, re.IGNORECASE)):
            continue
        machine = _mimii_machine(root, file.parts[:at])
        clips.append(_clip(root, file, LABEL_NAMES[folders[at]], machine))
    return clips if any(clip.label == 0 for clip in clips) else None


def dcase(root: Path, files: Sequence[PurePosixPath]) -> list[Clip] | None:
    """Read DCASE Task 2, 2020 to 2025: `<machine>/{train,test,supplemental}/`, or one machine.

    A section (2021 on) or id (2020) is a machine id. Test files of an evaluation set have no label.
    Supplemental recordings of the clean machine are normals to train on; those of noise alone are
    not of the machine and are left out. Source: dcase.community, task 2 of each year.
    """
    clips = []
    for file in files:
        parts = file.parts[:-1]
        at = max((i for i, part in enumerate(parts) if part in _DCASE_FOLDERS), default=None)
        match = _DCASE_NAME.fullmatch(file.stem)
        if at is None or match is None:
            continue
        words = {match["before"], *(match["words"] or "").split("_"), *parts[at].split("_")}
        if parts[at] == "supplemental" and "noise" in words:
            continue
        split = _DCASE_FOLDERS[parts[at]]
        normal = "normal" in words or split == "train"
        domain: Domain | None = "source" if "source" in words else None
        attributes = match["attributes"] or ""
        clips.append(
            _clip(
                root,
                file,
                label=1 if "anomaly" in words else 0 if normal else None,
                machine=MachineKey(
                    condition="_".join(parts[: max(0, at - 1)]) or _name(root),
                    machine_type=parts[at - 1] if at else _name(root),
                    machine_id=match["id"],
                ),
                split=split,
                domain="target" if "target" in words else domain,
                attributes="" if attributes.startswith("noAttribute") else attributes,
            )
        )
    return clips or None


def folder(root: Path, files: Sequence[PurePosixPath]) -> list[Clip] | None:
    """Read a folder of normals of one machine, with all that is below it.

    What lies in a folder `abnormal`, `anomaly` or `anomalous` is anomalous. Condition, machine and
    id get the name of the root.
    """
    clips = []
    for file in files:
        labels = [LABEL_NAMES.get(part.lower(), 0) for part in file.parts[:-1]]
        machine = MachineKey(_name(root), _name(root), _name(root))
        clips.append(_clip(root, file, max(labels, default=0), machine))
    return clips or None


# In the order of detection; `folder` fits whatever the others leave.
LAYOUTS: dict[str, Callable[[Path, Sequence[PurePosixPath]], list[Clip] | None]] = {
    "dcase": dcase,
    "mimii": mimii,
    "csv": csv_manifest,
    "folder": folder,
}

_DCASE_FOLDERS: dict[str, Part] = {
    "train": "train",
    "test": "test",
    "source_test": "test",  # 2021
    "target_test": "test",
    "supplemental": "train",  # 2025
}
_DCASE_NAME = re.compile(
    r"(?:(?P<before>normal|anomaly)_)?(?P<id>(?:id|section)_\d+)"
    r"(?:_(?P<words>[a-z_]+))?_(?P<number>\d{4,})(?:_(?P<attributes>.+))?"
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
    return Clip(root / file, file.as_posix(), label, machine, split, domain, attributes)


def _name(root: Path) -> str:
    return root.name or "data"


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


def _choose(root: Path, files: Sequence[PurePosixPath], layout: str) -> tuple[str, list[Clip]]:
    """Apply the layout asked for, or the one that fits."""
    if layout != "auto":
        clips = LAYOUTS[layout](root, files)
        if clips is None:
            raise UserError(f"{root}: is not laid out as {layout}; try --layout auto")
        return layout, clips
    fits = {name: clips for name, read in LAYOUTS.items() if (clips := read(root, files))}
    special = [name for name in fits if name != "folder"]
    if len(special) > 1:
        raise UserError(
            f"{root}: holds files laid out as {' and as '.join(special)}; "
            "choose one with --layout, or point to a folder with one of them"
        )
    name = special[0] if special else "folder"
    return name, fits[name]


def _find_in_file(root: Path, layout: str) -> Discovery:
    """Find the clips of a CSV manifest, or take a single audio file as a folder of one."""
    if root.suffix.lower() in AUDIO_SUFFIXES or is_audio(root):
        name, clips = "folder", folder(root.parent, [PurePosixPath(root.name)])
    elif root.suffix.lower() == ".csv" or layout == "csv":
        name, clips = "csv", csv_manifest(root, [])
    else:
        raise UserError(f"{root}: is neither audio nor a .csv manifest; point to one, or a folder")
    if layout not in ("auto", name):
        raise UserError(f"{root}: a file cannot be laid out as {layout}; use --layout auto")
    return Discovery(root.parent, name, sorted(clips or [], key=lambda clip: clip.name), [])


def _walk(root: Path) -> tuple[list[PurePosixPath], list[str]]:
    """Find audio files below the root in order, following links but never twice to one folder."""
    files, others, problems = [], Counter[str](), []
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
            if file.suffix.lower() not in AUDIO_SUFFIXES:
                others[file.suffix or name] += 1
            elif not _is_text(str(file)):
                shown = str(file).encode(errors="replace").decode()
                problems.append(f"{shown}: the name is not valid text; rename the file")
            else:
                files.append(PurePosixPath(file.relative_to(root).as_posix()))
    if others:
        kinds = _listed(f"{n} × {suffix}" for suffix, n in others.most_common())
        problems.append(f"{others.total()} file(s) are not audio and were passed over: {kinds}")
    return files, problems


def _is_text(name: str) -> bool:
    """Whether a file name can be written into a UTF-8 file."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _listed(items: Iterable[str], most: int = 20) -> str:
    """Write a list for one line of text."""
    shown = list(items)
    rest = f" and {len(shown) - most} more" if len(shown) > most else ""
    return ", ".join(shown[:most]) + rest
