"""Sounds of a machine and files of them in every format that libsndfile writes."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from hostile.cases import Case, Right
from synthetic_data import SAMPLE_RATE, hum, knock

SECONDS = 2.5
CHANNELS = 2
# What the program promises to read, with the suffix of each.
FORMATS = {
    "WAV": ".wav",
    "WAVEX": ".wav",
    "RF64": ".wav",
    "W64": ".w64",
    "AIFF": ".aiff",
    "AU": ".au",
    "CAF": ".caf",
    "FLAC": ".flac",
    "OGG": ".ogg",
    "MP3": ".mp3",
}
# What libsndfile writes besides; without a header of its own RAW is noise to everybody.
RARE_FORMATS = tuple(sorted(set(soundfile.available_formats()) - set(FORMATS) - {"RAW", "SD2"}))


@cache
def _sound(seed: int, seconds: float) -> np.ndarray:
    return (knock if seed % 3 == 2 else hum)(500 + seed, CHANNELS, seconds)


def sound(rng: np.random.Generator, seconds: float = SECONDS) -> np.ndarray:
    """One of a dozen sounds of the machine, a third with a fault, ``(T, C)``."""
    return _sound(int(rng.integers(12)), seconds).copy()


def encoded(
    samples: np.ndarray,
    kind: str = "WAV",
    subtype: str | None = None,
    rate: int = SAMPLE_RATE,
    endian: str = "FILE",
) -> bytes:
    """A file of a sound ``(T, C)`` as libsndfile writes it."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype, endian=endian)
    content = bytearray(buffer.getvalue())
    peak = content.find(b"PEAK")
    if peak > 0:
        content[peak + 12 : peak + 16] = bytes(4)  # the time of writing
    return _with_serial_number(content) if kind == "OGG" else bytes(content)


def _with_serial_number(content: bytearray) -> bytes:
    """An Ogg file whose streams have the number 0 instead of one drawn by chance (RFC 3533)."""
    start = 0
    while start < len(content):
        segments = content[start + 27 : start + 27 + content[start + 26]]
        end = start + 27 + len(segments) + sum(segments)
        content[start + 14 : start + 18] = content[start + 22 : start + 26] = bytes(4)
        check = 0
        for byte in content[start:end]:
            check = (check << 8) & 0xFFFFFFFF ^ _OGG_TABLE[check >> 24 ^ byte]
        content[start + 22 : start + 26] = check.to_bytes(4, "little")
        start = end
    return bytes(content)


def _ogg_table() -> list[int]:
    """CRC-32 of every byte with the polynomial of Ogg, most significant bit first."""
    table = []
    for value in range(256):
        check = value << 24
        for _ in range(8):
            check = (check << 1) ^ (0x04C11DB7 if check >> 31 else 0)
            check &= 0xFFFFFFFF
        table.append(check)
    return table


_OGG_TABLE = _ogg_table()


def pcm(samples: np.ndarray) -> bytes:
    """Little-endian 16-bit samples of a sound ``(T, C)``, as `encoded` rounds them."""
    return np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2").tobytes()


def written(path: Path, content: bytes) -> Path:
    """A file of these bytes."""
    path.write_bytes(content)
    return path


def beside(
    folder: Path,
    name: str,
    content: bytes,
    right: Right,
    intact: bytes,
    suffix: str = ".wav",
    tolerance: float = 1e-6,
) -> Case:
    """A case with the intact file that it is compared with, in a folder beside it."""
    (folder / "reference").mkdir()
    reference = written(folder / "reference" / f"intact{suffix}", intact)
    return Case(written(folder / name, content), right, reference, tolerance)
