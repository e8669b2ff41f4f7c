"""Waveforms from memory, checked as strictly as those from files."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audio_anomaly_detector.data.audio import (
    MAX_SAMPLES,
    MIN_SECONDS,
    AudioConfig,
    equalise_level,
)
from audio_anomaly_detector.data.signal_checks import SignalCheck, SignalError
from audio_anomaly_detector.errors import UserError

_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32")


def checked_waveform(
    waveform: ArrayLike, config: AudioConfig, microphones: int
) -> NDArray[np.float32]:
    """A waveform from memory as it would be read from a file.

    Args:
        waveform: ``(C, T)``, or ``(T,)`` of one microphone, at the config's rate: floats in full
            scale ±1 or in the units of the training files, or integers of 8, 16 or 32 bits, which
            are divided by the full scale of their type. A tensor may be on any device.
        config: rate and level.
        microphones: channels that it must have.

    Returns:
        float32 ``(C, T)``.

    Raises:
        UserError: not numbers, another shape or number of channels, too short or too long, not
            finite, absurdly large, or constant in every channel.
    """
    array, subtype = _as_float(waveform)
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2:
        raise UserError(
            f"the waveform has the shape {array.shape}; give (channels, samples) of one clip"
        )
    channels, samples = array.shape
    if channels != microphones:
        swapped = " (it seems to be (samples, channels): give its transpose)"
        raise UserError(
            f"the waveform has {channels} channels, the detector was fitted on {microphones}"
            + swapped * (channels > samples)
        )
    shortest = min(MIN_SECONDS, config.length / config.sample_rate)
    if samples < shortest * config.sample_rate:
        raise UserError(f"the waveform has {samples} samples; give at least {shortest:g} s")
    if array.size > MAX_SAMPLES:
        raise UserError(f"the waveform has {samples} samples, too many for one clip; cut it")
    if config.scale != 1:
        array = array * np.float32(config.scale)
    check = SignalCheck(channels, config.sample_rate, subtype)
    try:
        check.add(array.T)
        check.remarks()
    except SignalError as error:
        raise UserError(f"the waveform {error}") from error
    if config.level == "equalised":
        array = equalise_level(array, config.equalised_rms)
    return np.ascontiguousarray(array, np.float32)


def _as_float(waveform: Any) -> tuple[NDArray[np.float32], str]:
    """Samples as float32, and their sample format."""
    if hasattr(waveform, "detach"):  # a tensor, perhaps with gradients or on a GPU
        waveform = waveform.detach().cpu()
    try:
        array = np.asarray(waveform)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            "the waveform is no array of numbers; give floats (channels, samples)"
        ) from error
    name = array.dtype.name
    if name in _INTEGERS:
        limits = np.iinfo(array.dtype)
        full = float(2 ** (limits.bits - 1))
        offset = 0.0 if limits.min < 0 else full
        scaled = (array.astype(np.float64) - offset) / full
        return scaled.astype(np.float32), {8: "PCM_U8", 16: "PCM_16", 32: "PCM_32"}[limits.bits]
    if array.dtype.kind != "f":
        raise UserError(
            f"the waveform holds {name}; give floats with full scale 1, or integers of 8, 16 or "
            "32 bits"
        )
    with np.errstate(over="ignore"):  # beyond float32: infinite, and refused as such
        return array.astype(np.float32, copy=False), "FLOAT"
