"""Raw samples in every format, from pipes that break and come back."""

import io
import os
import struct
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from audio_anomaly_detector.monitor.sources.pcm import FrameBuffer, to_samples
from audio_anomaly_detector.monitor.sources.raw_input import RawInputConfig
from audio_anomaly_detector.monitor.sources.source import SourceError


@pytest.mark.parametrize(
    "form, data",
    [
        ("u8", bytes([0, 64, 128, 192])),
        ("s16le", struct.pack("<4h", -32768, -16384, 0, 16384)),
        ("s16be", struct.pack(">4h", -32768, -16384, 0, 16384)),
        ("s24le", b"\0\0\x80\0\0\xc0\0\0\0\0\0\x40"),
        ("s32le", struct.pack("<4i", -(2**31), -(2**30), 0, 2**30)),
        ("f32le", struct.pack("<4f", -1, -0.5, 0, 0.5)),
    ],
)
def test_formats(form: str, data: bytes) -> None:
    samples = to_samples(data, form, 2)  # type: ignore[arg-type]
    np.testing.assert_array_equal(samples, [[-1, 0], [-0.5, 0.5]])
    assert samples.dtype == np.float32
    frames = FrameBuffer(form, 2)  # type: ignore[arg-type]
    parts = [frames.add(data[at : at + 1]) for at in range(len(data))]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), samples)


def test_a_named_pipe_that_is_ready_and_empty_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sound"
    os.mkfifo(path)
    connection = RawInputConfig(raw=str(path), rate=16000).make().open()
    writer = os.open(path, os.O_WRONLY)
    os.write(writer, b"\0\0" * 10)
    real, refusals = os.read, [BlockingIOError(11, "Resource temporarily unavailable")]

    def read(descriptor: int, most: int) -> bytes:
        if refusals:
            raise refusals.pop()
        return real(descriptor, most)

    monkeypatch.setattr(os, "read", read)
    received = connection.read()
    assert received is not None
    assert received.samples.shape == (1, 10)
    connection.close()
    os.close(writer)


def test_a_named_pipe_is_read_again_when_its_writer_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "sound"
    os.mkfifo(path)
    source = RawInputConfig(raw=str(path), rate=8000, channels=2).make()
    for _ in range(3):
        connection = source.open()
        with path.open("wb") as writer:
            writer.write(struct.pack("<4h", 1, 2, 3, 4))
        received = connection.read()
        assert received is not None
        np.testing.assert_array_equal(received.samples * 32768, [[1, 3], [2, 4]])
        with pytest.raises(SourceError, match="the program that writes the sound has ended"):
            connection.read()
        connection.close()


def test_a_pipe_without_writer_waits_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "sound"
    os.mkfifo(path)
    connection = RawInputConfig(raw=str(path), rate=8000).make().open()
    results: list[object] = []
    reader = threading.Thread(target=lambda: results.append(connection.read()))
    reader.start()
    connection.close()
    reader.join(30)
    assert results == [None]


def test_standard_input_ends_for_good_but_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    out, into = os.pipe()
    with open(out, "rb") as reading, open(into, "wb") as writing:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(reading))
        source = RawInputConfig(raw="-", rate=8000).make()
        first = source.open()
        writing.write(b"\1\0\2")
        writing.flush()
        received = first.read()
        assert received is not None
        assert received.samples.shape == (1, 1)
        first.close()
        second = source.open()  # as after a pause in which nothing came
        writing.write(b"\3\0")
        writing.close()
        received = second.read()
        assert received is not None
        assert received.samples * 32768 == [[0x0302]]  # frames go on where they were
        assert second.read() is None
        second.close()


def test_what_is_no_pipe(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, message in (("file", "is no named pipe"), ("none", "cannot be opened")):
        with pytest.raises(SourceError, match=message):
            RawInputConfig(raw=str(tmp_path / name), rate=8000).make().open()
