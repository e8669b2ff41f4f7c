"""From a file to blocks of samples, whatever its container, with what its header had wrong.

Which container a file is says its content (`kinds`). How much sound it holds is taken from what is
there, with the header as one witness: where both agree, or differ by less than `SLACK_S`, the sound
is used, where the header promises more the file is cut short and refused.
"""

import mmap
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from audio_anomaly_detector.data import coded, containers
from audio_anomaly_detector.data.decoder_noise import decoder_noise
from audio_anomaly_detector.data.kinds import (
    NOT_AUDIO,
    AudioInfo,
    Kind,
    audio_kind,
    what_else,
)
from audio_anomaly_detector.data.media import open_media
from audio_anomaly_detector.errors import ClipError

# What may be missing at the end without a word against the rest: no score depends on it.
SLACK_S = 0.01
# What the files of one take may differ in length by: recorders close them one after the other.
_TAKE_SLACK_S = 0.1
# Sound below cannot be told apart from a slow log of values, and none is recorded beyond.
MIN_RATE, MAX_RATE = 1000, 10_000_000
MAX_CHANNELS = 128

_MPEG_SUFFIXES = (".mp3", ".mp2")
_BLOCK = 1 << 21  # samples of all channels that are decoded at once
_AGAIN = "copy or record it again, or delete it"
_FLAC = re.compile(rb"fLaC[\0\x80]\0\0\x22")  # begins a FLAC: in one pass, for files can be large
_WIDTHS = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}


@dataclass(frozen=True)
class Sound:
    """A file's sound.

    Args:
        path: the file.
        info: what it is.
        remarks: what is unusual about the file.
        heard: what its decoder complains about, filled while it is read.
        decode: blocks ``(n, channels of the file)`` of so many frames from a first one.
        slack: frames that may be missing at the end.
    """

    path: Path
    info: AudioInfo
    remarks: list[str]
    heard: list[str]
    decode: Callable[[int, int], Iterator[np.ndarray]]
    slack: int = 0

    def blocks(self, first: int, frames: int) -> Iterator[np.ndarray]:
        """Decode in blocks ``(n, channels)``, `frames` in all.

        Raises:
            ClipError: it cannot be decoded to its end.
        """
        done, rate = 0, self.info.sample_rate
        try:
            for block in self.decode(first, frames):
                if len(block) == 0:
                    break
                done += len(block)
                yield block
        except (soundfile.SoundFileError, OSError) as error:
            raise ClipError(
                self.path,
                "is damaged or cut short: it cannot be decoded beyond "
                f"{(first + done) / rate:.2f} s",
                _AGAIN,
            ) from error
        if done < frames - self.slack or not done:
            raise ClipError(
                self.path,
                f"is cut short: {(first + done) / rate:.2f} s can be decoded of "
                f"{(first + frames) / rate:.2f} s that its header declares",
                _AGAIN,
            )


