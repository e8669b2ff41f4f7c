import struct
from pathlib import Path

import numpy as np
import pytest

from audio_anomaly_detector.data.decoding import probe
from audio_anomaly_detector.errors import ClipError


def refusal(path: Path) -> str:
    """The message with which a file is refused, without the path in front of it."""
    with pytest.raises(ClipError) as error:
        probe(path)
    text = str(error.value)
    assert "; " in text  # the remedy
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


def wav(channels: int = 1, size: int | None = None, data: bytes = b"\0\1\0\2" * 16_000) -> bytes:
    size = len(data) if size is None else size
    fmt = struct.pack("<IHHIIHH", 16, 1, channels, 16_000, 32_000 * channels, 2 * channels, 16)
    riff = b"WAVEfmt " + fmt + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + riff


def test_a_wav_without_its_last_tenth_is_refused_by_its_header_alone(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav()[:-6400])
    assert refusal(tmp_path / "a.wav").startswith("is cut short: 6400 of 64044 bytes are missing")


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x80000000, 0x7FFFFFFF])
def test_a_wav_from_a_pipe_has_no_length_and_is_whole(tmp_path, size):
    (tmp_path / "a.wav").write_bytes(wav(size=size))
    assert probe(tmp_path / "a.wav").frames == 32_000


def test_other_chunks_around_the_sound_do_no_harm(tmp_path):
    whole = wav()
    chunk = b"note" + struct.pack("<I", 3) + b"abc\0"
    (tmp_path / "a.wav").write_bytes(whole[:36] + chunk + whole[36:] + chunk)
    assert probe(tmp_path / "a.wav").frames == 32_000
    (tmp_path / "a.wav").write_bytes(whole[:36] + chunk + whole[36:-6400])
    assert refusal(tmp_path / "a.wav").startswith("is cut short: 6400 of 64056 bytes are missing")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; record or copy it again"),
        (b"this is not a sound\n" * 100, "is not audio but a text"),
        (np.random.default_rng(0).bytes(5000), "is not audio, or of a kind"),
        (b"RIFF", "is not audio, or of a kind"),
        (wav(channels=0), "is not audio, or of a kind or with a header"),
        (wav(data=b""), "holds no sound (0 samples)"),
    ],
)
@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".flac"])
def test_bad_content(tmp_path, content, message, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert refusal(path).startswith(message)
