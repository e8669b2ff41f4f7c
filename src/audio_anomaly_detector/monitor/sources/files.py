"""Recordings as they are put into a folder, and single files.

A file is left until it is whole: until its size and time have not changed for some seconds, and, if
it is shorter than its header says, for a minute. What still cannot be read is told and left out.
"""

import os
import stat
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from audio_anomaly_detector.data.audio import unforeseen
from audio_anomaly_detector.data.decoding import open_sound
from audio_anomaly_detector.data.kinds import AUDIO_SUFFIXES
from audio_anomaly_detector.errors import ClipError, one_line
from audio_anomaly_detector.monitor.sources.folder_changes import FolderChanges
from audio_anomaly_detector.monitor.sources.source import Received, SourceError

_PIECE_S = 1.0
_INCOMPLETE_S = 60.0


class FolderConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Recordings in a folder, or one file."""

    folder: Path | None = Field(
        default=None, description="folder, of which new recordings are read"
    )
    file: Path | None = Field(default=None, description="instead of folder: one recording")
    existing: bool = Field(
        default=False, description="also read what lies in the folder at the start, oldest first"
    )
    recursive: bool = Field(default=True, description="also read the folders in it")
    polling: bool = Field(
        default=False,
        description="look at the folder again and again: network shares tell of no changes",
    )
    settled: float = Field(
        default=2.0, ge=0.1, le=3600, description="seconds without a change until a file is whole"
    )

    def make(self) -> "Folder | File":
        """The source.

        Raises:
            SourceError: it has both or neither of folder and file.
        """
        if self.folder is not None and self.file is None:
            return Folder(self, self.folder)
        if self.file is not None and self.folder is None:
            return File(self.file)
        raise SourceError("a source of recordings has either 'folder' or 'file'; give one of them")


class File:
    """One recording, which is read once."""

    live = False

    def __init__(self, file: Path) -> None:
        self._file = file

    def open(self) -> "FilesConnection":
        """See `Source`."""
        try:
            self._file.stat()
        except OSError as error:
            raise SourceError(f"{self._file}: cannot be read ({error.strerror})") from error
        return FilesConnection(_Once(self._file))


class Folder:
    """Recordings that are put into a folder.

    What was read is remembered over connections, so that a share that comes back is not read anew.
    """

    live = False

    def __init__(self, config: FolderConfig, folder: Path) -> None:
        self._config, self._folder = config, folder
        self._seen: dict[int, int] | None = None

    def open(self) -> "FilesConnection":
        """See `Source`."""
        queue = FileQueue(self._folder, self._config, self._seen)
        self._seen = queue.seen
        return FilesConnection(queue)


class _Once:
    """One file, then the end."""

    def __init__(self, file: Path) -> None:
        self._files = [file]

    def next(self) -> Path | None:
        """The next file; None: there is none."""
        return self._files.pop() if self._files else None

    def later(self, file: Path) -> bool:
        """It is as whole as it will become."""
        return False

    def close(self) -> None:
        """Nothing waits."""


@dataclass
class _Candidate:
    """A file that may not be whole yet.

    Args:
        mark: its size and time, in one number.
        since: when these were first seen, by the clock that only passes.
        order: time of change, for the order of reading.
        patience: seconds without a change until it is read.
    """

    mark: int
    since: float
    order: int
    patience: float


class FileQueue:
    """Files of a folder that have become whole, oldest first.

    Args:
        folder: to look at.
        config: how.
        seen: marks by names of files, hashed, that were read; None: those there now are passed
            over, or read, as the config says.

    Raises:
        SourceError: the folder cannot be read.
    """

    def __init__(self, folder: Path, config: FolderConfig, seen: dict[int, int] | None) -> None:
        self._folder, self._config = folder, config
        self._closed = threading.Event()
        self._waiting: dict[Path, _Candidate] = {}
        self._ready: deque[Path] = deque()
        self.seen: dict[int, int] = {} if seen is None else seen
        present = dict(self._scan())
        if seen is None and not config.existing:
            self.seen.update((hash(file), mark) for file, (mark, _) in present.items())
        self._changes = FolderChanges(folder, config.recursive, config.polling)

    def next(self) -> Path | None:
        """Wait for the next file; None: it was closed.

        Raises:
            SourceError: the folder cannot be read any more.
        """
        while not self._closed.is_set():
            if self._ready:
                return self._ready.popleft()
            self.look(time.monotonic())
            if not self._ready:
                self._changes.wait(min(1.0, self._config.settled) if self._waiting else None)
        return None

    def look(self, now: float) -> None:
        """Look which files have become whole.

        Args:
            now: by the clock that only passes, s.
        """
        present = dict(self._scan())
        names = {hash(file) for file in present}
        for name in self.seen.keys() - names:
            del self.seen[name]
        for file in self._waiting.keys() - present.keys():
            del self._waiting[file]
        whole = []
        for file, (mark, order) in present.items():
            if self.seen.get(hash(file)) == mark:
                continue
            known = self._waiting.get(file)
            if known is None or known.mark != mark:
                self._waiting[file] = _Candidate(mark, now, order, self._config.settled)
            elif now - known.since >= known.patience:
                whole.append((order, file))
        for _, file in sorted(whole):
            self.seen[hash(file)] = self._waiting.pop(file).mark
            self._ready.append(file)

    def later(self, file: Path) -> bool:
        """Put back a file that is cut short; False: it has not changed for a minute."""
        try:
            changed = file.stat().st_mtime
        except OSError:
            return False
        if time.time() - changed > _INCOMPLETE_S:
            return False
        mark = self.seen.pop(hash(file), 0)
        self._waiting[file] = _Candidate(mark, time.monotonic(), int(changed * 1e9), _INCOMPLETE_S)
        return True

    def close(self) -> None:
        """End the waiting."""
        self._closed.set()
        self._changes.close()

    def _scan(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        """Files, with mark and time of change in ns."""
        folders = [self._folder]
        while folders:
            here = folders.pop()
            try:
                entries = list(os.scandir(here))
            except OSError as error:
                if here == self._folder:
                    raise SourceError(
                        f"{here}: the folder cannot be read ({error.strerror}); check that it is "
                        "there and, if it is on a share, mounted"
                    ) from error
                continue
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                try:
                    status = entry.stat(follow_symlinks=True)
                    if entry.is_dir(follow_symlinks=False) and self._config.recursive:
                        folders.append(Path(entry.path))
                except OSError:
                    continue
                if stat.S_ISREG(status.st_mode) and is_recording(entry.name):
                    mark = hash((status.st_size, status.st_mtime_ns, status.st_ino))
                    yield Path(entry.path), (mark, status.st_mtime_ns)


def is_recording(name: str) -> bool:
    """Whether a file is read, by its suffix."""
    return os.path.splitext(name)[1].lower() in AUDIO_SUFFIXES  # noqa: PTH122


class FilesConnection:
    """See `Connection`; the format is that of the file that was read last."""

    sample_rate = 1
    channels = 1

    def __init__(self, queue: FileQueue | _Once) -> None:
        self._queue = queue
        self._pieces: Iterator[Received] = iter(())
        self._closed = False

    def read(self) -> Received | None:
        """See `Connection`; no sound with a problem if a file cannot be read."""
        while not self._closed:
            received = next(self._pieces, None)
            if received is not None:
                return received
            file = self._queue.next()
            if file is None:
                return None
            self._pieces = self._read_file(file)
        return None

    def close(self) -> None:
        """See `Connection`."""
        self._closed = True
        self._queue.close()

    def _read_file(self, file: Path) -> Iterator[Received]:
        try:
            yield from self._sound(file)
        except ClipError as error:
            if "cut short" in error.problem and self._queue.later(file):
                return
            yield self._left_out(error)
        except Exception as error:  # a damaged file must not end the source
            yield self._left_out(unforeseen(file, error))

    def _left_out(self, error: ClipError) -> Received:
        return Received(np.empty((self.channels, 0), np.float32), problem=one_line(error))

    def _sound(self, file: Path) -> Iterator[Received]:
        """The sound of a file in pieces; it ended when it was last changed."""
        sound = open_sound(file)
        info = sound.info
        piece = round(_PIECE_S * info.sample_rate)
        at: float | None = file.stat().st_mtime - info.seconds
        for block in sound.blocks(0, info.frames):  # (n, C)
            self.sample_rate, self.channels = info.sample_rate, info.channels
            for start in range(0, len(block), piece):
                samples = np.ascontiguousarray(block[start : start + piece].T, np.float32)
                yield Received(samples, at=at, starts=at is not None)
                at = None
