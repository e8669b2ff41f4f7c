"""Valid files of every format: as they are, renamed, cut, joined, damaged, with a false length."""

import io
import re
import struct
from pathlib import Path

import numpy as np
import soundfile

from hostile.cases import Case, Kind, Right
from hostile.sounds import CHANNELS, FORMATS, RARE_FORMATS, beside, encoded, sound, written
from synthetic_data import SAMPLE_RATE

ENCODINGS = [
    (kind, subtype, endian)
    for kind in (*FORMATS, *RARE_FORMATS, "RAW")
    for subtype in soundfile.available_subtypes(kind)
    for endian in ("FILE", "LITTLE", "BIG")
    if soundfile.check_format(kind, subtype, endian)
]


def _any_format(rng: np.random.Generator) -> str:
    return str(rng.choice([*FORMATS, *FORMATS, *FORMATS, *RARE_FORMATS]))


def _valid(rng: np.random.Generator, kind: str, samples: np.ndarray | None = None) -> bytes:
    """A valid file of a format, with fewer channels or another rate if the format wants it so."""
    samples = sound(rng) if samples is None else samples
    for channels, rate in ((CHANNELS, SAMPLE_RATE), (1, SAMPLE_RATE), (1, 8000), (1, 44_100)):
        try:
            return encoded(samples[:, :channels], kind, rate=rate)
        except soundfile.SoundFileError:
            continue
    return encoded(samples)


def _suffix(kind: str) -> str:
    return FORMATS.get(kind, f".{kind.lower()}")


def _encoding(rng: np.random.Generator, folder: Path) -> Case:
    """Every format, sample format and byte order."""
    kind, subtype, endian = ENCODINGS[rng.integers(len(ENCODINGS))]
    samples, right = sound(rng), "heard" if kind in FORMATS else "any"
    for channels, rate in ((CHANNELS, SAMPLE_RATE), (1, SAMPLE_RATE), (1, 8000)):
        try:
            content = encoded(samples[:, :channels], kind, subtype, rate, endian)
        except soundfile.SoundFileError:
            right = "any"  # the detector has two microphones
            continue
        return Case(written(folder / f"sound{_suffix(kind)}", content), right)  # type: ignore[arg-type]
    return Case(written(folder / "sound.wav", encoded(samples)), "heard")


def _renamed(rng: np.random.Generator, folder: Path) -> Case:
    """A format is known by its content, whatever the file is called."""
    kind = str(rng.choice(list(FORMATS)))
    others = sorted({*FORMATS.values(), ".wave", ".aif", ".oga", ".opus", ".m4a", ".WAV"})
    content = _valid(rng, kind)
    name = f"renamed{rng.choice(others)}"
    return beside(folder, name, content, "heard", content, _suffix(kind))


def _cut(rng: np.random.Generator, folder: Path) -> Case:
    kind = _any_format(rng)
    content = _valid(rng, kind)
    end = int(rng.choice([rng.integers(len(content)), len(content) - rng.integers(1, 5)]))
    name = f"cut{_suffix(kind)}"
    return beside(folder, name, content[:end], "whole", content, _suffix(kind))


def _appended(rng: np.random.Generator, folder: Path) -> Case:
    """Foreign bytes behind the end, as copying tools and tag editors leave them."""
    kind = str(rng.choice(list(FORMATS)))
    content = _valid(rng, kind)
    tails = [bytes(int(rng.integers(1, 9000))), b"\r\n", b"TAG" + bytes(125), b"<html></html>"]
    tails += [rng.bytes(int(rng.integers(1, 9000)))]
    tail = tails[rng.integers(len(tails))]
    return beside(folder, f"tail{_suffix(kind)}", content + tail, "whole", content, _suffix(kind))


def _joined(rng: np.random.Generator, folder: Path) -> Case:
    """Two recordings in one file, as `cat` makes them: never only the first without a word."""
    kind = str(rng.choice([*FORMATS, "MP3", "MP3", "OGG", "FLAC"]))
    first, second = sound(rng), sound(rng)
    files = [_valid(rng, kind, first), _valid(rng, kind, second)]
    parts = [soundfile.read(io.BytesIO(file), dtype="float32")[0] for file in files]
    whole = encoded(np.concatenate(parts), subtype="FLOAT")
    name = f"joined{_suffix(kind)}"
    # Decoders differ in what they do at the seam.
    return beside(folder, name, b"".join(files), "whole", whole, tolerance=0.3)


