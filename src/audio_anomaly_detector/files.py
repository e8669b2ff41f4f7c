"""Files appear whole or not at all."""

import errno
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch

from audio_anomaly_detector.errors import UserError


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
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            write(file)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        remedy = (
            "free some space and start again: finished work is kept"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "choose another place with --out"
        )
        raise UserError(f"{path}: cannot write ({error.strerror}); {remedy}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file atomically; raises `UserError` like `write_atomically`."""
    write_atomically(path, lambda file: file.write(content))


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; raises `UserError` like `write_atomically`."""
    write_bytes(path, text.encode())


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Save tensors and plain data atomically; the same content gives the same bytes.

    `torch.save` writes to memory first: on a full disk it would raise no `OSError`, and in a file
    it would record that file's name.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
