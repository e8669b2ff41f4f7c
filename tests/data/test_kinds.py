import gzip
import io
import sqlite3
import zipfile

import numpy as np
import pytest

from audio_anomaly_detector.data.decoding import probe
from audio_anomaly_detector.data.kinds import audio_kind, is_audio, what_else
from audio_anomaly_detector.errors import ClipError
from wav_files import wav


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.wav", b"sound")
    return content.getvalue()


def array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.zeros(100))
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-LFS", "git lfs pull"),
        (b"\n <!DOCTYPE html><html></html>", "web page", "download"),
        (b"\xef\xbb\xbf<html lang='en'>not found</html>", "web page", "download"),
        (zipped(), "zip archive", "unpack"),
        (gzip.compress(bytes(1000), mtime=0), "gzip", "unpack"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(50), "7z", "unpack"),
        (b"TDSm" + bytes(100), "TDMS", "WAV"),
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "MATLAB", "audiowrite"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5", "WAV"),
        (array(), "NumPy", "soundfile.write"),
        (b"%PDF-1.7\n", "PDF", "audio file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG", "audio file"),
        (b"0.12,0.13\n" * 50, "table of numbers", "WAV"),
        (b'{"rate": 16000}', "JSON", "audio file"),
        ("Prüfprotokoll, 3. Mai".encode(), "text", "audio file"),
        ("Prüfprotokoll, 3. Mai".encode("utf-16"), "text", "audio file"),
        (bytes(5000), "nothing but zeros", "copy"),
    ],
)
def test_what_is_no_audio_is_named_with_the_remedy(tmp_path, content, what, remedy):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(ClipError) as error:
        probe(path)
    assert what in error.value.problem
    assert remedy in error.value.remedy
    assert not is_audio(path)


def test_a_data_base(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as base:
        base.execute("create table a (b)")
    assert "SQLite" in what_else((tmp_path / "a.db").read_bytes()).what


def test_audio_under_any_name(tmp_path):
    path = tmp_path / "recording 3"
    path.write_bytes(wav())
    assert is_audio(path)
    assert not is_audio(tmp_path / "missing")
    assert probe(path).frames == 32_000


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\xff\xfb\x90\x00", "mpeg"),
        (b"\xff\xf1\x50\x80", "media"),
        (b"\0\0\0\x20ftypM4A ", "media"),
        (b"RIFF\0\0\0\0AVI ", None),
        (b"\xff\xff\xff\xff", None),
        (b"", None),
    ],
)
def test_containers_by_first_bytes(head, container):
    kind = audio_kind(head)
    assert (kind and kind.container) == container
