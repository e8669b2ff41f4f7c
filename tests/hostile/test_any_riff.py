"""Whatever chunks a RIFF file is made of, it is read as a finite waveform or refused in a line."""

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_anomaly_detector.data.audio import AudioConfig, examine_clip
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.errors import UserError, one_line
from hostile.wav_headers import UNKNOWN, chunk, fmt, wav

_NUMBERS = st.sampled_from([0, 1, 2, 3, 15, 16, 255, 8000, 16_000, 2**16 - 1, 2**31, UNKNOWN])
_SAMPLES = (3000 * np.sin(np.arange(33_000))).astype("<i2").tobytes()
_FORMATS = st.builds(
    fmt,
    tag=st.sampled_from([1, 1, 1, 3, 6, 17, 0xFFFE]),
    channels=st.sampled_from([1, 2, 0, 3, 2**16 - 1]),
    rate=_NUMBERS,
    bits=st.sampled_from([16, 16, 8, 24, 32, 0, 12, 64]),
    align=st.none() | _NUMBERS,
    extra=st.binary(max_size=24),
)
_SOUNDS = st.builds(chunk, st.just(b"data"), st.just(_SAMPLES), st.none() | _NUMBERS)
_OTHERS = st.builds(
    chunk,
    st.sampled_from([b"LIST", b"ds64", b"fact", b"JUNK", b"bext", b"\0\0\0\0"]),
    st.binary(max_size=60),
    st.none() | _NUMBERS,
    st.booleans(),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
@given(
    chunks=st.lists(_FORMATS | _SOUNDS | _OTHERS, max_size=6),
    magic=st.sampled_from([b"RIFF", b"RIFF", b"RF64", b"BW64", b"RIFX"]),
    size=st.none() | _NUMBERS,
)
def test_any_riff_is_read_or_refused(
    chunks: list[bytes], magic: bytes, size: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "any.wav"
    path.write_bytes(wav(*chunks, magic=magic, size=size))
    try:
        [clip] = find_clips(path).clips
        waveform = examine_clip(clip, AudioConfig()).waveform
    except UserError as error:
        assert str(error) == one_line(error)
        return
    assert waveform.ndim == 2 and waveform.dtype == np.float32
    assert np.isfinite(waveform).all()
    # No more sound than there are bytes, at the slowest rate that makes sense.
    assert waveform.nbytes < 2**30
