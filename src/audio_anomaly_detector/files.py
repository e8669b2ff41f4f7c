"""Files appear whole or not at all."""

import csv
import errno
import glob
import io
import itertools
import json
import os
import re
import shlex
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

from audio_anomaly_detector.errors import UserError

_CONDITION = re.compile(r"[-+]\d+_?dB[\w/. -]*(#t=[\d.,]*)?$", re.IGNORECASE)  # of MIMII
_MARK = "fingerprint"  # of a work folder: the identity of the work that it belongs to
_LOCK, _HOLDER = ".lock", ".lock.json"  # in a folder that is held, and who holds it
# Begin names of files that are not whole yet, and of temporary folders; then host and process.
_HALF_WRITTEN, _TEMPORARY = ".writing-", "aad-"
_COMMAND_WIDTH = 60  # characters of a command that is named in a message
# A killed run's workers need a moment to notice.
_PATIENCE_S = 3.0


def make_folder(path: Path) -> Path:
    """Create a folder for output, with its parents.

    Raises:
        UserError: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{path}: cannot create this folder ({error.strerror}); choose another place"
        ) from error
    return path


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file under a temporary name beside its place, then rename it.

    Args:
        path: where the file shall lie; its folder is created.
        write: is handed the open binary file.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    make_folder(path.parent)
    _remove_half_written(path.parent.absolute())
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent,
            prefix=f"{_HALF_WRITTEN}{_owner()}",
            delete=False,
        ) as file:
            temporary = Path(file.name)
            write(file)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise unwritten(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def unwritten(path: Path, error: OSError) -> UserError:
    """The error of the user for one of the system that came while a file was written."""
    remedy = (
        "free some space and start again: finished work is kept"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        else "choose another place with --out"
    )
    return UserError(f"{path}: cannot write ({error.strerror or error}); {remedy}")


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file atomically; raises `UserError` like `write_atomically`."""
    write_atomically(path, lambda file: file.write(content))


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; raises `UserError` like `write_atomically`."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: object) -> None:
    """Write plain data as indented JSON, atomically; raises `UserError` like `write_atomically`.

    What is legitimately undefined is None; a number that is not finite is a fault (`ValueError`).
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, columns: Iterable[str] | None, rows: Iterable[Iterable[object]]) -> None:
    """Write a table atomically; raises `UserError` like `write_atomically`.

    Columns None writes no header. File names that are no valid text are written with escapes, and
    what a spreadsheet would run as `safe_cells` does.
    """
    names = [] if columns is None else list(columns)
    lines = [_csv_line(names)] if names else []
    lines += [_csv_line(row, names) for row in rows]
    write_bytes(path, b"".join(lines))


class GrowingCsv:
    """A table that is written line by line to ``PATH.part``, and gets its name when it is whole.

    An interrupted program leaves the part behind, with whole lines; the next one starts it anew.
    Cells are those of `write_csv`.

    Args:
        path: where the table shall lie; its folder is created.
        columns: of the table.

    Raises:
        UserError: the place cannot be written or the disk is full; here and with every line.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.part = path, path.with_name(f"{path.name}.part")
        self._columns = columns
        make_folder(path.parent)
        with self._named_errors():
            self._file = self.part.open("wb", buffering=0)
        self._write(_csv_line(columns))

    def add(self, row: Iterable[object]) -> None:
        """Write a line."""
        self._write(_csv_line(row, self._columns))

    def finish(self) -> None:
        """Give the table its name."""
        with self._named_errors():
            self._file.close()
            self.part.replace(self.path)

    def _write(self, line: bytes) -> None:
        with self._named_errors():
            whole = self._file.tell()
            if self._file.write(line) != len(line):  # the disk is full; no half a line stays
                self._file.truncate(whole)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritten(self.path, error) from error


def _csv_line(row: Iterable[object], columns: Sequence[str] = ()) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(safe_cells(columns, row))
    return text.getvalue().encode(errors="backslashreplace")


def safe_cells(columns: Sequence[str], row: Iterable[object]) -> list[object]:
    """The cells of a row, none of whose text opens a spreadsheet's cell as a formula.

    A path that looks like one (`=cmd()`, `@x`, `-2+3`) is written from its folder on (`./=cmd()`),
    which programs read as the same path, other text after an apostrophe, as OWASP recommends.
    Numbers and conditions such as `-6_dB_fan` are no formulas.
    """
    cells = zip(row, itertools.chain(columns, itertools.repeat("")), strict=False)
    return [_cell(value, "./" if column == "path" else "'") for value, column in cells]


