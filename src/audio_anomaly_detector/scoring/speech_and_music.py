"""Speech and music over a machine: pitches that exceed the normal spectrum, and how they move.

A voice glides from frame to frame, a note stays where it is and the next one is another; a machine
holds its tones or changes them slowly.

Constants were set on normal and altered clips of eight ids of MIMII at -6 dB, a milling and a
washing machine (`aad explanations`, microphones 0 and 1) and of eight synthetic machines with
faults of the generator's tuning kind.
"""

from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from audio_anomaly_detector.scoring.recording_spectra import (
    PITCHES,
    VOICE_HOP,
    Floats,
    RecordingSpectra,
)

Heard = Literal["speech", "music"]

# By how much harmonics exceed what lies between them, decades.
_OF_SPEECH, _OF_MUSIC = 0.35, 0.42
_GLIDE = 0.09  # octaves from frame to frame, at most, of one pitch
_STRETCH = 5  # frames of one pitch that tell whether it moves: 64 ms from the first to the last
_STEADY = 0.03  # octaves: less is no movement
# Share of frames whose pitch is held, and of stretches, times the share of stretches that move,
# which is half at least; and how far the furthest three tenths of the frames lie from the usual
# pitch, octaves. At these 98 of 100 real clips with speech as loud as themselves were found, 69
# with speech 6 dB below, and none of 212 normal clips or 160 with a fault.
_HELD, _MOVING, _MOST_MOVE, _INTONATION = 0.03, 0.006, 0.5, 0.04
# Syllables that a recording with speech over it has, in a short one in a second: a word in the hall
# is none of the recording. With fewer a normal clip and one with a fault of 216 others (synthetic,
# seed 8203, faults of the tuning kind) were named.
_SYLLABLES, _SYLLABLES_PER_S = 4, 2.0
# Notes are stretches that do not move. Speech has hardly any, a machine the same ones again and
# again: with a lower strength or fewer of them 1 to 4 of 100 real normal clips had music in them,
# with these none, and 87 of 90 clips of 5 or 10 s with music as loud. One second has no room for
# them.
_CHANGES, _NOTES = 3, 3
_CHANGE = 0.1  # octaves from a note to the next one, whatever the octave
_NOTE_SHARE = 0.05  # of all notes' frames that have the same one of twelve names, at least


def heard_over(power: Floats, normal: Floats, spectra: RecordingSpectra) -> Heard | None:
    """What is heard over a machine.

    Args:
        power: of the clip, by `RecordingSpectra.voice_power`, ``(F, N)``.
        normal: mean power of normal clips, ``(F,)``.
        spectra: at the clip's sample rate.
    """
    excess = np.log10(power / normal[:, None] + 0.05).clip(0, 2.5)
    excess[~spectra.voice_band] = 0
    salience = spectra.harmonics @ excess  # (pitches, N)
    strength = salience.max(0)
    pitch = np.log2(PITCHES[salience.argmax(0)])
    if _is_music(_held(strength > _OF_MUSIC, pitch), pitch):
        return "music"
    return "speech" if _is_speech(_held(strength > _OF_SPEECH, pitch), pitch) else None


def _held(voiced: NDArray[np.bool_], pitch: Floats) -> NDArray[np.bool_]:
    """Whether the pitch of each frame but the last goes on in the next one, ``(N - 1,)``."""
    return np.asarray(voiced[1:] & voiced[:-1] & (np.abs(np.diff(pitch)) < _GLIDE))


def _is_speech(held: NDArray[np.bool_], pitch: Floats) -> bool:
    """Whether enough frames have a pitch that moves.

    Args:
        held: of `_held`.
        pitch: of each frame, octaves, ``(N,)``.
    """
    steps = _STRETCH - 1
    if len(held) < steps:
        return False
    stretches = sliding_window_view(held, steps).all(axis=1)
    if not stretches.any():
        return False
    moving = np.mean(np.abs(pitch[steps:] - pitch[:-steps])[stretches] >= _STEADY)
    if moving < _MOST_MOVE or min(held.mean() / _HELD, stretches.mean() / _MOVING) * moving <= 1:
        return False
    syllables = np.count_nonzero(np.diff(held, prepend=False) & held)
    if syllables < min(_SYLLABLES, _SYLLABLES_PER_S * len(held) * VOICE_HOP):
        return False
    # Octaves are easily confused.
    away = pitch[1:][held] - np.median(pitch[1:][held])
    away -= np.round(away)
    return bool(np.quantile(np.abs(away - np.median(away)), 0.7) > _INTONATION)


def _is_music(held: NDArray[np.bool_], pitch: Floats) -> bool:
    """Whether notes of several pitches follow each other; see `_is_speech`."""
    starts = np.flatnonzero(np.diff(held, prepend=False) & held)
    ends = 1 + np.flatnonzero(np.diff(held, append=False) & held)
    stretches = [pitch[start : end + 1] for start, end in zip(starts, ends, strict=True)]
    notes = [one for one in stretches if len(one) >= _STRETCH and np.ptp(one) < _STEADY]
    middles = [float(np.median(note)) for note in notes]
    changes = [later - earlier for earlier, later in pairwise(middles)]
    if sum(abs(change - round(change)) > _CHANGE for change in changes) < _CHANGES:
        return False
    names = np.round(12 * np.mod(middles, 1)).astype(int) % 12
    frames = np.bincount(names, [len(note) for note in notes], 12)
    return bool(np.count_nonzero(frames >= _NOTE_SHARE * frames.sum()) >= _NOTES)
