"""Windows are the same however the sound is divided."""

from collections.abc import Iterable

import numpy as np
import pytest

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.sound import Chunk, Samples, Window
from audio_anomaly_detector.monitor.stream import StreamState, advance

RATE = 100
BEGAN = 1_795_748_685.25
SOUND = np.random.default_rng(0).standard_normal((2, 1234)).astype(np.float32)


def chunks(sound: Samples, sizes: Iterable[int], stretch: int = 0) -> Iterable[Chunk]:
    start = 0
    for size in sizes:
        samples = sound[:, start : start + size]
        yield Chunk(samples, RATE, stretch, BEGAN + start / RATE)
        start += size


def windows_of(
    given: Iterable[Chunk], seconds: float, hop: float, keep: bool = False
) -> list[Window]:
    state, found = StreamState(), []
    for chunk in given:
        state, windows = advance(state, chunk, seconds, hop)
        found += windows
        if keep:
            state = StreamState.from_bytes(state.to_bytes())
        assert sum(piece.shape[1] for piece in state.pieces) < round(seconds * RATE)
    return found


@pytest.mark.parametrize("hop", [0.2, 1.0, 1.7])
@pytest.mark.parametrize("size", [1, 7, 99, 100, 101, 1000, 1234])
@pytest.mark.parametrize("keep", [False, True])
def test_chunked_is_whole(hop: float, size: int, keep: bool) -> None:
    whole = windows_of(chunks(SOUND, [1234]), 1.0, hop)
    step = round(hop * RATE)
    assert len(whole) == (1234 - 100) // step + 1
    sizes = [size] * (1234 // size) + [1234 % size]
    chunked = windows_of(chunks(SOUND, sizes), 1.0, hop, keep)
    assert [window.at for window in chunked] == [window.at for window in whole]
    for number, (one, other) in enumerate(zip(chunked, whole, strict=True)):
        np.testing.assert_array_equal(one.samples, other.samples)
        np.testing.assert_array_equal(one.samples, SOUND[:, number * step : number * step + 100])
        assert one.at == BEGAN + number * step / RATE


def test_no_window_reaches_over_a_gap() -> None:
    before = list(chunks(SOUND[:, :150], [150], stretch=0))
    behind = [Chunk(SOUND[:, 150:400], RATE, 1, BEGAN + 60)]
    found = windows_of([*before, *behind], 1.0, 0.5)
    assert [window.stretch for window in found] == [0, 0, 1, 1, 1, 1]
    assert found[2].at == BEGAN + 60
    np.testing.assert_array_equal(found[2].samples, SOUND[:, 150:250])


@pytest.mark.parametrize("rate, channels", [(200, 2), (RATE, 1)])
def test_another_format_begins_anew(rate: int, channels: int) -> None:
    state, _ = advance(StreamState(), Chunk(SOUND[:, :90], RATE, 0, BEGAN), 1.0, 1.0)
    other = Chunk(SOUND[:channels, 90:110], rate, 0, BEGAN + 0.9)
    state, windows = advance(state, other, 1.0, 1.0)
    assert windows == []
    assert [piece.shape for piece in state.pieces] == [(channels, 20)]


def test_what_is_kept_holds_no_chunk() -> None:
    state, (window, *_) = advance(StreamState(), Chunk(SOUND, RATE, 0, BEGAN), 1.0, 1.0)
    assert window.samples.base is None
    assert state.pieces[0].base is None


def test_a_damaged_state_is_refused() -> None:
    content = StreamState((SOUND,), RATE).to_bytes()
    with pytest.raises(UserError, match="damaged"):
        StreamState.from_bytes(content[:-30])


def test_windows_need_samples() -> None:
    with pytest.raises(ValueError, match="no samples"):
        advance(StreamState(), Chunk(SOUND, RATE, 0, BEGAN), 0.001, 1.0)
