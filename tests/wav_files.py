"""WAV files with any header around any sound."""

import struct

import numpy as np

RATE = 16_000
SOUND = (np.random.default_rng(0).standard_normal(2 * RATE) * 3000).astype("<i2")


def wav(
    data: bytes | None = None,
    *,
    rate: int = RATE,
    channels: int = 1,
    size: int | None = None,
    riff: int | None = None,
    magic: bytes = b"RIFF",
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """16-bit PCM; `size` and `riff` are what the header says of the sound and of the file."""
    data = SOUND.tobytes() if data is None else data
    width = 2 * channels
    fmt = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * width & 0xFFFFFFFF, width, 16)
    size = len(data) if size is None else size
    body = b"WAVE" + before + b"fmt " + fmt + b"data" + struct.pack("<I", size) + data + after
    return magic + struct.pack("<I", len(body) if riff is None else riff) + body
