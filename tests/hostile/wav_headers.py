"""WAV files built chunk by chunk, with whatever can be wrong about a header (RIFF, EBU 3306)."""

import struct
from pathlib import Path

import numpy as np

from hostile.cases import Case, Kind
from hostile.sounds import CHANNELS, beside, pcm, sound, written
from synthetic_data import SAMPLE_RATE

UNKNOWN = 0xFFFFFFFF
PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")
EDGES = (0, 1, 2, 3, 7, 255, 256, 999, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, UNKNOWN)


def chunk(name: bytes, body: bytes, size: int | None = None, pad: bool = True) -> bytes:
    """A chunk; its size may lie, and the pad byte after an odd one may be missing."""
    declared = (len(body) if size is None else size) % 2**32
    return struct.pack("<4sI", name, declared) + body + b"\0" * (len(body) % 2 and pad)


def fmt(
    tag: int = 1,
    channels: int = CHANNELS,
    rate: int = SAMPLE_RATE,
    bits: int = 16,
    align: int | None = None,
    byte_rate: int | None = None,
    extra: bytes = b"",
) -> bytes:
    """The chunk of the format."""
    align = channels * bits // 8 if align is None else align
    byte_rate = rate * align if byte_rate is None else byte_rate
    fields = (
        tag,
        channels % 2**16,
        rate % 2**32,
        byte_rate % 2**32,
        align % 2**16,
        bits % 2**16,
    )
    return chunk(b"fmt ", struct.pack("<HHIIHH", *fields) + extra)


def wav(*chunks: bytes, magic: bytes = b"RIFF", size: int | None = None) -> bytes:
    """A file of chunks."""
    body = b"WAVE" + b"".join(chunks)
    declared = (len(body) if size is None else size) % 2**32
    return struct.pack("<4sI", magic, declared) + body


def intact(data: bytes) -> bytes:
    """The file as it should be."""
    return wav(fmt(), chunk(b"data", data))