def _cell(value: object, before_formula: str) -> object:
    """What is written into a cell; text that a spreadsheet would run is kept from it."""
    if not isinstance(value, str) or value[:1] not in tuple("=+-@\t\r") or len(value) < 2:
        return value
    try:
        float(value)
    except ValueError:
        return value if _CONDITION.match(value) else before_formula + value
    return value


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep other runs from writing into a folder, and remove what killed ones left half-written.

    What killed processes left among the temporary files is removed before and after: work that is
    ended early ends its workers, too.
    The lock is the operating system's, so it ends with its process, however that ends. A thread
    may hold a folder again that it holds already.

    Args:
        folder: created if it is missing.

    Raises:
        UserError: another run holds it, or it cannot be written.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - readers need none

    make_folder(folder)
    lock = FileLock(folder / _LOCK, is_singleton=True)
    if lock.is_locked:
        yield
        return
    try:
        lock.acquire(timeout=_PATIENCE_S)
    except Timeout:
        raise UserError(_held(folder)) from None
    except OSError as error:
        raise unwritten(folder, error) from error
    try:
        _remove_abandoned(folder, _HALF_WRITTEN)
        _remove_abandoned(Path(tempfile.gettempdir()), _TEMPORARY)
        holder = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M"),
            "command": _command(),
        }
        write_json(folder / _HOLDER, holder)
        yield
    finally:
        _remove_abandoned(Path(tempfile.gettempdir()), _TEMPORARY)
        (folder / _HOLDER).unlink(missing_ok=True)
        if os.name == "posix":  # elsewhere an open file cannot be removed
            (folder / _LOCK).unlink(missing_ok=True)
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether another run holds a folder, see `hold_folder`.

    Raises:
        UserError: this user may not know.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - readers need none

    try:
        if not (folder / _LOCK).exists():
            return False
        lock = FileLock(folder / _LOCK, is_singleton=True)
        if lock.is_locked:
            return False
        lock.acquire(blocking=False)
    except Timeout:
        return True
    except OSError as error:
        raise UserError(
            f"{folder}: cannot see whether another run uses this folder ({error.strerror}); be the "
            "user to whom it belongs"
        ) from error
    lock.release()
    return False


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for what is no result, removed in the end or, after a kill, by `hold_folder`."""
    with tempfile.TemporaryDirectory(prefix=f"{_TEMPORARY}{_owner()}") as folder:
        yield Path(folder)


def _owner() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-"


@cache
def _remove_half_written(folder: Path) -> None:
    """Remove what killed writers left in a folder; once is enough for a process."""
    _remove_abandoned(folder, _HALF_WRITTEN)


def _remove_abandoned(folder: Path, beginning: str) -> None:
    """Remove what killed processes of this machine left; others may still be at work."""
    mine = f"{beginning}{socket.gethostname()}-"
    for path in folder.glob(f"{glob.escape(mine)}*"):
        process = path.name.removeprefix(mine).partition("-")[0]
        if not process.isdigit() or _is_running(int(process)):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # somebody else may be removing it, too
        else:
            path.unlink(missing_ok=True)


def _command() -> str:
    """The command that this process runs, shortened."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.stem == "__main__" else program.name
    command = shlex.join([name, *sys.argv[1:]])
    return command if len(command) <= _COMMAND_WIDTH else f"{command[:_COMMAND_WIDTH]}…"


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _held(folder: Path) -> str:
    try:
        holder = json.loads((folder / _HOLDER).read_text())
        who = " (process {process} on {host}, since {since}: {command})".format(**holder)
    except (OSError, ValueError, KeyError, TypeError):  # it has only just begun, or is about to end
        who = ""
    return f"{folder}: another run{who} is writing here; wait for it, or choose another folder"


def is_claimed(folder: Path, identity: str) -> bool:
    """Whether a work folder belongs to this piece of work already; see `claim_folder`."""
    mark = folder / _MARK
    return mark.is_file() and mark.read_text() == identity


def claim_folder(folder: Path, identity: str) -> None:
    """Make a work folder belong to one piece of work; what other work left there is deleted.

    Args:
        folder: created if it is missing.
        identity: of the work; with the same one the content stays.

    Raises:
        UserError: the folder holds files that no such work has put there, or cannot be written.
    """
    if is_claimed(folder, identity):
        return
    mark = folder / _MARK
    content = [
        path
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.name not in (_MARK, _LOCK, _HOLDER) and not path.name.startswith(_HALF_WRITTEN)
    ]
    if content and not mark.exists():
        raise UserError(f"{folder}: holds files of others; give a new or empty folder to work in")
    write_text(mark, "")  # killed from here on, it is nobody's
    for path in content:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    write_text(mark, identity)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
