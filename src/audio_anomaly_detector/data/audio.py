"""From a file to a waveform ``(C, T)``: decode, check, pick channels, resample, window.

Everything that can be wrong with a recording is found here and reported in one line (`ClipError`),
so that no other module gets a nan, an empty array or half a file.

A microphone that is dead (constant) while others of the same clip work is kept as it is and
logged, because the detector shall notice a broken sensor. Everything that takes a logarithm of a
channel's power must therefore have a floor. A clip whose chosen channels are all constant is
refused.
"""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import soundfile
import soxr
from pydantic import BaseModel, Field

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.headers import AudioInfo, probe
from audio_anomaly_detector.errors import ClipError

log = logging.getLogger(__name__)

MIN_SECONDS = 1.0

_BLOCK_SECONDS = 10
# One step of 24 bits: a channel that varies less than this over a whole clip counts as constant.
_STILL = 2.0**-23
# Largest sample of 32-bit integers stored as floats; beyond it, squares overflow in float32.
_ABSURD = 2.0**31


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
    window_slack: float = Field(
        default=0.01,
        ge=0,
        lt=1,
        description="share of a window that a clip may be longer without another window: lossy "
        "coders and resamplers pad a 10-s clip by some milliseconds",
    )


class Reading(NamedTuple):
    """A clip as it was read, with remarks on what is unusual but no reason to refuse it."""

    waveform: np.ndarray  # (C, T)
    info: AudioInfo
    remarks: list[str]


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
    reading = examine_clip(clip, config)
    if len(reading.waveform) != microphones:
        raise ClipError(
            clip.path,
            f"has {len(reading.waveform)} channels, the detector was fitted on {microphones}",
            "score recordings of the same microphones, or fit with --channels mean",
        )
    return reading


def examine_clip(clip: Clip, config: AudioConfig) -> Reading:
    """Read one clip, with its header and remarks on its content.

    Long files are decoded in blocks and, for a cut, only where the cut lies.

    Args:
        clip: the file and the part of it.
        config: rate, channels and level.

    Returns:
        The waveform, the header, and remarks.

    Raises:
        ClipError: for everything that `probe` refuses, and if the sound is shorter than 1 s (or
            than the window, if that is shorter still), cannot be decoded to its end, holds nan or
            infinite samples, is constant in every chosen channel, or lacks the chosen channel.
    """
    path = clip.path
    info = probe(path)
    if isinstance(config.channels, int) and config.channels >= info.channels:
        raise ClipError(
            path,
            f"has no channel {config.channels}: it has {info.channels}, counted from 0",
            f"choose --channels all, mean or 0 to {info.channels - 1}",
        )
    first, frames = _part(clip, info)
    shortest = min(MIN_SECONDS, config.length / config.sample_rate)
    if frames < shortest * info.sample_rate:
        raise ClipError(
            path,
            f"is too short ({frames} samples, {frames / info.sample_rate:.3g} s)",
            f"give at least {shortest:g} s of sound, or delete it",
        )
    waveform, remarks = _decode(path, info, first, frames, config)
    if config.level == "equalised":
        waveform = equalise_level(waveform, config.equalised_rms)
    return Reading(waveform, info, remarks)


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


def _decode(
    path: Path, info: AudioInfo, first: int, frames: int, config: AudioConfig
) -> tuple[np.ndarray, list[str]]:
    """Decode, pick channels and resample block by block: ``(C, T)``, and remarks."""
    channels = info.channels if config.channels == "all" else 1
    resampler = None
    if info.sample_rate != config.sample_rate:
        resampler = soxr.ResampleStream(
            info.sample_rate, config.sample_rate, channels, dtype="float32", quality="HQ"
        )
    low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
    pieces, done = [], 0
    for block in _blocks(path, first, frames, info.sample_rate):  # (n, channels of the file)
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if bad.size:
            seconds = (first + done + bad[0]) / info.sample_rate
            raise ClipError(
                path,
                f"holds a nan or infinite sample at {seconds:.3f} s",
                "record or convert it again, or delete it",
            )
        done += len(block)
        chosen = _choose(block, config.channels)  # (n, C)
        low, high = np.minimum(low, chosen.min(axis=0)), np.maximum(high, chosen.max(axis=0))
        if resampler is not None:
            chosen = resampler.resample_chunk(chosen, last=done == frames)
        pieces.append(chosen)
    remarks = _check_signal(path, info, low, high)
    return np.ascontiguousarray(np.concatenate(pieces).T), remarks  # (C, T)


def _choose(block: np.ndarray, channels: Literal["all", "mean"] | int) -> np.ndarray:
    """Pick the configured channels of ``(n, channels of the file)``: ``(n, C)``."""
    if channels == "all":
        return block
    if channels == "mean":
        return block.mean(axis=1, keepdims=True)
    return block[:, [channels]]


def _blocks(path: Path, first: int, frames: int, rate: int) -> Iterator[np.ndarray]:
    """Decode in blocks ``(n, channels)``, which together hold exactly `frames` frames."""
    done = 0
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(first)
            while done < frames:
                count = min(_BLOCK_SECONDS * rate, frames - done)
                block = file.read(count, dtype="float32", always_2d=True)
                if len(block) == 0:
                    break
                done += len(block)
                yield block
    except soundfile.SoundFileError as error:
        raise ClipError(
            path,
            f"is damaged or cut short: it cannot be decoded beyond {(first + done) / rate:.2f} s",
            "copy or record it again, or delete it",
        ) from error
    if done < frames:
        raise ClipError(
            path,
            f"is cut short: {(first + done) / rate:.2f} s can be decoded of "
            f"{(first + frames) / rate:.2f} s that its header declares",
            "copy or record it again, or delete it",
        )


def _check_signal(path: Path, info: AudioInfo, low: np.ndarray, high: np.ndarray) -> list[str]:
    """Refuse or remark on a clip by the extremes ``(C,)`` of its chosen channels."""
    remarks = []
    peak = max(high.max(), -low.min())
    if peak > _ABSURD:
        raise ClipError(
            path,
            f"has samples of {peak:.2g} times full scale",
            "convert it again with samples between -1 and 1",
        )
    if peak > 1 and info.subtype in ("FLOAT", "DOUBLE"):
        remarks.append(f"samples reach {peak:.3g} times full scale; taken as they are")
    still = high - low < _STILL
    if still.all():
        raise ClipError(
            path,
            f"is silent: no sample differs from {low[0]:.3g}" + " in any channel" * (len(low) > 1),
            "check the microphone and cable, choose other --channels, or delete it",
        )
    if still.any():
        dead = ", ".join(str(channel) for channel in np.flatnonzero(still))
        remarks.append(f"channel {dead} does not move; check that microphone")
    return remarks
