"""Whatever ffmpeg can read: network cameras, web radio, capture devices."""

import os
import re
import shutil
import struct
import time
from typing import NamedTuple

from pydantic import BaseModel, Field, field_validator

from audio_anomaly_detector.errors import one_line, without_passwords
from audio_anomaly_detector.monitor.sources.child import Child
from audio_anomaly_detector.monitor.sources.pcm import FrameBuffer
from audio_anomaly_detector.monitor.sources.source import Received, SourceError

_INSTALL = "install ffmpeg (apt install ffmpeg), or give its path as 'program'"
# Cameras' video is not asked for. Over TCP packets that the network loses are sent again; UDP is
# for cameras that know nothing else.
_RTSP = ("-rtsp_flags", "prefer_tcp", "-allowed_media_types", "audio")
# Microseconds of an input that are looked at before the first sound. With ffmpeg's own 5 s an
# MPEG-TS brought sound after 6.0 s, with 1 s after 1.7 s; MP3, AAC and Ogg took 1.5 to 2.4 s.
_ANALYSE = ("-analyzeduration", "1000000")
_MOST_HEADER = 4096
# By what ffmpeg says. Where a camera has no sound no track is asked for, and there is none to play.
_NO_SOUND = "it has no sound: switch it on in the camera, or give another address"
_REMEDIES = {
    "matches no streams": _NO_SOUND,
    "PLAY failed: 454": _NO_SOUND,
    "PLAY failed: 455": _NO_SOUND,
    "401 Unauthorized": "check user and password",
    "404 Not Found": "check the path of the address",
    "Failed to resolve hostname": "check the name of the host and the network",
}


class FfmpegConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """An address, or any other input of ffmpeg."""

    url: str | None = Field(
        default=None,
        min_length=1,
        repr=False,
        description="address, such as rtsp://user:password@host/path or http://host/stream",
    )
    input: str | None = Field(
        default=None,
        min_length=1,
        repr=False,
        description="instead of url: what follows ffmpeg's -i, such as hw:CARD=Device",
    )
    arguments: tuple[str, ...] = Field(
        default=(), repr=False, description="of ffmpeg, before its -i, such as [-f, alsa]"
    )
    rate: int | None = Field(
        default=None, ge=1000, le=1_000_000, description="in Hz; none: that of the source"
    )
    channels: int | None = Field(
        default=None, ge=1, le=128, description="of which to mix; none: those of the source"
    )
    first_sound: float = Field(
        default=6.0, ge=1, le=120, description="seconds that connecting may take"
    )
    live: bool = Field(
        default=True, description="false: a recording, which ends and is read at any speed"
    )
    program: str = Field(default="ffmpeg", description="ffmpeg's name or path")

    @field_validator("url")
    @classmethod
    def _user_is_escaped(cls, url: str | None) -> str | None:
        """In a password that is not escaped ffmpeg would look for the host."""
        address = (url or "").partition("://")[2]
        authority, delimiter, rest = re.split(r"([/?#]|$)", address, maxsplit=1)
        port = authority.rpartition(":")[2]
        has_port = ":" not in authority or authority.endswith("]") or port.isdigit() or not port
        if "@" not in authority and "@" in rest and not has_port:
            raise ValueError(
                f"has {delimiter!r} in its password; write %2F for /, %3F for ? and %23 for #"
            )
        return url

    def make(self) -> "Ffmpeg":
        """The source.

        Raises:
            SourceError: it has both or neither of url and input.
        """
        if (self.url is None) == (self.input is None):
            raise SourceError("an ffmpeg source has either 'url' or 'input'; give one of them")
        return Ffmpeg(self)


class Ffmpeg:
    """Runs one ffmpeg for each connection."""

    def __init__(self, config: FfmpegConfig) -> None:
        self._config, self.live = config, config.live

    def open(self) -> "FfmpegConnection":
        """See `Source`."""
        config = self._config
        if shutil.which(config.program) is None:
            raise SourceError(f"{config.program} is not there; {_INSTALL}")
        source = (config.url or config.input or "").removeprefix("file://").removeprefix("file:")
        # With arguments it may be read as slowly as it sounds, and for ever.
        if config.live and not config.arguments and os.path.isfile(source):  # noqa: PTH113
            raise SourceError(
                f"{shown(config)}: is a recording, which would be heard again and again; write "
                "'file' in place of 'url'"
            )
        return FfmpegConnection(
            Child(command(config), _INSTALL), shown(config), config.live, config.first_sound
        )


