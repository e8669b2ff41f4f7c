"""Recordings of phones and browsers: what FFmpeg decodes and libsndfile does not.

M4A, MP4, 3GP, AAC, AMR, WMA and WebM are decoded by PyAV, or where that is not installed by an
`ffmpeg` on the PATH. A file is opened as the one format that its first bytes say, and nothing but
this file: lists of other files or addresses in it are not followed.
"""

import errno
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from audio_anomaly_detector.data.kinds import AudioInfo
from audio_anomaly_detector.errors import ClipError
from audio_anomaly_detector.files import temporary_folder

Reader = Callable[[], Iterator[np.ndarray]]

_PATIENCE_S = 300  # for ffmpeg
_MOST_BYTES = 4 * 10**9  # that ffmpeg may write
# A codec's own delay and padding, which containers count in or not.
_SLACK_S = 0.15


def open_media(path: Path, name: str) -> tuple[AudioInfo, list[str], Reader]:
    """Find out what a file holds, by decoding it once.

    Args:
        path: the file.
        name: FFmpeg's name of its format.

    Returns:
        What it is, remarks, and what decodes it in blocks ``(n, C)``.

    Raises:
        ClipError: it has no sound, is damaged or cut short, or nothing here decodes it.
    """
    try:
        av = import_module("av")
    except ImportError:
        if shutil.which("ffmpeg") is None:
            raise ClipError(
                path,
                "is of a format that phones record (M4A, AAC, AMR, WMA, WebM, ...), for which "
                "PyAV is needed",
                "pip install 'audio-anomaly-detector[media]', or convert it to WAV or FLAC",
            ) from None
        return _open_with_ffmpeg(path, name)
    return _open_with_pyav(path, name, av)


def _open_with_pyav(path: Path, name: str, av: Any) -> tuple[AudioInfo, list[str], Reader]:
    remarks: list[str] = []
    with _container(path, name, av) as container:
        tracks = container.streams.audio
        if not tracks:
            raise ClipError(path, "holds no sound (video without sound?)", "give a recording")
        stream = tracks[0]
        codec = stream.codec_context.name
        if len(tracks) > 1:
            remarks.append(f"has {len(tracks)} tracks of sound; the first is taken")
        seconds = _declared_seconds(container, stream, name)

    def read() -> Iterator[np.ndarray]:
        return _pyav_blocks(path, name, av)

    frames = rate = channels = 0
    for block, rate in _pyav_frames(path, name, av):  # noqa: B007
        frames += len(block)
        channels = block.shape[1]
    if not frames:
        raise ClipError(path, "holds no sound (0 samples)", "record it again, or delete it")
    if seconds is not None and seconds > frames / rate + _SLACK_S:
        raise ClipError(
            path,
            f"is cut short: {frames / rate:.2f} s can be decoded of {seconds:.2f} s that its "
            "header declares",
            "copy or record it again, or delete it",
        )
    if seconds is None and name == "matroska":
        remarks.append(f"its header gives no length; all {frames / rate:.2f} s of it are used")
    return AudioInfo(frames / rate, rate, channels, frames, codec.upper()), remarks, read


def _declared_seconds(container: Any, stream: Any, name: str) -> float | None:
    """Length by the header; None without one, where FFmpeg would only estimate."""
    if name not in ("mov", "matroska", "asf"):
        return None
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / 1e6


class _Source:
    """A file as PyAV reads it: to seek what cannot be is answered, not raised.

    PyAV prints errors of a stream that FFmpeg asks again, and damaged headers name such places.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.read, self.tell, self._stream = stream.read, stream.tell, stream

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file; a negative number, as FFmpeg wants it, where there is no such place."""
        try:
            return self._stream.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -errno.EINVAL


@contextmanager
def _container(path: Path, name: str, av: Any) -> Iterator[Any]:
    """Open a file as one format. As a stream, so that nothing else can be opened through it."""
    with path.open("rb") as stream:
        try:
            with av.open(_Source(stream), format=name) as container:
                yield container
        except (av.error.FFmpegError, ValueError) as error:
            raise ClipError(
                path,
                f"is damaged or cut short: {_reason(error)}",
                "copy or record it again, or delete it",
            ) from error


def _pyav_frames(path: Path, name: str, av: Any) -> Iterator[tuple[np.ndarray, int]]:
    """Blocks ``(n, C)`` of the first track, and their rate."""
    with _container(path, name, av) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        converter = av.AudioResampler(format="fltp")
        kind: tuple[int, int] | None = None
        packets = 0
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise ClipError(
                    path, "is cut short within a packet", "copy or record it again, or delete it"
                )
            packets += packet.size > 0
            for frame in packet.decode():
                now = (frame.sample_rate, frame.layout.nb_channels)
                kind = kind or now
                if now != kind:
                    raise ClipError(
                        path,
                        f"changes within from {kind[0]} Hz, {kind[1]} channel(s) to {now[0]} Hz, "
                        f"{now[1]} channel(s)",
                        "convert it to WAV, or cut it there",
                    )
                for piece in converter.resample(frame):
                    yield np.ascontiguousarray(piece.to_ndarray().T), now[0]
        if packets < stream.frames:
            raise ClipError(
                path,
                f"is cut short: it holds {packets} of {stream.frames} packets of sound",
                "copy or record it again, or delete it",
            )


def _pyav_blocks(path: Path, name: str, av: Any) -> Iterator[np.ndarray]:
    for block, _ in _pyav_frames(path, name, av):
        yield block


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split()).rstrip(".")


def _open_with_ffmpeg(path: Path, name: str) -> tuple[AudioInfo, list[str], Reader]:
    frames = rate = channels = 0
    for block, rate in _ffmpeg_blocks(path, name):  # noqa: B007
        frames += len(block)
        channels = block.shape[1]
    if not frames:
        raise ClipError(path, "holds no sound (0 samples)", "record it again, or delete it")
    info = AudioInfo(frames / rate, rate, channels, frames, name.upper())
    return info, [], lambda: (block for block, _ in _ffmpeg_blocks(path, name))


def _ffmpeg_blocks(path: Path, name: str) -> Iterator[tuple[np.ndarray, int]]:
    """Decode the first track with the program `ffmpeg` to a temporary WAV, and read that."""
    import soundfile  # noqa: PLC0415

    with temporary_folder() as folder:
        wav = folder / "sound.wav"
        command = ["ffmpeg", "-nostdin", "-v", "error", "-threads", "1"]
        command += ["-protocol_whitelist", "file", "-f", name, "-i", f"file:{path.absolute()}"]
        command += ["-map", "0:a:0", "-c:a", "pcm_f32le", "-rf64", "auto", "-fs", str(_MOST_BYTES)]
        command += ["-f", "wav", f"file:{wav}"]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise ClipError(
                path, f"takes ffmpeg longer than {_PATIENCE_S} s", "convert it to WAV, or cut it"
            ) from error
        said = " ".join(done.stderr.decode(errors="replace").split())
        if done.returncode or said or not wav.is_file():
            raise ClipError(
                path,
                f"is damaged, cut short or without sound: ffmpeg says {said[-200:]!r}",
                "copy or record it again, or delete it",
            )
        with soundfile.SoundFile(wav) as file:
            rate = file.samplerate
            while len(block := file.read(1 << 18, dtype="float32", always_2d=True)):
                yield block, rate