def _flipped(rng: np.random.Generator, folder: Path) -> Case:
    """Some bits, mostly of the header."""
    kind = _any_format(rng)
    content = bytearray(_valid(rng, kind))
    last = len(content) if rng.integers(3) == 0 else min(len(content), 128)
    for _ in range(int(rng.choice([1, 1, 1, 2, 4, 32]))):
        content[rng.integers(last)] ^= 1 << int(rng.integers(8))
    return Case(written(folder / f"flipped{_suffix(kind)}", bytes(content)))


def _holes(rng: np.random.Generator, folder: Path) -> Case:
    """Blocks of a disk or of a transfer that became zeros: more than a second of the sound."""
    kind = str(rng.choice(["WAV", "AIFF", "AU", "CAF", "W64", "FLAC", "OGG", "MP3"]))
    content = bytearray(_valid(rng, kind))
    length = int(0.45 * len(content)) // 512 * 512
    start = 512 * int(rng.integers(1, (len(content) - length) // 512))
    content[start : start + length] = bytes(length)
    return Case(written(folder / f"hole{_suffix(kind)}", bytes(content)), "said")


def _transferred(rng: np.random.Generator, folder: Path) -> Case:
    """Damage by programs that took the file for text, or for words of another byte order."""
    kind = _any_format(rng)
    content = _valid(rng, kind)
    spoilt = [
        content.replace(b"\n", b"\r\n"),
        content.replace(b"\r", b""),
        content.decode("latin-1").encode(),
        bytes(byte & 0x7F for byte in content),
        np.frombuffer(content[: len(content) // 2 * 2], "<u2").astype(">u2").tobytes(),
        content.hex().encode(),
        content[::-1],
        b"\xef\xbb\xbf" + content,
    ]
    name = f"transferred{_suffix(kind)}"
    return Case(written(folder / name, spoilt[rng.integers(len(spoilt))]))


def _length_field(rng: np.random.Generator, folder: Path) -> Case:
    """The field of a header that says how long the sound is, with another value."""
    kinds = ["AU", "AIFF", "AIFF", "CAF", "W64", "FLAC", "OGG", "MP3"]
    kind = kinds[rng.integers(len(kinds))]
    content = _valid(rng, kind)
    n = len(content)
    small = [0, 1, n // 2, n - 4, n + 4, 2 * n, 2**31 - 1, 2**31, 2**32 - 1]
    value = int(rng.choice(small))
    right: Right = "whole"
    changed = bytearray(content)
    if kind == "AU":
        changed[8:12] = struct.pack(">I" if content[:1] == b"." else "<I", value)
        right = "heard" if value == 2**32 - 1 else right
    elif kind == "AIFF":  # of the whole, frames of COMM, size of SSND
        where = [4, content.index(b"COMM") + 10, content.index(b"SSND") + 4][rng.integers(3)]
        changed[where : where + 4] = struct.pack(">I", value)
    elif kind == "CAF":
        where = content.index(b"data") + 4
        wide = -1 if rng.integers(3) == 0 else value  # -1: unknown, to the end of the file
        changed[where : where + 8] = struct.pack(">q", wide)
        right = "heard" if wide == -1 else right
    elif kind == "W64":
        where = [16, content.index(b"data") + 16][rng.integers(2)]
        changed[where : where + 8] = struct.pack("<Q", value)
    elif kind == "FLAC":  # 36 bits of STREAMINFO; 0: unknown
        frames = 0 if rng.integers(3) == 0 else value
        changed[21] &= 0xF0
        changed[22:26] = struct.pack(">I", frames)
        right = "heard" if frames == 0 else right
    elif kind == "OGG":  # granule position of the last page, whose checksum is then wrong too
        where = content.rindex(b"OggS") + 6
        changed[where : where + 8] = struct.pack("<q", value)
    else:  # frames that the Xing or Info frame counts
        found = re.search(b"Xing|Info", content)
        assert found is not None
        changed[found.end() + 4 : found.end() + 8] = struct.pack(">I", value)
    name, suffix = f"length{_suffix(kind)}", _suffix(kind)
    # The length of lossy files says too how much at both ends is no sound but the coder's padding.
    tolerance = 0.1 if kind in ("OGG", "MP3") else 1e-6
    return beside(folder, name, bytes(changed), right, content, suffix, tolerance)


KINDS = {
    "encoding": Kind(_encoding, 260),
    "other_suffix": Kind(_renamed, 90),
    "cut": Kind(_cut, 160),
    "appended": Kind(_appended, 60),
    "joined": Kind(_joined, 60),
    "flipped": Kind(_flipped, 320),
    "holes": Kind(_holes, 60),
    "transferred": Kind(_transferred, 60),
    "length_field": Kind(_length_field, 110),
}
