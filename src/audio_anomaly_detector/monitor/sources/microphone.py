"""A sound device of this computer, recorded by a process of its own (`capture`)."""

import json
import struct
import sys
import time
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, Field, field_validator

from audio_anomaly_detector.errors import one_line
from audio_anomaly_detector.monitor.sources import capture
from audio_anomaly_detector.monitor.sources.child import Child
from audio_anomaly_detector.monitor.sources.pcm import to_samples
from audio_anomaly_detector.monitor.sources.source import Received, SourceError

_FIRST_SOUND_S = 6.0
_MOST_BLOCK = 2**26  # bytes


class MicrophoneConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A sound device of this computer."""

    microphone: str = Field(
        min_length=1,
        max_length=200,
        description="its name or a part of it, or its USB id such as 0d8c:0014; no number, which "
        "changes when the computer starts",
    )
    rate: int | None = Field(
        default=None, ge=1000, le=1_000_000, description="in Hz; none: the device's own"
    )
    channels: int = Field(default=1, ge=1, le=128, description="of the device, the first ones")

    @field_validator("microphone")
    @classmethod
    def _no_number(cls, name: str) -> str:
        if name.strip().isdigit() or name.startswith(("hw:", "plughw:")):
            raise ValueError(
                "numbers of devices change when the computer starts; give a part of the name, or "
                "the USB id that lsusb shows"
            )
        return name

    def make(self) -> "Microphone":
        """The source."""
        return Microphone(self)


class Microphone:
    """Runs one recording process for each connection."""

    live = True

    def __init__(self, config: MicrophoneConfig) -> None:
        self._config = config

    def open(self) -> "MicrophoneConnection":
        """See `Source`."""
        config = self._config
        command = [sys.executable, "-P", str(Path(capture.__file__)), "--channels"]
        command.append(str(config.channels))
        if config.rate is not None:
            command += ["--rate", str(config.rate)]
        child = Child([*command, "--", config.microphone], "check the installation of Python")
        return MicrophoneConnection(child, one_line(config.microphone))


class _Format(NamedTuple):
    """What the recording process says first."""

    rate: int
    channels: int


class MicrophoneConnection:
    """See `Connection`.

    Args:
        child: the recording process.
        name: of the device in messages.

    Raises:
        SourceError: there is no such device, or it cannot record so.
    """

    def __init__(self, child: Child, name: str) -> None:
        self._child, self._name = child, name
        try:
            self.sample_rate, self.channels = self._format()
        except BaseException:
            child.close()
            raise
        self._data = b""

    def read(self) -> Received | None:
        """See `Connection`."""
        while True:
            if len(self._data) >= 8:
                lost, size = struct.unpack_from("<II", self._data)
                if size > _MOST_BLOCK or size % (4 * self.channels):
                    raise SourceError(f"microphone {self._name}: its recording is garbled")
                if len(self._data) >= 8 + size:
                    block, self._data = self._data[8 : 8 + size], self._data[8 + size :]
                    return Received(to_samples(block, "f32le", self.channels), lost)
            data = self._child.output.read()
            if not data:
                break
            self._data += data
        if self._child.output.is_closed:
            return None
        raise SourceError(f"microphone {self._name}: recording ended ({self._child.ended()})")

    def close(self) -> None:
        """See `Connection`."""
        self._child.close()

    def _format(self) -> _Format:
        until, line = time.monotonic() + _FIRST_SOUND_S, b""
        while not line.endswith(b"\n") and len(line) < 1000:
            piece = self._child.output.read_exactly(1, until)
            if not piece:
                break
            line += piece
        try:
            said = json.loads(line)
            return _Format(int(said["rate"]), int(said["channels"]))
        except (ValueError, TypeError, KeyError) as error:
            if time.monotonic() >= until:
                reason = f"no sound within {_FIRST_SOUND_S:g} s; plug it in again"
            else:
                reason = self._child.ended()
            raise SourceError(f"microphone {self._name}: {reason}") from error
