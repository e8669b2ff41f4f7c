import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.data.audio import AudioConfig, examine_clip
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.coded import count_mpeg
from audio_anomaly_detector.errors import ClipError

RATE = 44_100
SECONDS = 3
RNG = np.random.default_rng(0)
TONE = 0.3 * np.sin(2 * np.pi * 440 * np.arange(SECONDS * RATE) / RATE)
SOUND = TONE + 0.02 * RNG.standard_normal(SECONDS * RATE)


def read(path: Path) -> tuple[np.ndarray, list[str]]:
    reading = examine_clip(Clip(path, path.name, 0, MachineKey("c", "m", "i")), AudioConfig())
    return reading.waveform, reading.remarks


@pytest.fixture(scope="module")
def mp3(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("mp3") / "a.mp3"
    soundfile.write(path, SOUND, RATE, format="MP3", subtype="MPEG_LAYER_III")
    return path.read_bytes()


def frames_only(content: bytes) -> bytes:
    """An MP3 without the header that declares its length."""
    counted = count_mpeg(content)
    assert counted is not None
    return content[counted.first :]


def test_a_count_that_agrees_needs_no_remark(tmp_path, mp3):
    (tmp_path / "a.mp3").write_bytes(mp3)
    waveform, remarks = read(tmp_path / "a.mp3")
    assert abs(waveform.shape[1] - 16_000 * SECONDS) <= 1
    assert remarks == []


@pytest.mark.parametrize("before", [b"", b"ID3\3\0\0\0\0\0\x0a" + bytes(10), bytes(300)])
def test_without_a_header_frames_are_counted(tmp_path, mp3, before):
    path = tmp_path / "a.mp3"
    path.write_bytes(before + frames_only(mp3) + b"TAG" + bytes(125))
    waveform, remarks = read(path)
    assert abs(waveform.shape[1] / 16_000 - SECONDS) < 0.12
    assert "its header gives no length" in remarks[0]


def test_joined_files_are_read_to_the_end(tmp_path, mp3):
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3 + mp3)
    waveform, remarks = read(path)
    assert abs(waveform.shape[1] / 16_000 - 2 * SECONDS) < 0.2
    assert "sound goes on behind that" in remarks[0]


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9])
def test_cut_files_are_refused(tmp_path, mp3, header, kept):
    content = mp3 if header else frames_only(mp3)
    (tmp_path / "a.mp3").write_bytes(content[: int(len(content) * kept) + 1])
    with pytest.raises(ClipError, match="cut short"):
        read(tmp_path / "a.mp3")


def test_what_the_decoder_says_belongs_to_its_file(tmp_path, mp3, capfd):
    content = bytearray(mp3)
    for at in range(5000, len(content), 3000):
        content[at : at + 20] = RNG.bytes(20)
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    try:
        _, remarks = read(path)
    except ClipError:
        pass
    else:
        assert any("no sound" in remark or "complains" in remark for remark in remarks)
    assert capfd.readouterr().err == ""


def test_no_decoder_speaks_of_what_is_no_mpeg(tmp_path, capfd):
    """Whatever the suffix, and whatever a WAV says of its format, nothing is printed."""
    noise = RNG.bytes(3000)
    head = struct.pack("<IHHIIHHHHIHHH", 30, 0x55, 2, RATE, 64_000, 4, 16, 12, 1, 2, 1152, 1, 1393)
    for content in (noise, bytes(5000), b"abc"):
        body = b"WAVEfmt " + head + b"data" + struct.pack("<I", len(content)) + content
        wav = b"RIFF" + struct.pack("<I", len(body)) + body
        for start in (b"caff\0\1\0\0", b"FORM\0\0\0\0AIFF", b".snd", b"fLaC", wav):
            path = tmp_path / "a.mp3"
            path.write_bytes(start + content)
            with pytest.raises(ClipError):
                read(path)
    assert capfd.readouterr().err == ""


def test_flac_lengths(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, SOUND, RATE)
    whole = path.read_bytes()
    expected, remarks = read(path)
    assert remarks == []
    for samples in (0, 50_000):  # not known; too few
        content = bytearray(whole)
        content[21] &= 0xF0  # STREAMINFO: 36 bits of total samples
        content[22:26] = samples.to_bytes(4, "big")
        path.write_bytes(content)
        waveform, remarks = read(path)
        np.testing.assert_array_equal(waveform, expected)
        assert "all 3.00 s of it are used" in remarks[0]
        path.write_bytes(content[: len(content) // 2])
        if samples == 0:
            with pytest.raises(ClipError):
                read(path)
    path.write_bytes(whole + whole)
    with pytest.raises(ClipError, match="several FLAC files"):
        read(path)


def test_ogg_pages(tmp_path):
    path = tmp_path / "a.ogg"
    soundfile.write(path, SOUND, RATE)
    whole = path.read_bytes()
    assert read(path)[1] == []
    path.write_bytes(whole + whole)
    with pytest.raises(ClipError, match="several Ogg files"):
        read(path)
    page = whole.index(b"OggS", whole.index(b"OggS", 4000) + 4)
    after = whole.index(b"OggS", page + 4)
    path.write_bytes(whole[:page] + whole[after:])
    with pytest.raises(ClipError, match="pages are missing"):
        read(path)
