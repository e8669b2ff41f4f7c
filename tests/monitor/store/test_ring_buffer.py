"""The recent sound of a source, cut around a moment."""

import numpy as np
import pytest

from audio_anomaly_detector.monitor.sound import Chunk
from audio_anomaly_detector.monitor.store.ring_buffer import RingBuffer

RATE = 100


def _chunk(first: int, length: int, stretch: int = 0, at: float | None = None) -> Chunk:
    """Samples that count up, so that each tells which one it is."""
    counted = np.arange(first, first + length, dtype=np.float32)
    samples = np.stack([counted, -counted])
    return Chunk(samples, RATE, stretch, first / RATE if at is None else at)


@pytest.mark.parametrize("size", [1, 7, 100, 999, 1000, 5000])
def test_any_size_of_chunk_gives_the_same_cut(size: int) -> None:
    buffer = RingBuffer(10)
    for first in range(0, 5000, size):
        buffer.push(_chunk(first, min(size, 5000 - first)))
    cut = buffer.cut(45.0, 2, 1)
    assert cut is not None and buffer.end == pytest.approx(50)
    assert np.array_equal(cut.samples[0], np.arange(4300, 4600))
    assert np.array_equal(cut.samples[1], -np.arange(4300, 4600))
    assert cut.at == pytest.approx(43) and cut.end == pytest.approx(46)


def test_only_what_is_still_there() -> None:
    buffer = RingBuffer(10)
    assert buffer.end is None and buffer.cut(0, 1, 1) is None
    buffer.push(_chunk(0, 5000))
    assert buffer.cut(39.0, 1, 1) is None
    cut = buffer.cut(41.0, 5, 100)
    assert cut is not None
    assert cut.samples[0, 0] == 4000 and cut.samples[0, -1] == 4999


def test_no_cut_reaches_over_a_gap() -> None:
    buffer = RingBuffer(100)
    buffer.push(_chunk(0, 1000))
    buffer.push(_chunk(1000, 1000, stretch=1, at=60.0))  # fifty seconds were lost
    before, after = buffer.cut(9.0, 5, 5), buffer.cut(61.0, 5, 5)
    assert before is not None and after is not None
    assert (before.at, before.end, before.stretch) == (pytest.approx(4), pytest.approx(10), 0)
    assert (after.at, after.end, after.stretch) == (pytest.approx(60), pytest.approx(66), 1)
    assert buffer.cut(30.0, 5, 5) is None


def test_after_the_clock_was_set_back_the_newest_counts() -> None:
    buffer = RingBuffer(100)
    buffer.push(_chunk(0, 1000, at=5000.0))
    buffer.push(_chunk(1000, 1000, stretch=1, at=5000.0))
    cut = buffer.cut(5001.0, 0, 1)
    assert cut is not None and cut.samples[0, 0] == 1100


def test_another_format_begins_anew() -> None:
    buffer = RingBuffer(10)
    buffer.push(_chunk(0, 1000))
    mono = Chunk(np.ones((1, 400), np.float32), 2 * RATE, 1, 20.0)
    buffer.push(mono)
    assert buffer.cut(5.0, 1, 1) is None
    cut = buffer.cut(21.0, 9, 9)
    assert cut is not None and cut.samples.shape == (1, 400) and cut.sample_rate == 2 * RATE


def test_memory_is_bounded_for_a_source_that_breaks_off_without_end() -> None:
    buffer = RingBuffer(10)
    for stretch in range(5000):
        buffer.push(_chunk(stretch, 1, stretch=stretch))
    assert buffer._samples.nbytes == 2 * 10 * RATE * 4
    assert len(buffer._pieces) <= 256
    cut = buffer.cut(49.99, 1, 1)
    assert cut is not None and cut.samples.shape == (2, 1)
