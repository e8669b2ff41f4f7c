"""What a file's header declares, and whether the file is as long as that.

libsndfile reads a WAV, AIFF or Ogg file that was cut off in silence, as if it were merely shorter,
so these headers are read here. A FLAC or MP3 that was cut off fails on decoding.
"""

import stat
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

import soundfile

from audio_anomaly_detector.errors import ClipError

AUDIO_SUFFIXES = frozenset(
    {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"}
)


class AudioInfo(NamedTuple):
    """What a file's header declares.

    Args:
        seconds: length in s.
        sample_rate: in Hz.
        channels: number of channels.
        frames: samples of one channel.
        subtype: sample format, as libsndfile names it (`PCM_16`, `FLOAT`, ...).
    """

    seconds: float
    sample_rate: int
    channels: int
    frames: int
    subtype: str


def probe(path: Path) -> AudioInfo:
    """Read a file's header and check that the file is as long as its header declares.

    Args:
        path: an audio file.

    Returns:
        Length, rate, channels and sample format.

    Raises:
        ClipError: if the file is missing, unreadable, empty, cut short or not audio.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ClipError(path, "is not a file", "give an audio file")
        if status.st_size == 0:
            raise ClipError(path, "is empty", "record or copy it again, or delete it")
        with path.open("rb") as stream:
            missing = _missing_end(stream, status.st_size)
        if missing:
            raise ClipError(
                path, f"is cut short: {missing}", "copy or record it again, or delete it"
            )
        with soundfile.SoundFile(path) as file:
            info = AudioInfo(
                seconds=file.frames / file.samplerate,
                sample_rate=file.samplerate,
                channels=file.channels,
                frames=file.frames,
                subtype=file.subtype,
            )
    except OSError as error:
        raise ClipError(
            path, f"cannot be read ({error.strerror})", "check that it exists and may be read"
        ) from error
    except soundfile.SoundFileError as error:
        # libsndfile's own reason is left to the traceback: for a text file it may be "not found".
        raise ClipError(
            path,
            "is not audio, or of a kind or with a header that cannot be read",
            "convert it to WAV or FLAC (OGG, MP3 and AIFF are read too), or delete it",
        ) from error
    if info.frames == 0:
        raise ClipError(
            path, "holds no sound (0 samples)", "record it again or repair its header, or delete it"
        )
    if info.frames > 2**48:  # libsndfile's "unknown": an encoder that wrote into a pipe
        raise ClipError(
            path, "does not state its length", "write it again with an encoder that seeks"
        )
    return info


def _missing_end(stream: BinaryIO, size: int) -> str | None:
    """Describe what is missing at the end of a file that was cut off.

    Args:
        stream: the file from its beginning.
        size: its size in bytes.

    Returns:
        What is missing, in words; None for a whole file and where the header states no length.
    """
    magic = stream.read(4)
    if magic == b"OggS":
        return None if _ogg_is_whole(stream, size) else "its last page is missing"
    end = _sound_end(stream, magic)
    return f"{end - size} of {end} bytes are missing" if end and end > size else None


def _sound_end(stream: BinaryIO, magic: bytes) -> int | None:
    """Byte at which the sound of a WAV, RF64 or AIFF ends by its header; None if it is not stated.

    Source: EBU Tech 3306 (RF64), Apple AIFF 1.3.
    """
    order = {b"RIFF": "<", b"RF64": "<", b"RIFX": ">", b"FORM": ">"}.get(magic)
    if order is None:
        return None
    stream.seek(12)
    wide = None
    while len(head := stream.read(8)) == 8:
        name, size = struct.unpack(f"{order}4sI", head)
        body = stream.tell()
        if name == b"ds64":
            sizes = stream.read(24)
            wide = struct.unpack("<QQQ", sizes)[1] if len(sizes) == 24 else None
        elif name in (b"data", b"SSND"):
            if size == 0xFFFFFFFF and wide is not None:
                size = wide
            # Recorders that write into a pipe put about 2 or 4 GiB for a length they do not know.
            elif size == 0xFFFFFFFF or 0x7FFF0000 <= size <= 0x80000100:
                return None
            return body + size
        stream.seek(body + size + size % 2)
    return None


def _ogg_is_whole(stream: BinaryIO, size: int) -> bool:
    """Whether an Ogg file ends with a whole page that is marked as the last (RFC 3533, section 6).

    libsndfile takes the last page it finds for the end, so a cut file merely seems shorter.
    """
    stream.seek(max(0, size - 65_307 - 27))  # the longest page there can be
    tail = stream.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return False
    segments = tail[page + 27 : page + 27 + tail[page + 26]]
    page_end = page + 27 + tail[page + 26] + sum(segments)
    return bool(tail[page + 5] & 4) and page_end <= len(tail)
