"""Which clips hold the same sound: copies, cuts that overlap, several microphones of one take.

After Haitsma and Kalker, "A highly robust audio fingerprinting system" (ISMIR 2002): a word a
frame, whose bits are the signs of how the energy differences of neighbouring bands change from
frame to frame. Such fluctuations are of the moment: two recordings of the same steady or periodic
machine differ in half of the bits, also where tones and rhythm are the same; a copy differs in
few, also after resampling and lossy coding. The frequencies are those that every rate from 8 kHz
on has.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy.fft
import soxr
from numpy.typing import NDArray

Words = NDArray[np.uint32]

_BITS = 24
_RATE = 8000  # Hz; what is above tells copies apart no better
_FRAME = 3000  # samples; long frames that overlap by 96 %, so that any offset of two clips will do
_HOP = 128
_FRAME_S, _HOP_S = _FRAME / _RATE, _HOP / _RATE
_LOW_HZ, _HIGH_HZ = 300.0, 3400.0
_EDGES = np.round(np.geomspace(_LOW_HZ, _HIGH_HZ, _BITS + 2) * _FRAME_S).astype(int)
_WINDOW = np.hanning(_FRAME).astype(np.float32)
_FRAMES_AT_ONCE = 64  # spectra in memory
_LEAST_FRAMES = 30  # of an overlap, half a second beyond one frame
# Standard deviations by which the bits of an overlap agree better than chance. Of 5 real machines
# and the synthetic ones unrelated clips reach 3, and overlaps of 2 s, MP3 and Ogg 9 and more.
_LEAST_Z = 6.0
# Bits in which copies differ at most: a low MP3 rate reaches 0.15. Microphones of a take differ in
# more as a rule, but close ones do not.
_COPY_ERROR_RATE = 0.17
# Equal words that are taken as a hint, neighbours in the sorted list of all words: words that
# very many frames have tell nothing. The first that has a word is always compared: of many copies
# all but the first are left out.
_NEIGHBOURS = 8


class Match(NamedTuple):
    """Two clips with a common part.

    Attributes:
        first: position of the earlier clip.
        second: position of the other.
        start_s: where the second one begins in the time of the first, s; may be negative.
        overlap_s: length of the common part, s.
        is_copy: the same signal; otherwise another microphone heard the same.
    """

    first: int
    second: int
    start_s: float
    overlap_s: float
    is_copy: bool


def fingerprint(waveform: NDArray[np.float32], sample_rate: int) -> Words:
    """Words of a clip, one each 16 ms.

    Args:
        waveform: ``(C, T)``; the mean of the channels is taken.
        sample_rate: Hz; of one below 8000 nothing is said.

    Returns:
        ``(N,)``; 0 where nothing changes. Empty for clips below half a second.
    """
    mono = waveform.mean(axis=0)
    if sample_rate > _RATE:
        mono = soxr.resample(mono, sample_rate, _RATE, quality="LQ")
    if sample_rate < _RATE or len(mono) < _FRAME + _HOP:
        return np.zeros(0, np.uint32)
    frames = np.lib.stride_tricks.sliding_window_view(mono, _FRAME)[::_HOP]
    levels = []
    for begin in range(0, len(frames), _FRAMES_AT_ONCE):
        spectrum = scipy.fft.rfft(frames[begin : begin + _FRAMES_AT_ONCE] * _WINDOW, axis=1)
        spectrum = spectrum[:, : _EDGES[-1]]
        power = spectrum.real**2 + spectrum.imag**2
        bands = np.add.reduceat(power, _EDGES[:-1], axis=1, dtype=np.float64)
        levels.append(np.log(bands + 1e-300))  # (n, bits + 1)
    differences = -np.diff(np.concatenate(levels), axis=1)
    rising = np.diff(differences, axis=0) > 0  # (N, bits)
    words: Words = (rising @ (1 << np.arange(_BITS))).astype(np.uint32)
    return words


def find_matches(words: Sequence[Words]) -> list[Match]:
    """All pairs of clips with a common part of about a second or more.

    Candidates share at least two words at the same offset; for 10 000 clips of 10 s it takes some
    seconds. A pair has one match, the best.

    Args:
        words: of each clip, see `fingerprint`.

    Returns:
        In order of the clips.
    """
    best: dict[tuple[int, int], tuple[float, Match]] = {}
    for first, second, offset in _candidates(words):
        z, match = _compared(words, first, second, offset)
        if z >= _LEAST_Z and z > best.get((first, second), (0.0, None))[0]:
            best[first, second] = z, match
    return [match for _, match in sorted(best.values(), key=lambda found: found[1][:2])]


def _candidates(words: Sequence[Words]) -> Iterator[tuple[int, int, int]]:
    """Pairs of clips, and frames by which the second begins later, that share words."""
    if not words:
        return
    lengths = [len(part) for part in words]
    word = np.concatenate(words)
    clip = np.repeat(np.arange(len(words)), lengths)
    frame = np.concatenate([np.arange(length) for length in lengths]).astype(np.int64)
    # A word that stays for some frames counts once; 0 is silence.
    kept = np.flatnonzero((word != 0) & (np.diff(word, prepend=np.uint32(0)) != 0))
    kept = kept[np.argsort(word[kept], kind="stable")]
    word, clip, frame = word[kept], clip[kept], frame[kept]
    place = np.arange(len(word))
    first = np.searchsorted(word, word)  # of the frames with the same word
    pairs = []
    for distance in range(_NEIGHBOURS + 1):
        if distance == 0:
            equal = place[place - first > _NEIGHBOURS]
            earlier = first[equal]
        else:
            equal = place[place - first >= distance]
            earlier = equal - distance
        later = frame[earlier] - frame[equal]
        pair = np.stack([clip[earlier], clip[equal], later], axis=1)
        pairs.append(
            pair[clip[earlier] != clip[equal]]
        )  # the stable sort keeps earlier clips first
    found, votes = np.unique(np.concatenate(pairs), axis=0, return_counts=True)
    # Offsets of fractions of a frame scatter their votes over two neighbours.
    following = np.zeros(len(found), bool)
    following[:-1] = (found[1:, :2] == found[:-1, :2]).all(axis=1) & (
        found[1:, 2] - found[:-1, 2] == 1
    )
    shared = votes + np.append(votes[1:], 0) * following >= 2
    for one, other, later in found[shared].tolist():
        yield one, other, later
        yield one, other, later + 1


def _compared(words: Sequence[Words], first: int, second: int, offset: int) -> tuple[float, Match]:
    """How clearly two clips agree at an offset, in standard deviations of chance."""
    a, b = words[first], words[second]
    start, end = max(0, offset), min(len(a), len(b) + offset)
    a, b = a[start:end], b[start - offset : end - offset]
    moving = (a != 0) & (b != 0)
    frames = int(moving.sum())
    if frames < _LEAST_FRAMES:
        return 0.0, Match(first, second, 0.0, 0.0, is_copy=False)
    rate = float(np.bitwise_count(a[moving] ^ b[moving]).mean()) / _BITS
    independent = _BITS * frames * _HOP_S / _FRAME_S  # bits: frames overlap
    z = (0.5 - rate) * 2 * math.sqrt(independent)
    overlap = (end - start) * _HOP_S + _FRAME_S
    return z, Match(first, second, offset * _HOP_S, overlap, rate < _COPY_ERROR_RATE)
