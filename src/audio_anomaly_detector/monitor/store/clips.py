"""Sound and pictures of events: the folders they lie in, and room on the disk for them."""

import hashlib
import io
import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from pydantic import BaseModel, Field

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.files import make_folder, write_bytes, write_json
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.sound import Chunk
from audio_anomaly_detector.monitor.store.store import Store
from audio_anomaly_detector.monitor.store.tables import finite

PICTURE, CONTENT = "picture.png", "event.json"
# Names of folders: when, of what, and a hash of the event's id.
_FORM = "%Y-%m-%dT%H-%M-%SZ"
_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)_[A-Za-z0-9_-]*_[0-9a-f]{12}")
_LONGEST = 40  # characters of the machine's name in it
_GB, _DAY_S = 1e9, 86400.0
_BITS = "PCM_24"  # with 16 a quiet recording would be rounded audibly
_MOST_OF_FLAC = 8, 655_350  # channels, Hz
_SHOWN = 10  # of what could not be removed


class ClipConfig(BaseModel, frozen=True, extra="forbid"):
    """How much sound of events is kept; the oldest goes first."""

    before_s: float = Field(default=10, ge=0, le=120, description="of sound before an event")
    after_s: float = Field(default=10, ge=0, le=120, description="of sound after its beginning")
    days: float = Field(default=90, gt=0, description="after which it is removed")
    gigabytes: float = Field(default=5, ge=0, description="that it may take")
    free_gigabytes: float = Field(default=1, ge=0, description="that are left free on its disk")


class CleanUp(NamedTuple):
    """What a clean-up did.

    Attributes:
        removed: folders.
        kept: folders.
        taken: bytes that are still taken.
        free: bytes of the disk.
        failed: what could not be removed and why, at most 10 of it.
        foreign: entries that are no folders of events; they are left alone.
        room: whether more may be written.
    """

    removed: int
    kept: int
    taken: int
    free: int
    failed: tuple[str, ...]
    foreign: int
    room: bool

    def __str__(self) -> str:
        """One line for the log."""
        parts = [
            f"clips: {self.removed} removed, {self.kept} kept with {self.taken / _GB:.2f} GB, "
            f"{self.free / _GB:.2f} GB free"
        ]
        if self.foreign:
            parts.append(f"{self.foreign} entries that are no clips left alone")
        if self.failed:
            parts.append(f"{len(self.failed)} not removed: {self.failed[0]}")
        if not self.room:
            parts.append("no more sound is kept until there is room")
        return "; ".join(parts)


