"""Raw samples in bytes, as pipes and messages bring them."""

from typing import Literal

import numpy as np

from audio_anomaly_detector.monitor.sound import Samples

SampleFormat = Literal["u8", "s16le", "s16be", "s24le", "s32le", "f32le"]

# Bytes of a sample, and what NumPy calls it; 24 bits are no type of its own.
_TYPES: dict[SampleFormat, tuple[int, str]] = {
    "u8": (1, "u1"),
    "s16le": (2, "<i2"),
    "s16be": (2, ">i2"),
    "s24le": (3, "<i4"),
    "s32le": (4, "<i4"),
    "f32le": (4, "<f4"),
}


def width(form: SampleFormat) -> int:
    """Bytes of a sample."""
    return _TYPES[form][0]


def to_samples(data: bytes, form: SampleFormat, channels: int) -> Samples:
    """Samples of interleaved channels.

    Args:
        data: whole frames.
        form: of a sample.
        channels: of a frame.

    Returns:
        ``(C, T)``, full scale ±1; floats as they are.
    """
    size, kind = _TYPES[form]
    if form == "s24le":
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        values = wide.view(kind)[:, 0]
    else:
        values = np.frombuffer(data, kind)
    middle, scale = 0.0, 1.0
    if form == "u8":
        middle, scale = 128.0, 128.0
    elif form != "f32le":
        scale = 2.0 ** (31 if form == "s24le" else 8 * size - 1)
    samples = ((values - middle) / scale).astype(np.float32)
    return np.ascontiguousarray(samples.reshape(-1, channels).T)


class FrameBuffer:
    """Bytes in pieces of any length as whole frames.

    Args:
        form: of a sample.
        channels: of a frame.
    """

    def __init__(self, form: SampleFormat, channels: int) -> None:
        self._form: SampleFormat = form
        self._channels = channels
        self._frame = width(form) * channels
        self._rest = b""

    def clear(self) -> None:
        """The next byte begins a frame."""
        self._rest = b""

    def add(self, data: bytes) -> Samples:
        """The whole frames that are there now, ``(C, T)``; T may be 0."""
        data = self._rest + data
        whole = len(data) - len(data) % self._frame
        self._rest = data[whole:]
        return to_samples(data[:whole], self._form, self._channels)
