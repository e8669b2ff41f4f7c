"""Content of audio files: what makes two files the same recording, whatever they are called."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from audio_anomaly_detector.data.clips import Clip
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


def recording_hash(clip: Clip) -> str:
    """Hash of the file that a clip lies in; of a take's files together, if it has several.

    Raises:
        ClipError: as `content_hash`.
    """
    hashes = [content_hash(file) for file in clip.files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def recording_hashes(clips: Iterable[Clip]) -> dict[Path, str]:
    """`recording_hash` by the path of every clip, each file read once."""
    return {path: recording_hash(clip) for path, clip in {c.path: c for c in clips}.items()}
