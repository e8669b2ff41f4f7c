import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_anomaly_detector.data.audio import AudioConfig, examine_clip
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.kinds import W64
from audio_anomaly_detector.errors import ClipError
from wav_files import RATE, SOUND, wav

WHOLE = SOUND.astype(np.float32)[None] / 2**15
SIZE = 2 * len(SOUND)


def read(path: Path) -> tuple[np.ndarray, list[str]]:
    reading = examine_clip(Clip(path, path.name, 0, MachineKey("c", "m", "i")), AudioConfig())
    return reading.waveform, reading.remarks


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def ds64(sound: int) -> bytes:
    return b"ds64" + struct.pack("<IQQQI", 28, sound + 80, sound, sound // 2, 0)


@pytest.mark.parametrize(
    "content",
    [
        wav(size=SIZE + 44),
        wav(size=SIZE + 1),
        wav(size=SIZE - 16),
        wav(size=SIZE // 2),
        wav(size=SIZE - 30_000),
        wav(size=0, riff=0),
        wav(size=0, riff=36),
        wav(size=0xFFFFFFFF),
        wav(size=0x7FFFFFFF),
        wav(size=0xFFFFFFFF, magic=b"RF64", before=ds64(SIZE // 2)),
        wav(size=0xFFFFFFFF, magic=b"BW64", before=ds64(SIZE + 16)),
    ],
)
def test_a_wrong_size_costs_no_sound_and_is_remarked_upon(tmp_path, content):
    waveform, remarks = read(written(tmp_path / "a.wav", content))
    np.testing.assert_array_equal(waveform, WHOLE)
    assert len(remarks) == 1
    assert "2.00 s that are there are used" in remarks[0]


@pytest.mark.parametrize(
    "content",
    [
        wav(after=b"LIST" + struct.pack("<I", 4) + b"abcd"),
        wav(after=b"LIST" + struct.pack("<I", 999) + b"abcd"),
        wav(after=bytes(4096)),
        wav(after=b"TAG" + bytes(125)),
        wav(size=0xFFFFFFFF, magic=b"RF64", before=ds64(SIZE)),
        wav(size=0xFFFFFFFF, magic=b"BW64", before=ds64(SIZE)),
    ],
)
def test_what_is_right_needs_no_remark(tmp_path, content):
    waveform, remarks = read(written(tmp_path / "a.wav", content))
    np.testing.assert_array_equal(waveform, WHOLE)
    assert remarks == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (wav(SOUND.tobytes()[: SIZE // 2], size=SIZE), "is cut short: 32000 of 64044 bytes"),
        (wav(size=2 * SIZE), "is cut short"),
        (wav() + wav(), "holds more sound behind the end"),
        (wav(after=b"data" + struct.pack("<I", SIZE) + SOUND.tobytes()), "holds more sound"),
        (wav(b""), "holds no sound"),
    ],
)
def test_never_half_a_file(tmp_path, content, message):
    with pytest.raises(ClipError, match=message):
        read(written(tmp_path / "a.wav", content))


@pytest.mark.parametrize("kind", ["W64", "CAF", "AU", "AIFF", "RF64", "WAVEX"])
def test_every_container_is_known_by_its_content_and_refused_when_cut(tmp_path, kind):
    path = tmp_path / "a.wav"
    soundfile.write(path, SOUND, RATE, format=kind, subtype="PCM_16")
    waveform, remarks = read(path)
    np.testing.assert_array_equal(waveform, WHOLE)
    assert remarks == []
    whole = path.read_bytes()
    path.write_bytes(whole[:-20_000])
    with pytest.raises(ClipError, match="cut short"):
        read(path)
    path.write_bytes(whole[:-20])
    assert "bytes more than there are" in read(path)[1][0]


@pytest.mark.parametrize(
    ("kind", "endian", "field", "form"),
    [
        ("AU", "BIG", 8, ">I"),
        ("AU", "LITTLE", 8, "<I"),
        ("W64", "FILE", None, "<Q"),
        ("AIFF", "FILE", None, ">I"),
    ],
)
def test_sizes_of_half_the_sound_in_other_containers(tmp_path, kind, endian, field, form):
    path = tmp_path / "a"
    soundfile.write(path, SOUND, RATE, format=kind, subtype="PCM_16", endian=endian)
    np.testing.assert_array_equal(read(path)[0], WHOLE)
    content = bytearray(path.read_bytes())
    if field is None:
        name = b"SSND" if kind == "AIFF" else b"data\xf3\xac\xd3\x11"
        field = content.index(name) + (4 if kind == "AIFF" else 16)
    (declared,) = struct.unpack_from(form, content, field)
    struct.pack_into(form, content, field, declared - SIZE // 2)
    path.write_bytes(content)
    waveform, remarks = read(path)
    np.testing.assert_array_equal(waveform, WHOLE)
    assert "sound goes on behind that" in remarks[0]


def w64_chunk(name: bytes, body: bytes) -> bytes:
    """Names of 16 bytes, sizes that count the head of 24, and a place at a multiple of 8."""
    chunk = name + b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
    chunk += struct.pack("<Q", 24 + len(body)) + body
    return chunk + bytes(-len(chunk) % 8)


@pytest.mark.parametrize(
    ("after", "remarks"),
    [
        (w64_chunk(b"fact", bytes(8)), 0),
        (w64_chunk(b"fact", bytes(8)) + w64_chunk(b"levl", b"some notes"), 0),
        (bytes(3000), 0),
        (b"TAG" + bytes(125), 0),
        (SOUND[:700].tobytes(), 1),
    ],
)
def test_what_follows_the_sound_of_a_w64(tmp_path, after, remarks):
    path = tmp_path / "a.w64"
    soundfile.write(path, SOUND, RATE, subtype="PCM_16")
    path.write_bytes(path.read_bytes() + after)
    waveform, found = read(path)
    assert len(found) == remarks
    np.testing.assert_array_equal(waveform[:, : len(SOUND)], WHOLE)
    assert waveform.shape[1] == len(SOUND) + 700 * remarks


@pytest.mark.parametrize("length", [2**31, 2**63 - 1, 2**64 - 1])
@pytest.mark.parametrize(
    ("start", "form"), [(b"caff\0\1\0\0desc", ">Q"), (W64 + bytes(24) + bytes(16), "<Q")]
)
def test_a_chunk_that_ends_beyond_the_file(tmp_path, start, form, length):
    content = start + struct.pack(form, length) + bytes(99)
    with pytest.raises(ClipError, match="header that cannot be read"):
        read(written(tmp_path / "a.wav", content))


def test_joined_w64(tmp_path):
    path = tmp_path / "a.w64"
    soundfile.write(path, SOUND, RATE, subtype="PCM_16")
    whole = path.read_bytes()
    for after in (whole, w64_chunk(b"fact", bytes(8)) + w64_chunk(b"data", SOUND.tobytes())):
        path.write_bytes(whole + after)
        with pytest.raises(ClipError, match="holds more sound"):
            read(path)


def test_a_size_that_wrapped_at_4_gib(tmp_path):
    path = tmp_path / "a.wav"
    header = wav(b"", size=SIZE, riff=SIZE + 36)
    path.write_bytes(header)
    with path.open("r+b") as stream:  # sparse: takes no room on the disk
        stream.write(header + SOUND.tobytes())
        stream.seek(2**32 + SIZE + 44 - 2)
        stream.write(b"\1\1")
    clip = Clip(path, path.name, 0, MachineKey("c", "m", "i")).cut(0, 2)
    reading = examine_clip(clip, AudioConfig())
    assert reading.info.frames == (2**32 + SIZE) // 2
    assert "sound goes on behind that" in reading.remarks[0]
    with pytest.raises(ClipError, match="too long for one clip"):
        read(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rate=st.sampled_from([0, 1, 999, 1000, 8000, 16_000, 96_000, 2**31, 2**32 - 1]),
    channels=st.sampled_from([0, 1, 2, 7, 200, 1024, 65_535]),
    size=st.one_of(st.none(), st.integers(0, 2**32 - 1), st.integers(SIZE - 400, SIZE + 400)),
    riff=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
    magic=st.sampled_from([b"RIFF", b"RF64", b"BW64"]),
    before=st.sampled_from([b"", ds64(SIZE), ds64(2**63), ds64(0)]),
)
def test_any_header_gives_sound_or_one_line(tmp_path, rate, channels, size, riff, magic, before):
    header = {"rate": rate, "size": size, "riff": riff, "magic": magic, "before": before}
    content = bytearray(wav(channels=1, **{**header, "rate": rate & 0xFFFFFFFF}))
    at = content.index(b"fmt ") + 10
    struct.pack_into("<H", content, at, channels)
    path = written(tmp_path / "a.wav", bytes(content))
    try:
        waveform, remarks = read(path)
    except ClipError as error:
        assert "\n" not in str(error)
        return
    # Whole, whatever the header said, or cut where the header's own chunks say so.
    assert len(waveform) == channels
    used = waveform.shape[1] * channels * rate / RATE
    assert remarks or used >= len(SOUND) - channels - 0.01 * rate * channels