def _riff_size(rng: np.random.Generator, folder: Path) -> Case:
    """Nobody needs the size of the whole."""
    data = pcm(sound(rng))
    size = int(rng.choice([*EDGES, len(data), len(data) // 2, 2 * len(data), rng.integers(2**32)]))
    content = wav(fmt(), chunk(b"data", data), size=size)
    return beside(folder, "riff.wav", content, "heard", intact(data))


def _size_near(rng: np.random.Generator, folder: Path) -> Case:
    """A few bytes off, or 0 or the greatest number: what recorders really write."""
    data = pcm(sound(rng))
    near = [len(data) + off for off in (-16, -8, -4, -3, -2, -1, 1, 2, 3, 4, 8, 16)]
    size = int(rng.choice([0, UNKNOWN, *near]))
    content = wav(fmt(), chunk(b"data", data, size))
    # Four samples fewer or more move the score a little.
    return beside(folder, "near.wav", content, "heard", intact(data), tolerance=0.05)


def _size_far(rng: np.random.Generator, folder: Path) -> Case:
    data = pcm(sound(rng))
    n = len(data)
    sizes = [n // 2, n // 3, n - 20_000, n + 20_000, 2 * n, n % 2**16, 4, 2**31 - 1, 2**31]
    sizes += [2**31 + n, 2**32 - n, UNKNOWN - 1, UNKNOWN - 35, int(rng.integers(2**32))]
    tail = [b"", chunk(b"LIST", b"INFOISFT\x06\0\0\0there\0"), chunk(b"junk", bytes(301))]
    size = int(rng.choice(sizes))
    content = wav(fmt(), chunk(b"data", data, size), tail[rng.integers(len(tail))])
    return beside(folder, "far.wav", content, "whole", intact(data))


def _fields(rng: np.random.Generator, folder: Path) -> Case:
    """One or two fields that contradict the sound or each other."""
    values = {
        "tag": [0, 2, 3, 6, 7, 0x11, 0x31, 0x50, 0x55, 0xFFFE, 0xFFFF, int(rng.integers(2**16))],
        "channels": [0, 1, 3, 4, 16, 1000, 1024, 0x7FFF, 0xFFFF],
        "rate": [*EDGES, 16_001, 384_000, 10**6, 10**9, int(rng.integers(2**32))],
        "bits": [*range(65), 255, 0xFFFF],
        "align": [0, 1, 2, 3, 5, 255, 0xFFFF],
        "byte_rate": [*EDGES, 64_001],
    }
    fields = rng.choice(list(values), size=rng.integers(1, 3), replace=False)
    changed = {str(field): int(rng.choice(values[field])) for field in fields}
    data = pcm(sound(rng))
    content = wav(fmt(**changed), chunk(b"data", data))  # type: ignore[arg-type]
    return Case(written(folder / "fields.wav", content))


def _redundant_fields(rng: np.random.Generator, folder: Path) -> Case:
    """Byte rate and block size follow from the others; where they lie, the sound is intact."""
    data = pcm(sound(rng))
    field = str(rng.choice(["align", "byte_rate"]))
    value = int(rng.choice([0, 1, 2, 3, 6, 8, 16_000, 63_999, 176_400, UNKNOWN]))
    content = wav(fmt(**{field: value}), chunk(b"data", data))  # type: ignore[arg-type]
    return beside(folder, "redundant.wav", content, "whole", intact(data))


def _extensible(rng: np.random.Generator, folder: Path) -> Case:
    """WAVE_FORMAT_EXTENSIBLE with masks and valid bits of all sorts; half with a foreign GUID."""
    data = pcm(sound(rng))
    mask = int(rng.choice([0, 3, 0x33, 0x3FFFF, 0x80000000, UNKNOWN]))
    known = bool(rng.integers(2))
    valid = 16 if known else int(rng.choice([0, 1, 12, 15, 17, 24, 0xFFFF]))
    guid = PCM_GUID if known else bytes(rng.integers(256, size=16, dtype=np.uint8))
    length = 22 if known else int(rng.choice([0, 2, 21, 22, 23, 0xFFFF]))
    extra = struct.pack("<HHI", length, valid, mask) + guid
    content = wav(fmt(0xFFFE, extra=extra), chunk(b"data", data))
    return beside(folder, "ext.wav", content, "heard" if known else "any", intact(data))


def _other_chunks(rng: np.random.Generator, folder: Path) -> Case:
    """Chunks that are nobody's business, before, between and after, odd ones among them."""
    data = pcm(sound(rng))
    names = [b"LIST", b"JUNK", b"bext", b"id3 ", b"cue ", b"fact", b"PEAK", b"iXML", b"\xff\0a\x1b"]

    def others() -> bytes:
        made = b""
        for _ in range(rng.integers(0, 4)):
            body = bytes(rng.integers(256, size=rng.integers(0, 700), dtype=np.uint8))
            if rng.integers(3) == 0:  # a list of lists
                body = b"adtl" + chunk(b"LIST", b"INFO" + chunk(b"LIST", b"INFO" + body))
            made += chunk(names[rng.integers(len(names))], body)
        return made

    content = wav(others(), fmt(), others(), chunk(b"data", data), others())
    return beside(folder, "chunks.wav", content, "whole", intact(data))


def _lying_chunks(rng: np.random.Generator, folder: Path) -> Case:
    """A chunk before the sound whose size lies, or whose pad byte is missing."""
    data = pcm(sound(rng))
    body = bytes(rng.integers(1, 256, size=rng.integers(1, 99), dtype=np.uint8))
    size = None if rng.integers(3) == 0 else int(rng.choice([*EDGES, len(body) + 1, len(data)]))
    liar = chunk(b"LIST", body, size, pad=bool(rng.integers(2)))
    order = (liar, fmt()) if rng.integers(2) else (fmt(), liar)
    content = wav(*order, chunk(b"data", data))
    return beside(folder, "liar.wav", content, "whole", intact(data))


def _repeated_chunks(rng: np.random.Generator, folder: Path) -> Case:
    """Two formats, or the sound in two or more chunks."""
    data = pcm(sound(rng))
    cut = 4 * int(rng.integers(1000, len(data) // 4 - 1000))
    first, second = chunk(b"data", data[:cut]), chunk(b"data", data[cut:])
    other = fmt(channels=int(rng.choice([1, 2, 4])), rate=int(rng.choice([8000, 16_000, 48_000])))
    layouts = [
        (fmt(), first, second),
        (fmt(), first, chunk(b"JUNK", bytes(40)), second),
        (fmt(), first, fmt(), second),
        (fmt(), chunk(b"data", b""), chunk(b"data", data)),
        (fmt(), other, chunk(b"data", data)),
        (fmt(), chunk(b"data", data), other),
    ]
    content = wav(*layouts[rng.integers(len(layouts))])
    return beside(folder, "repeated.wav", content, "whole", intact(data))


def _missing_chunks(rng: np.random.Generator, folder: Path) -> Case:
    data = chunk(b"data", pcm(sound(rng)))
    layouts = [(data,), (fmt(),), (), (data, fmt()), (chunk(b"fmt ", b""), data)]
    layouts += [(chunk(b"fmt ", fmt()[8 : 8 + int(rng.integers(1, 14))]), data)]
    which = int(rng.integers(len(layouts)))
    right = "any" if which == 3 else "refused"  # sound before its format: some readers manage
    return Case(written(folder / "missing.wav", wav(*layouts[which])), right)


def _wide(rng: np.random.Generator, folder: Path) -> Case:
    """RF64 and BW64: the sizes are in a chunk of their own, rightly or wrongly."""
    data = pcm(sound(rng))
    n = len(data)
    magic = [b"RF64", b"BW64", b"RIFF"][rng.integers(3)]
    true = bool(rng.integers(2)) and magic != b"RIFF"
    sizes = [0, n - 4, n + 4, n // 2, 2 * n, 2**32, 2**40, 2**63, 2**64 - 1]
    size = n if true else int(sizes[rng.integers(len(sizes))])
    frames = n // 4 if true else int(rng.choice([0, 1, n, 2**31]))
    body = struct.pack("<QQQI", n + 80, size, frames, 0)
    ds64 = chunk(b"ds64", body if true else body[: int(rng.choice([8, 16, 28]))])
    parts = (ds64, fmt(), chunk(b"data", data, UNKNOWN))
    content = wav(*parts, magic=magic, size=UNKNOWN)
    return beside(folder, "wide.wav", content, "heard" if true else "whole", intact(data))


KINDS = {
    "riff_size": Kind(_riff_size, 40),
    "data_size_near": Kind(_size_near, 60),
    "data_size_far": Kind(_size_far, 100),
    "wav_fields": Kind(_fields, 220),
    "wav_redundant_fields": Kind(_redundant_fields, 30),
    "wav_extensible": Kind(_extensible, 40),
    "wav_other_chunks": Kind(_other_chunks, 60),
    "wav_lying_chunks": Kind(_lying_chunks, 60),
    "wav_repeated_chunks": Kind(_repeated_chunks, 50),
    "wav_missing_chunks": Kind(_missing_chunks, 20),
    "rf64_bw64": Kind(_wide, 60),
}