def open_sound(path: Path) -> Sound:
    """Find out what a file holds, and how to read it.

    Args:
        path: the file, of any suffix.

    Returns:
        What it is, remarks, and its decoder.

    Raises:
        ClipError: it is missing, unreadable, empty, no audio, cut short, or has a rate or number
            of channels that no recording has.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ClipError(path, "is not a file", "give an audio file")
        if status.st_size == 0:
            raise ClipError(path, "is empty", "record or copy it again, or delete it")
        with path.open("rb") as stream:
            head = stream.read(1024)
            kind = audio_kind(head)
            if kind is None and path.suffix.lower() in _MPEG_SUFFIXES:
                kind = _cut_mpeg(path, head, status.st_size)
            if kind is None:
                other = what_else(head)
                raise ClipError(path, other.what, other.remedy)
            sound = _open_kind(path, kind, stream, status.st_size)
    except OSError as error:
        raise ClipError(
            path, f"cannot be read ({error.strerror})", "check that it exists and may be read"
        ) from error
    except soundfile.SoundFileError as error:
        # libsndfile's own reason is left to the traceback: for a text file it may be "not found".
        raise ClipError(path, NOT_AUDIO.what, NOT_AUDIO.remedy) from error
    _check_plausible(sound)
    return sound


def open_take(files: Sequence[Path]) -> Sound:
    """Open the files of one take as one sound, their channels one after the other.

    Args:
        files: one, or one for each microphone.

    Returns:
        As `open_sound`; of files that differ in length, what all have.

    Raises:
        ClipError: as `open_sound`; or they differ in rate, or in length by more than 0.1 s.
    """
    sounds = [open_sound(file) for file in files]
    first = sounds[0]
    if len(sounds) == 1:
        return first
    rate = first.info.sample_rate
    for sound in sounds:
        if sound.info.sample_rate != rate:
            raise ClipError(
                sound.path,
                f"has {sound.info.sample_rate} Hz, {first.path.name} of the same take {rate} Hz",
                "record the microphones of a take at one rate",
            )
    frames = [sound.info.frames for sound in sounds]
    for sound in sounds:
        if sound.info.frames - min(frames) > _TAKE_SLACK_S * rate:
            raise ClipError(
                sound.path,
                f"lasts {sound.info.seconds:.2f} s, another file of the same take "
                f"{min(frames) / rate:.2f} s",
                "copy the files of the take again, or leave it out",
            )
    info = first.info._replace(
        seconds=min(frames) / rate,
        frames=min(frames),
        channels=sum(sound.info.channels for sound in sounds),
    )
    return Sound(
        first.path,
        info,
        [f"{sound.path.name}: {remark}" for sound in sounds for remark in sound.remarks],
        first.heard,
        partial(_side_by_side, sounds),
        max(sound.slack for sound in sounds),
    )


def _side_by_side(sounds: Sequence[Sound], first: int, frames: int) -> Iterator[np.ndarray]:
    """Blocks of several sounds, joined to blocks of all their channels."""
    rest = [np.empty((0, sound.info.channels), np.float32) for sound in sounds]
    streams = [sound.blocks(first, frames) for sound in sounds]
    while True:
        for at, stream in enumerate(streams):
            if not len(rest[at]):
                rest[at] = next(stream, rest[at])
        ready = min(map(len, rest))
        if not ready:
            return
        yield np.concatenate([part[:ready] for part in rest], axis=1)
        rest = [part[ready:] for part in rest]


def probe(path: Path) -> AudioInfo:
    """Length, rate, channels and sample format of a file; raises `ClipError` like `open_sound`."""
    return open_sound(path).info


def _cut_mpeg(path: Path, head: bytes, size: int) -> Kind | None:
    """MPEG audio that begins within a frame, because it was cut out of a longer file."""
    if what_else(head).what != NOT_AUDIO.what:
        return None
    with _content(path, 0, size) as content:
        counted = coded.count_mpeg(content)
    return Kind("mpeg") if counted is not None and counted.frames > 10 else None


def _check_plausible(sound: Sound) -> None:
    info = sound.info
    if info.frames == 0:
        raise ClipError(
            sound.path,
            "holds no sound (0 samples)",
            "record it again or repair its header, or delete it",
        )
    if not MIN_RATE <= info.sample_rate <= MAX_RATE:
        raise ClipError(
            sound.path,
            f"has a sample rate of {info.sample_rate} Hz; sound is recorded at {MIN_RATE} Hz to "
            f"{MAX_RATE // 1_000_000} MHz",
            "correct the rate in its header, or leave it out",
        )
    if info.channels > MAX_CHANNELS:
        raise ClipError(
            sound.path,
            f"has {info.channels} channels; at most {MAX_CHANNELS} are read",
            "split it, or correct its header",
        )


def _open_kind(path: Path, kind: Kind, stream: BinaryIO, size: int) -> Sound:
    if kind.container == "media":
        return _media(path, kind.media)
    if kind.container == "mpeg":
        return _mpeg(path, 0, size)
    if kind.container == "flac":
        return _flac(path)
    if kind.container == "ogg":
        with _content(path, 0, size) as content:
            problem = coded.ogg_problem(content)
        if "several" in problem:
            raise ClipError(path, f"cannot be read whole: {problem}", "split it, or convert it")
        if problem:
            raise ClipError(path, f"is cut short: {problem}", _AGAIN)
        return _plain(path)
    return _chunked(path, kind, stream, size)


def _chunked(path: Path, kind: Kind, stream: BinaryIO, size: int) -> Sound:
    """A WAV and its relatives: uncompressed sound, or blocks of it, in one region of the file."""
    region = containers.find_region(stream, kind.container, size)
    if region is None or region.start > size:
        return _plain(path)  # a header that libsndfile refuses, or knows better
    present, declared = size - region.start, region.declared
    following = "nothing"
    if declared is not None and declared < present:
        end = region.start + declared
        following = containers.tail(stream, kind.container, end, size)
    unknown = declared is None or (declared == 0 and following in ("sound", "another"))
    if following == "another" and not unknown:
        raise ClipError(
            path,
            "holds more sound behind the end that its header declares (several files in one?)",
            "split it, or convert it",
        )
    trusted = declared is not None and not unknown
    whole = present
    if trusted and following in ("chunks", "padding"):
        whole = declared or 0
    # libsndfile does not know BW64, and reads a W64 to the end of the file whatever it declares.
    as_it_is = not _starts_with(stream, b"BW64")
    as_it_is = as_it_is and (whole == present or kind.container != "w64")
    if region.mpeg:
        sound = _mpeg(path, region.start, min(whole, present))
    elif trusted and declared == whole and as_it_is:
        sound = _plain(path)
    else:
        sound = _plain(path, replace_header(region, whole, size))
    if declared == whole:
        return sound
    rate = _bytes_per_second(sound.info, present)
    if unknown or declared is None:
        said = "its header gives no length (a recorder that lost power, or a pipe?)"
    elif declared > whole:
        if declared - whole > SLACK_S * rate:
            end = region.start + declared
            raise ClipError(
                path, f"is cut short: {declared - whole} of {end} bytes are missing", _AGAIN
            )
        said = f"its header declares {declared - whole} bytes more than there are"
    else:
        said = f"its header declares {declared / rate:.2f} s, but sound goes on behind that"
    remark = f"{said}; all {sound.info.seconds:.2f} s that are there are used"
    return replace(sound, remarks=[remark, *sound.remarks])


def _bytes_per_second(info: AudioInfo, present: int) -> float:
    width = _WIDTHS.get(info.subtype)
    if width is None:  # a codec
        return max(1.0, present / max(info.seconds, 1e-9))
    return float(info.sample_rate * info.channels * width)


def _starts_with(stream: BinaryIO, magic: bytes) -> bool:
    stream.seek(0)
    return stream.read(len(magic)) == magic


Presented = Callable[[BinaryIO], BinaryIO | None]


def replace_header(region: containers.Region, whole: int, size: int) -> Presented:
    """What shows a file with the right size of its sound in its header."""

    def present(stream: BinaryIO) -> BinaryIO | None:
        return containers.corrected(stream, region, whole, size)  # type: ignore[return-value]

    return present


def _mpeg(path: Path, start: int, length: int) -> Sound:
    """MP3 and its relatives, whose frames are counted."""
    with _content(path, start, length) as content:
        counted = coded.count_mpeg(content)
    if counted is None or not counted.frames:
        raise ClipError(path, NOT_AUDIO.what, NOT_AUDIO.remedy)
    declared = counted.declared
    remarks = []
    if declared and declared > counted.frames + 1:
        raise ClipError(
            path,
            f"is cut short: it holds {counted.frames} of {declared} frames that it declares",
            _AGAIN,
        )
    if not declared and not counted.whole:
        raise ClipError(path, "is cut short: it ends within a frame of sound", _AGAIN)
    agrees = declared is not None and 0 <= declared - counted.frames <= 1

    def present(stream: BinaryIO) -> BinaryIO | None:
        end = length - counted.first
        return containers.Spliced(counted.info, stream, start + counted.first, end)  # type: ignore[return-value]

    sound = _plain(path, None if agrees and start == 0 else present, mpeg=True)
    seconds = counted.frames * counted.samples / sound.info.sample_rate
    if not counted.info and not agrees:  # layers I and II, of which libsndfile estimates the length
        if sound.info.frames < counted.frames * counted.samples:
            raise ClipError(path, "does not state its length", "convert it to WAV or FLAC")
        counted_info = sound.info._replace(frames=counted.frames * counted.samples, seconds=seconds)
        sound = replace(sound, info=counted_info)
    if not declared and start == 0:
        remarks.append(f"its header gives no length; {seconds:.2f} s were counted")
    elif not agrees and start == 0:
        promised = (declared or 0) * counted.samples / sound.info.sample_rate
        remarks.append(
            f"its header declares {promised:.2f} s, but sound goes on behind that (several files "
            f"in one?); all {seconds:.2f} s are used"
        )
    if counted.skipped:
        remarks.append(f"{counted.skipped} bytes between its frames are no sound; passed over")
    # A decoder loses what needed frames that were cut off before the first.
    return replace(sound, remarks=remarks, slack=3 * counted.samples)


def _flac(path: Path) -> Sound:
    """A FLAC, whose last frame says where it ends."""
    with _content(path, 0, path.stat().st_size) as content:
        declared, found, _ = coded.flac_length(content)
        joined = _FLAC.search(content, 4) is not None
    if joined:
        raise ClipError(
            path, "holds several FLAC files one after the other", "split it, or convert it"
        )
    if found is None or declared == found:
        return _plain(path)
    if declared is not None and found < declared:
        sound = _plain(path)
        missing = (declared - found) / sound.info.sample_rate
        raise ClipError(
            path,
            f"is cut short: {missing:.2f} s are missing at its end",
            _AGAIN,
        )

    def present(stream: BinaryIO) -> BinaryIO | None:
        stream.seek(0)
        head = coded.flac_with_length(stream.read(42), found)
        return containers.Spliced(head, stream, 42, path.stat().st_size - 42)  # type: ignore[return-value]

    sound = _plain(path, present)
    remark = (
        "its header gives no length"
        if declared is None
        else "its header declares too short a length"
    )
    return replace(sound, remarks=[f"{remark}; all {sound.info.seconds:.2f} s of it are used"])


def _media(path: Path, name: str) -> Sound:
    info, remarks, read = open_media(path, name)

    def decode(first: int, frames: int) -> Iterator[np.ndarray]:
        at = 0
        for block in read():
            piece = block[max(0, first - at) : max(0, first + frames - at)]
            at += len(block)
            if len(piece):
                yield piece
            if at >= first + frames:
                return

    return Sound(path, info, remarks, [], decode)


def _plain(path: Path, present: Presented | None = None, *, mpeg: bool = False) -> Sound:
    """A file that libsndfile reads, as it is or as something presents it."""
    heard: list[str] = []
    with _opened(path, present, heard if mpeg else None) as file:
        info = AudioInfo(
            seconds=file.frames / file.samplerate,
            sample_rate=file.samplerate,
            channels=file.channels,
            frames=file.frames,
            subtype=file.subtype,
        )
    if info.frames > 2**48:  # libsndfile's "unknown": an encoder that wrote into a pipe
        raise ClipError(
            path, "does not state its length", "write it again with an encoder that seeks"
        )

    def decode(first: int, frames: int) -> Iterator[np.ndarray]:
        quiet = heard if mpeg else None
        at_once = max(1, min(10 * info.sample_rate, _BLOCK // info.channels))
        with _opened(path, present, quiet) as file:
            with _noise(quiet):
                file.seek(first)
            done = 0
            while done < frames:
                with _noise(quiet):
                    block = file.read(min(at_once, frames - done), dtype="float32", always_2d=True)
                if len(block) == 0:
                    return
                done += len(block)
                yield block

    return Sound(path, info, [], heard, decode)


def _noise(heard: list[str] | None) -> AbstractContextManager[None]:
    return nullcontext() if heard is None else decoder_noise(heard)


@contextmanager
def _opened(
    path: Path, present: Presented | None, heard: list[str] | None
) -> Iterator[soundfile.SoundFile]:
    with ExitStack() as stack:
        stream = stack.enter_context(path.open("rb"))
        # A descriptor, for by a name's suffix libsndfile would take what it does not know for MPEG.
        source: object = stream.fileno()
        if present is not None:
            shown = present(stream)
            if shown is None:
                raise ClipError(
                    path, "is longer than its kind of file can say", "convert it to RF64 or FLAC"
                )
            source = shown
        with _noise(heard):
            file = stack.enter_context(soundfile.SoundFile(source, closefd=False))
        yield file


@contextmanager
def _content(path: Path, start: int, length: int) -> Iterator[memoryview]:
    """A part of a file's bytes, mapped into memory."""
    with (
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        memoryview(content) as view,
        view[start : start + length] as part,
    ):
        yield part