class EventFolders:
    """The folder in which each event has one of its own.

    Args:
        folder: of all; it is made if it is missing.
        settings: see there.
        free: bytes that are free on the disk of a folder.

    Raises:
        UserError: the folder cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        settings: ClipConfig,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self.folder = make_folder(folder)
        self._settings, self._free = settings, free

    def make(self, event: Event) -> str:
        """Make the folder of an event, and return the name that `Event.folder` holds.

        Raises:
            UserError: it cannot be made.
        """
        name = folder_name(event)
        make_folder(self.folder / name)
        return name

    def write(
        self,
        name: str,
        sound: Chunk | None = None,
        picture: bytes | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> None:
        """Write what is given into the folder of an event; each file is whole or not there.

        Args:
            name: of the folder.
            sound: ``(C, T)``; what exceeds full scale is clipped.
            picture: a PNG.
            content: the event as plain data.

        Raises:
            UserError: the disk is full or cannot be written, or the name is none of ours.
        """
        if not _NAME.fullmatch(name):
            raise UserError(f"{one_line(name)}: is no folder of an event; name one that is")
        folder = self.folder / name
        if sound is not None:
            file_name, encoded = _encoded(sound)
            write_bytes(folder / file_name, encoded)
        if picture is not None:
            write_bytes(folder / PICTURE, picture)
        if content is not None:
            write_json(folder / CONTENT, finite(content))

    def clean(self, store: Store, now: float) -> CleanUp:
        """Remove what is too old or too much, and let no event refer to what is not there.

        What cannot be removed or understood is left out, never the rest. Folders of events that
        last are kept, unless nothing else is left to make room.

        Args:
            store: whose events refer to the folders.
            now: s since 1970 UTC.

        Raises:
            StoreError: the store cannot be read or written; nothing was removed then.
            UserError: the folder cannot be read.
        """
        referred = store.folders()
        found, foreign = self._found()
        # The oldest first, those of events that last at the end.
        found.sort(key=lambda one: (referred.get(one.name, False), one.started, one.name))
        names = {one.name for one in found}
        goes = self._what_goes(found, referred, now)
        # First the reference: a folder without one is removed next time, a reference without
        # its folder would be shown.
        gone = [one.name for one in goes] + [name for name in referred if name not in names]
        if gone:
            store.forget_folders(gone)
        problems = {one.name: self._remove(one) for one in goes}
        left = [one for one in found if problems.get(one.name, "stays") is not None]
        free = self._free(self.folder)
        return CleanUp(
            removed=len(found) - len(left),
            kept=len(left),
            taken=sum(one.size for one in left),
            free=free,
            failed=tuple(problem for problem in problems.values() if problem)[:_SHOWN],
            foreign=foreign,
            room=free >= self._settings.free_gigabytes * _GB,
        )

    def _what_goes(
        self, found: list["_Found"], referred: Mapping[str, bool], now: float
    ) -> list["_Found"]:
        settings = self._settings
        taken = sum(one.size for one in found)
        free = self._free(self.folder)
        goes = []
        for one in found:
            lasts = referred.get(one.name, False)
            too_old = one.started < now - settings.days * _DAY_S and not lasts
            too_much = taken > settings.gigabytes * _GB or free < settings.free_gigabytes * _GB
            if too_old or too_much:
                goes.append(one)
                taken, free = taken - one.size, free + one.size
        return goes

    def _found(self) -> tuple[list["_Found"], int]:
        """The folders of events, and how many entries are none."""
        found, foreign = [], 0
        try:
            paths = list(self.folder.iterdir())
        except OSError as error:
            raise UserError(
                f"{self.folder}: cannot be read ({error.strerror}); make it readable"
            ) from error
        for path in paths:
            started = _started(path.name)
            if started is None or path.is_symlink() or not path.is_dir():
                foreign += 1
            else:
                found.append(_Found(path.name, started, _size(path)))
        return found, foreign

    def _remove(self, one: "_Found") -> str | None:
        """Remove a folder; returns what went wrong."""
        try:
            shutil.rmtree(self.folder / one.name)
        except OSError as error:  # the others can be removed all the same
            return f"{one.name} ({error.strerror or one_line(error)})"
        return None


class _Found(NamedTuple):
    name: str
    started: float
    size: int  # bytes


def folder_name(event: Event) -> str:
    """The name of an event's folder: start in UTC, name in safe letters, a hash."""
    started = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=event.started)
    plain = re.sub(r"[^A-Za-z0-9-]+", "-", event.name)[:_LONGEST].strip("-")
    code = hashlib.sha256(event.id.encode(errors="surrogatepass")).hexdigest()[:12]
    return f"{started.strftime(_FORM)}_{plain}_{code}"


def _started(name: str) -> float | None:
    """When the event of a folder began, s since 1970 UTC; None: it is no such folder."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], _FORM).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _size(folder: Path) -> int:
    """Bytes of the files in a folder of an event."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_size
    except OSError:  # it cannot be looked into; perhaps it can be removed
        pass
    return total


def _encoded(sound: Chunk) -> tuple[str, bytes]:
    """The name of a file and its content: FLAC, or WAV for what FLAC cannot hold."""
    channels, rate = sound.samples.shape[0], sound.sample_rate
    fits = channels <= _MOST_OF_FLAC[0] and rate <= _MOST_OF_FLAC[1]
    kind = "flac" if fits else "wav"
    samples = np.nan_to_num(sound.samples, posinf=1, neginf=-1).clip(-1, 1).T
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind.upper(), subtype=_BITS)
    return f"sound.{kind}", file.getvalue()
