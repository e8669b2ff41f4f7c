"""From a file to a waveform ``(C, T)``: decode, check, pick channels, resample, window.

Everything that can be wrong with a recording is found here and reported in one line (`ClipError`),
so that no other module gets a nan, an empty array or half a file.

A microphone that is dead (constant) while others of the same clip work is kept as it is and
logged, because the detector shall notice a broken sensor. Everything that takes a logarithm of a
channel's power must therefore have a floor. A clip whose chosen channels are all constant is
refused.
"""

import logging
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import soxr
from pydantic import BaseModel, Field, field_validator

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.decoding import Sound, open_take
from audio_anomaly_detector.data.groups import check_rule
from audio_anomaly_detector.data.kinds import AudioInfo
from audio_anomaly_detector.data.signal_checks import SignalCheck, SignalError
from audio_anomaly_detector.errors import ClipError, UserError, one_line

log = logging.getLogger(__name__)

MIN_SECONDS = 1.0
# Samples of all channels that one clip may have at the detector's rate, 256 MiB: 70 minutes of one
# microphone. Scoring takes some four times as much memory.
MAX_SAMPLES = 2**26


class AudioConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How recordings become waveforms and windows."""

    sample_rate: int = Field(
        default=16_000, ge=1000, le=1_000_000, description="rate in Hz that all audio is brought to"
    )
    length: int = Field(
        default=160_000, ge=1024, le=16_777_216, description="samples of one analysis window"
    )
    channels: Literal["all", "mean"] | Annotated[int, Field(ge=0)] = Field(
        default="all", description="every microphone, their mean, or one by its number from 0"
    )
    level: Literal["recorded", "equalised"] = Field(
        default="recorded", description="keep each clip's level, or scale every clip to one RMS"
    )
    equalised_rms: float = Field(
        default=0.05, gt=0, description="that RMS over all channels; full scale is 1"
    )
    scale: float = Field(
        default=1.0,
        gt=0,
        allow_inf_nan=False,
        description="what samples are multiplied by; where it is left at 1, a fit on float "
        "recordings in physical units, far from full scale, sets it to a power of two",
    )
    window_slack: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="share of a window that a clip may be longer without another window: lossy "
        "coders and resamplers pad a 10-s clip by some milliseconds",
    )

    group: str = Field(
        default="auto",
        description="which clips vary together: recording, folder, day, hour (by the time in their "
        "names) or name:REGEX; auto: recording, and blocks of neighbours where these are alike; "
        "folds, thresholds and p-values count groups, not clips",
    )

    @field_validator("group")
    @classmethod
    def _known_rule(cls, rule: str) -> str:
        return check_rule(rule)

    @property
    def window_seconds(self) -> float:
        """Length of an analysis window."""
        return self.length / self.sample_rate


class Reading(NamedTuple):
    """A clip as it was read, with remarks on what is unusual but no reason to refuse it.

    Attributes:
        waveform: ``(C, T)``.
        info: the header.
        remarks: on the file and on its samples, a sentence each.
        faults: those of them that name faults of the recording in its samples.
    """

    waveform: np.ndarray
    info: AudioInfo
    remarks: list[str]
    faults: list[str]


def read_clip(clip: Clip, config: AudioConfig) -> np.ndarray:
    """Read one clip; remarks on what is unusual about it are logged.

    Args:
        clip: the file and the part of it.
        config: rate, channels and level.

    Returns:
        float32 waveform ``(C, T)``, full scale ±1, at `config.sample_rate`, of any length T.

    Raises:
        ClipError: as `examine_clip`.
    """
    reading = examine_clip(clip, config)
    for remark in reading.remarks:
        log.warning("%s: %s", clip.path, remark)
    return reading.waveform


def read_microphones(clip: Clip, config: AudioConfig, microphones: int) -> Reading:
    """Read one clip, with remarks, for a detector that was fitted on a number of microphones.

    Args:
        clip: the file and the part of it.
        config: rate, channels and level.
        microphones: number of channels that the clip must have.

    Returns:
        As `examine_clip`.

    Raises:
        ClipError: the clip cannot be read or has another number of channels.
    """
    return _examine(clip, config, microphones)


def examine_clip(clip: Clip, config: AudioConfig) -> Reading:
    """Read one clip, with its header and remarks on its content.

    Long files are decoded in blocks and, for a cut, only where the cut lies.

    Args:
        clip: the file and the part of it.
        config: rate, channels and level.

    Returns:
        The waveform, the header, and remarks.

    Raises:
        ClipError: for everything that `open_sound` refuses, and if the sound is shorter than 1 s
            (or than the window, if that is shorter still) or too long to be held in memory, cannot
            be decoded to its end, holds nan or infinite samples, is constant in every chosen
            channel, or lacks the chosen channel; and whatever else goes wrong with this clip.
    """
    return _examine(clip, config, None)


def unforeseen(path: Path, error: Exception, what: str = "read") -> ClipError:
    """What nobody foresaw, lack of memory or a fault in a library, as an error of one clip."""
    log.debug("%s: the clip could not be %s", path, what, exc_info=error)
    detail = one_line(error)[:200]
    if isinstance(error, UserError):
        return ClipError(path, f"could not be {what}", detail)
    reason = type(error).__name__ + (f": {detail}" if detail else "")
    return ClipError(path, f"could not be {what} ({reason})", "check the file, or leave it out")


def _examine(clip: Clip, config: AudioConfig, microphones: int | None) -> Reading:
    try:
        return _read(clip, config, microphones)
    except ClipError:
        raise
    except SignalError as error:
        raise ClipError(clip.path, error.problem, error.remedy) from error
    except Exception as error:
        raise unforeseen(clip.path, error) from error


def _read(clip: Clip, config: AudioConfig, microphones: int | None) -> Reading:
    path = clip.path
    sound = open_take(clip.files)
    info = sound.info
    if isinstance(config.channels, int) and config.channels >= info.channels:
        raise ClipError(
            path,
            f"has no channel {config.channels}: it has {info.channels}, counted from 0",
            f"choose --channels all, mean or 0 to {info.channels - 1}",
        )
    channels = info.channels if config.channels == "all" else 1
    if microphones not in (None, channels):
        raise ClipError(
            path,
            f"has {channels} channels, the detector was fitted on {microphones}",
            "score recordings of the same microphones (--join-takes where each has a file of its "
            "own), or fit with --channels mean",
        )
    first, frames = _part(clip, info)
    shortest = min(MIN_SECONDS, config.length / config.sample_rate)
    if frames < shortest * info.sample_rate:
        raise ClipError(
            path,
            f"is too short ({frames} samples, {frames / info.sample_rate:.3g} s)",
            f"give at least {shortest:g} s of sound, or delete it",
        )
    seconds, longest = frames / info.sample_rate, MAX_SAMPLES / channels / config.sample_rate
    if seconds > longest:
        raise ClipError(
            path,
            f"lasts {seconds / 60:.0f} min, too long for one clip (at most {longest / 60:.0f} min "
            f"of {channels} channel(s))",
            "cut it, or name its parts by start and duration in a CSV manifest",
        )
    waveform, faults = _decode(sound, first, frames, config)
    heard = [f"its decoder complains: {line}" for line in sound.heard[:1]]
    if config.level == "equalised":
        waveform = equalise_level(waveform, config.equalised_rms)
    return Reading(waveform, info, [*sound.remarks, *heard, *faults], faults)


def to_windows(waveform: np.ndarray, length: int, slack: float) -> np.ndarray:
    """Cut a waveform into windows of equal length, without losing its end.

    A longer waveform is cut into neighbouring windows, the last of which is moved back to end with
    the waveform (up to `slack` of a window may be left over). A shorter one goes on with its
    mirror image, again and again, which has no jump that the original does not have, but plays
    decaying sounds backwards.

    Args:
        waveform: ``(C, T)``, T ≥ 2.
        length: samples of a window.
        slack: as `AudioConfig.window_slack`.

    Returns:
        float32 windows ``(W, C, length)``.

    Raises:
        ValueError: if there are fewer than 2 samples.
    """
    total = waveform.shape[-1]
    if total < 2:
        raise ValueError(f"a waveform of {total} samples cannot be extended")
    if total < length:
        extended = np.pad(waveform, ((0, 0), (0, length - total)), mode="reflect")
        return extended[None].astype(np.float32, copy=False)  # (1, C, length)
    count = window_count(total, length, slack)
    starts = [i * length for i in range(count - 1)] + [total - length if count > 1 else 0]
    windows = [waveform[:, start : start + length] for start in starts]
    return np.stack(windows).astype(np.float32, copy=False)  # (W, C, length)


def window_count(samples: int, length: int, slack: float) -> int:
    """How many windows hold a clip: ``ceil(samples / length - slack)``.

    In integers, so that an exported graph comes to the same count.

    Args:
        samples: of the clip; no fewer than those of the window, or the count may be 0.
        length: samples of a window.
        slack: as `AudioConfig.window_slack`.
    """
    # The bound of the denominator keeps the products below 2^63 in the graph.
    share = Fraction(slack).limit_denominator(10_000)
    window = share.denominator * length
    return (share.denominator * samples - share.numerator * length + window - 1) // window


def equalise_level(waveform: np.ndarray, level: float) -> np.ndarray:
    """Scale a clip to a fixed RMS by one factor, so that its level holds no information.

    One factor for all channels keeps the differences between microphones.

    Args:
        waveform: ``(C, T)``, not all zero.
        level: the RMS over all channels that it shall have.

    Returns:
        The scaled waveform, float32.

    Raises:
        ValueError: if the waveform is all zero.
    """
    rms = np.sqrt(np.mean(np.square(waveform, dtype=np.float64)))
    if rms == 0:
        raise ValueError("a waveform of zeros has no level to equalise")
    return (waveform * (level / rms)).astype(np.float32)


def _part(clip: Clip, info: AudioInfo) -> tuple[int, int]:
    """First frame and number of frames of the clip within its file."""
    first = round(clip.start * info.sample_rate)
    frames = info.frames - first
    if clip.duration is not None:
        requested = round(clip.duration * info.sample_rate)
        # Durations in a table are rounded; a twentieth of a second too long is no mistake.
        if requested > frames + info.sample_rate // 20:
            frames = -1
        frames = min(frames, requested)
    if frames <= 0:
        end = "its end" if clip.duration is None else f"{clip.start + clip.duration:g} s"
        raise ClipError(
            clip.path,
            f"lasts {info.seconds:.2f} s but is to be read from {clip.start:g} s to {end}",
            "correct start and duration",
        )
    return first, frames


def convert_samples(
    samples: np.ndarray, sample_rate: int, config: AudioConfig
) -> tuple[np.ndarray, list[str]]:
    """Check, choose and resample samples from memory exactly as those of a file.

    Args:
        samples: ``(C, T)``, full scale ±1.
        sample_rate: of them, Hz.
        config: rate, channels and level.

    Returns:
        The waveform ``(C, T)`` at `config.sample_rate`, and faults of the recording, a sentence
        each.

    Raises:
        SignalError: a sample is not finite or absurdly large, or none of the channels moves.
        UserError: there is no such channel.
    """
    channels = len(samples)
    if isinstance(config.channels, int) and config.channels >= channels:
        raise UserError(
            f"there is no channel {config.channels}: the sound has {channels}, counted from 0; "
            f"choose all, mean or 0 to {channels - 1}"
        )
    frames = samples.shape[1]
    info = AudioInfo(frames / sample_rate, sample_rate, channels, frames, "FLOAT")
    waveform, faults = _convert([samples.T], info, 0, config)
    if config.level == "equalised":
        waveform = equalise_level(waveform, config.equalised_rms)
    return waveform, faults


def _decode(
    sound: Sound, first: int, frames: int, config: AudioConfig
) -> tuple[np.ndarray, list[str]]:
    """Decode, check, pick channels and resample block by block: ``(C, T)``, and its faults."""
    return _convert(sound.blocks(first, frames), sound.info, first, config)


def _convert(
    blocks: Iterable[np.ndarray], info: AudioInfo, first: int, config: AudioConfig
) -> tuple[np.ndarray, list[str]]:
    """Check, pick channels and resample blocks ``(n, C)``: ``(C, T)``, and its faults."""
    channels = info.channels if config.channels == "all" else 1
    resampler = None
    if info.sample_rate != config.sample_rate:
        resampler = soxr.ResampleStream(
            info.sample_rate, config.sample_rate, channels, dtype="float32", quality="HQ"
        )
    check = SignalCheck(channels, info.sample_rate, info.subtype, first, config.scale != 1)
    pieces = []
    for block in blocks:  # (n, channels of the file)
        chosen = _choose(block, config.channels)  # (n, C)
        if config.scale != 1:
            chosen = chosen * np.float32(config.scale)
        check.add(chosen)
        pieces.append(chosen if resampler is None else resampler.resample_chunk(chosen))
    if resampler is not None:
        pieces.append(resampler.resample_chunk(np.zeros((0, channels), np.float32), last=True))
    faults = check.remarks()
    waveform = np.empty((channels, sum(map(len, pieces))), np.float32)
    at = 0
    for index, piece in enumerate(pieces):
        waveform[:, at : at + len(piece)] = piece.T
        at += len(piece)
        pieces[index] = piece[:0]  # the memory of long clips is needed once only
    return waveform, faults


def _choose(block: np.ndarray, channels: Literal["all", "mean"] | int) -> np.ndarray:
    """Pick the configured channels of ``(n, channels of the file)``: ``(n, C)``."""
    if channels == "all":
        return block
    if channels == "mean":
        return block.mean(axis=1, keepdims=True)
    return block[:, [channels]]
