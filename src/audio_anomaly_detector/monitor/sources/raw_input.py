"""Raw samples from standard input or a named pipe."""

import os
import stat
import sys
from pathlib import Path

from pydantic import BaseModel, Field

from audio_anomaly_detector.monitor.sources.pcm import FrameBuffer, SampleFormat
from audio_anomaly_detector.monitor.sources.pipes import Pipe
from audio_anomaly_detector.monitor.sources.source import Received, SourceError


class RawInputConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Raw samples that another program writes."""

    raw: str = Field(
        min_length=1, description="'-' for standard input, or the path of a named pipe"
    )
    rate: int = Field(ge=1000, le=1_000_000, description="samples a second of each channel, in Hz")
    channels: int = Field(default=1, ge=1, le=128, description="channels, interleaved")
    format: SampleFormat = Field(
        default="s16le", description="bits and order of bytes of a sample; f: floats"
    )

    def make(self) -> "RawInput":
        """The source."""
        return RawInput(self)


class RawInput:
    """Reads what its config names; standard input ends for good, a named pipe is opened again.

    The writer notices nothing of another connection, so the rest of a frame is kept for the next
    one: a stream of 16 bits that is read from the wrong byte on is loud noise.
    """

    live = True

    def __init__(self, config: RawInputConfig) -> None:
        self._config = config
        self._frames = FrameBuffer(config.format, config.channels)

    def open(self) -> "RawConnection":
        """See `Source`."""
        if self._config.raw == "-":
            try:
                pipe = Pipe(sys.stdin.fileno(), owned=False)
            except (OSError, ValueError, AttributeError) as error:
                raise SourceError(
                    "standard input is closed; pipe the sound into this program"
                ) from error
            return RawConnection(self._config, self._frames, pipe, for_good=True)
        pipe = Pipe(_open_fifo(Path(self._config.raw)))
        return RawConnection(self._config, self._frames, pipe, for_good=False)


class RawConnection:
    """See `Connection`."""

    def __init__(
        self, config: RawInputConfig, frames: FrameBuffer, pipe: Pipe, for_good: bool
    ) -> None:
        self.sample_rate, self.channels = config.rate, config.channels
        self._name, self._pipe, self._for_good = config.raw, pipe, for_good
        self._frames = frames

    def read(self) -> Received | None:
        """See `Connection`."""
        data = self._pipe.read()
        if data:
            return Received(self._frames.add(data))
        if self._pipe.is_closed or self._for_good:
            return None
        self._frames.clear()
        raise SourceError(f"{self._name}: the program that writes the sound has ended; start it")

    def close(self) -> None:
        """See `Connection`."""
        self._pipe.close()


def _open_fifo(path: Path) -> int:
    """Open a named pipe without waiting for what writes to it."""
    try:
        if not stat.S_ISFIFO(path.stat().st_mode):
            raise SourceError(
                f"{path}: is no named pipe; make one with mkfifo, or use 'file:' for a recording"
            )
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise SourceError(
            f"{path}: cannot be opened ({error.strerror}); make it with mkfifo"
        ) from error
