"""Content of audio files: what makes two files the same recording, whatever they are called."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from audio_anomaly_detector.errors import ClipError


def content_hash(path: Path) -> str:
    """Hash a file's bytes, for the provenance of a model and to find copies.

    Args:
        path: the file; read in pieces, never whole.

    Returns:
        SHA-256 in hexadecimal.

    Raises:
        ClipError: if the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ClipError(
            path, f"cannot be read ({error.strerror})", "check that it exists and may be read"
        ) from error


def content_hashes(paths: Iterable[Path]) -> dict[Path, str]:
    """Hash of every file, each read once; raises `ClipError` like `content_hash`."""
    return {path: content_hash(path) for path in dict.fromkeys(paths)}
