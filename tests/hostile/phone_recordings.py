"""What phones, messengers and converters write: made by PyAV, whole, cut, renamed, damaged."""

import io
import re
import tempfile
from pathlib import Path

import av
import numpy as np

from hostile.cases import Case, Kind
from hostile.damaged_files import _valid
from hostile.sounds import CHANNELS, beside, encoded, sound, written
from synthetic_data import SAMPLE_RATE

# Suffix: container, codec, rate, channels.
WRITTEN = {
    ".m4a": ("ipod", "aac", SAMPLE_RATE, CHANNELS),
    ".aac": ("adts", "aac", SAMPLE_RATE, CHANNELS),
    ".mp4": ("mp4", "aac", 44_100, CHANNELS),
    ".mov": ("mov", "aac", 48_000, CHANNELS),
    ".alac.m4a": ("ipod", "alac", SAMPLE_RATE, CHANNELS),
    ".wma": ("asf", "wmav2", 44_100, CHANNELS),
    ".opus": ("ogg", "libopus", 48_000, CHANNELS),
    ".webm": ("webm", "libopus", 48_000, CHANNELS),
    ".mka": ("matroska", "libopus", 48_000, CHANNELS),
    ".ac3": ("ac3", "ac3", 48_000, CHANNELS),
    ".mp3": ("mp3", "libmp3lame", 44_100, CHANNELS),
    ".amr": ("amr", "libopencore_amrnb", 8000, 1),
    ".3gp": ("3gp", "libopencore_amrnb", 8000, 1),
}
# What the program promises to read.
PROMISED = (".m4a", ".aac", ".mp4", ".alac.m4a", ".wma", ".opus", ".webm", ".mp3")


def recording(
    rng: np.random.Generator, suffix: str, options: dict[str, str] | None = None
) -> bytes:
    """A file as a phone writes it."""
    channels = WRITTEN[suffix][3]
    samples = np.ascontiguousarray(sound(rng)[:, :channels].T)
    # To a file, because an index at the beginning is written by reading the file again.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording"
        exact = {"fflags": "+bitexact"}  # no time of writing, no number drawn by chance
        _write(path, samples, WRITTEN[suffix], exact | (options or {}))
        return path.read_bytes()


def _write(
    path: Path,
    samples: np.ndarray,
    target: tuple[str, str, int, int],
    options: dict[str, str],
) -> None:
    container, codec, rate, channels = target
    layout = "stereo" if channels == CHANNELS else "mono"
    with av.open(str(path), "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = layout
        stream.bit_rate = 12_200 if codec == "libopencore_amrnb" else 96_000
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = SAMPLE_RATE
        resampler = av.AudioResampler(stream.format, layout, rate, stream.frame_size or 1024)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))


def _any(rng: np.random.Generator) -> tuple[str, bytes]:
    suffix = str(rng.choice(list(WRITTEN)))
    fast = {"movflags": "faststart"} if suffix in (".m4a", ".mp4") and rng.integers(2) else None
    return suffix, recording(rng, suffix, fast)


def _whole(rng: np.random.Generator, folder: Path) -> Case:
    suffix, content = _any(rng)
    right = "heard" if suffix in PROMISED else "any"
    return Case(written(folder / f"phone{suffix}", content), right)  # type: ignore[arg-type]


def _renamed(rng: np.random.Generator, folder: Path) -> Case:
    """As messengers rename attachments."""
    suffix = str(rng.choice(PROMISED))
    content = recording(rng, suffix)
    name = f"phone{rng.choice(['.wav', '.mp3', '.m4a', '.ogg', '.mp4'])}"
    return beside(folder, name, content, "heard", content, suffix)


def _cut(rng: np.random.Generator, folder: Path) -> Case:
    suffix, content = _any(rng)
    end = int(rng.integers(len(content)))
    return beside(folder, f"cut{suffix}", content[:end], "whole", content, suffix)


def _flipped(rng: np.random.Generator, folder: Path) -> Case:
    suffix, content = _any(rng)
    changed = bytearray(content)
    last = len(changed) if rng.integers(2) else min(len(changed), 700)
    for _ in range(int(rng.choice([1, 2, 4, 64]))):
        changed[rng.integers(last)] ^= 1 << int(rng.integers(8))
    return Case(written(folder / f"flipped{suffix}", bytes(changed)))


def _film(rng: np.random.Generator, folder: Path) -> Case:
    """Pictures without a sound."""
    suffix, container = [(".mp4", "mp4"), (".mov", "mov"), (".webm", "matroska")][rng.integers(3)]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options={"fflags": "+bitexact"}) as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        for _ in range(60):
            picture = rng.integers(256, size=(64, 64, 3), dtype=np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        output.mux(stream.encode(None))
    return Case(written(folder / f"film{suffix}", buffer.getvalue()), "refused")


def _without_xing(rng: np.random.Generator, folder: Path) -> Case:
    """MP3 of constant or variable rate whose length nothing states; half of them called .wav."""
    content = _valid(rng, "MP3")
    if rng.integers(2):
        content = recording(rng, ".mp3", {"write_xing": "0"})
    else:  # the frame of the length is the first, taken out up to the next sync word
        found = re.search(b"Xing|Info", content)
        assert found is not None
        start = content.rindex(b"\xff", 0, found.start())
        content = content[content.index(content[start : start + 2], found.end()) :]
    name = f"mp3{rng.choice(['.mp3', '.mp3', '.wav'])}"
    return Case(written(folder / name, content), "heard")


def _streams(rng: np.random.Generator, folder: Path) -> Case:
    """A recording behind something else: tags, another file's head, a picture."""
    suffix = str(rng.choice([".mp3", ".aac", ".m4a"]))
    content = recording(rng, suffix)
    tag = b"ID3\x04\0\0\0\0" + bytes([int(rng.integers(128)), int(rng.integers(128))])
    heads = [tag, tag + bytes(3000), rng.bytes(100), encoded(sound(rng))[:60], b"APETAGEX"]
    return Case(written(folder / f"behind{suffix}", heads[rng.integers(5)] + content))


KINDS = {
    "phone_whole": Kind(_whole, 60),
    "phone_renamed": Kind(_renamed, 30),
    "phone_cut": Kind(_cut, 60),
    "phone_flipped": Kind(_flipped, 100),
    "phone_film": Kind(_film, 6),
    "mp3_without_xing": Kind(_without_xing, 30),
    "phone_behind": Kind(_streams, 20),
}