class FfmpegConnection:
    """See `Connection`.

    Args:
        child: the running ffmpeg.
        name: of its input, without password.
        live: the end is a failure.
        patience: seconds until the header of the sound must be there.

    Raises:
        SourceError: it ended, or did not bring sound in time.
    """

    def __init__(self, child: Child, name: str, live: bool, patience: float) -> None:
        self._child, self._name, self._live = child, name, live
        try:
            header = self._header(time.monotonic() + patience, patience)
        except BaseException:
            child.close()
            raise
        self.sample_rate, self.channels = header.rate, header.channels
        self._frames = FrameBuffer("f32le", header.channels)

    def read(self) -> Received | None:
        """See `Connection`."""
        data = self._child.output.read()
        if data:
            return Received(self._frames.add(data))
        if self._child.output.is_closed:
            return None
        how = self._child.ended()
        if not self._live and how == "exit status 0":
            return None
        raise self._error(how, "check the source; a recording needs 'live: false'")

    def close(self) -> None:
        """See `Connection`."""
        self._child.close()

    def _error(self, how: str, remedy: str) -> SourceError:
        """That it ended: how, and what to do unless what it said tells more."""
        known = [remedy for said, remedy in _REMEDIES.items() if said in how]
        how = how.replace(f"{self._name}: ", "")
        return SourceError(f"{self._name}: ffmpeg ended ({how}); {[*known, remedy][0]}")

    def _header(self, until: float, patience: float) -> "WavHeader":
        data = b""
        while len(data) < _MOST_HEADER:
            missing = bytes_missing(data)
            if not missing or missing > _MOST_HEADER:
                break
            piece = self._child.output.read_exactly(missing, until)
            data += piece
            if len(piece) == missing:
                continue
            if time.monotonic() >= until:
                said = f" ({self._child.said})" if self._child.said else ""
                raise SourceError(
                    f"{self._name}: no sound within {patience:g} s{said}; check that it runs and "
                    "has sound, or raise 'first_sound'"
                )
            raise self._error(self._child.ended(), "check address and options")
        header = wav_header(data)
        if header is None:
            raise SourceError(f"{self._name}: ffmpeg wrote no WAV; use ffmpeg 4 or later")
        return header


def command(config: FfmpegConfig) -> list[str]:
    """The call of ffmpeg that writes an endless WAV of floats to standard output."""
    source = config.url or config.input or ""
    parts = [config.program, "-nostdin", "-hide_banner", "-loglevel", "error", *_ANALYSE]
    if source.partition("://")[0].lower() in ("rtsp", "rtsps"):
        parts += _RTSP
    parts += [*config.arguments, "-i", source, "-map", "0:a:0", "-vn"]
    if config.rate is not None:
        parts += ["-ar", str(config.rate)]
    if config.channels is not None:
        parts += ["-ac", str(config.channels)]
    return [*parts, "-c:a", "pcm_f32le", "-flush_packets", "1", "-f", "wav", "pipe:1"]


def shown(config: FfmpegConfig) -> str:
    """What the source is called in messages."""
    return without_passwords(one_line(config.url or config.input or ""))


class WavHeader(NamedTuple):
    """Rate in Hz and channels."""

    rate: int
    channels: int


def bytes_missing(data: bytes) -> int:
    """How many bytes to read next of a WAV's header; 0: it is whole, up to the sound."""
    if len(data) < 12:
        return 12 - len(data)
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"data":
            return 0
        at += 8 + size + size % 2
    return at + 8 - len(data)


def wav_header(data: bytes) -> WavHeader | None:
    """What a WAV's header, up to its sound, declares; None: it is none."""
    if data[:4] not in (b"RIFF", b"RF64") or data[8:12] != b"WAVE":
        return None
    at = 12
    while at + 16 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"fmt ":
            _, channels, rate = struct.unpack_from("<HHI", data, at + 8)
            return WavHeader(rate, channels) if rate and channels else None
        at += 8 + size + size % 2
    return None
