"""Which clips hold the same sound: copies, cuts that overlap, several microphones of one take.

After Haitsma and Kalker, "A highly robust audio fingerprinting system" (ISMIR 2002): a word a
frame, whose bits are the signs of how the energy differences of neighbouring bands change from
frame to frame. Such fluctuations are of the moment: two recordings of the same steady or periodic
machine differ in half of the bits, also where tones and rhythm are the same; a copy differs in
few, also after resampling and lossy coding. With little noise between them the strokes of a machine
agree, too, but then at many offsets: a common part does at one only. The frequencies are those that
every rate from 8 kHz on has.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cache
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
_BITS_PER_FRAME = _BITS * _HOP_S / _FRAME_S  # that are independent: frames overlap
_EDGES = np.round(np.geomspace(_LOW_HZ, _HIGH_HZ, _BITS + 2) * _FRAME_S).astype(int)
_WINDOW = np.hanning(_FRAME).astype(np.float32)
_FRAMES_AT_ONCE = 64  # spectra in memory
_APART = math.ceil(_FRAME / _HOP)  # frames that share no sample
_LEAST_FRAMES = 30  # of an overlap, half a second beyond one frame
# Standard deviations by which the bits of an overlap agree better than chance. Of 5 real machines
# and the synthetic ones unrelated clips reach 3, and overlaps of 2 s, MP3 and Ogg 9 and more.
_LEAST_Z = 6.0
# Bits in which copies differ at most: a low MP3 rate reaches 0.15. Microphones of a take differ in
# more as a rule, but close ones do not.
_COPY_ERROR_RATE = 0.17
# How many times as clearly two clips must agree as they do elsewhere, or either does with itself:
# strokes of a machine are alike, and where little noise is between them, so are its takes. Of
# synthetic valves and sliders at -6 to 20 dB 99 % reach 1.3; overlaps of 2 s, MP3 and Ogg 1.5.
_LEAST_ADVANTAGE = 1.5
# Bits in which the same samples differ at most, however much they repeat themselves: half a hop off
# it is 0.056. Takes of synthetic valves without any noise differ in 0.10 and more.
_SAME_ERROR_RATE = 0.06
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
    best: dict[tuple[int, int], _Compared] = {}
    for first, second, offset in _candidates(words):
        found = _compared(words, first, second, offset)
        before = best.get((first, second))
        if found.z >= _LEAST_Z and (before is None or found.rank > before.rank):
            best[first, second] = found
    with_itself = cache(lambda clip: _elsewhere(words[clip], words[clip], 0))

    def stands_out(found: _Compared) -> bool:
        """Whether they agree nowhere else, nor either with itself, about as well."""
        most = found.z / _LEAST_ADVANTAGE
        a, b = found.match[:2]
        return all(with_itself(clip).z(found.frames) <= most for clip in (a, b)) and (
            _elsewhere(words[a], words[b], found.offset).z(found.frames) <= most
        )

    return [
        found.match
        for _, found in sorted(best.items())
        if found.error_rate < _SAME_ERROR_RATE or stands_out(found)
    ]


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


class _Compared(NamedTuple):
    """Two clips at an offset.

    Attributes:
        match: what they have in common, if that is clear.
        offset: by which the second begins later, in frames.
        frames: compared.
        error_rate: share of the bits that differ.
        z: how clearly they agree, in standard deviations of chance.
    """

    match: Match
    offset: int
    frames: int
    error_rate: float
    z: float

    @property
    def rank(self) -> tuple[bool, float]:
        """The best offset is the last in this order.

        A short part that is a copy says more than the rhythm of two whole clips.
        """
        return self.match.is_copy, self.z


def _compared(words: Sequence[Words], first: int, second: int, offset: int) -> _Compared:
    a, b = words[first], words[second]
    start, end = max(0, offset), min(len(a), len(b) + offset)
    a, b = a[start:end], b[start - offset : end - offset]
    moving = (a != 0) & (b != 0)
    frames = int(moving.sum())
    if frames < _LEAST_FRAMES:
        return _Compared(Match(first, second, 0.0, 0.0, is_copy=False), offset, frames, 0.5, 0.0)
    rate = float(np.bitwise_count(a[moving] ^ b[moving]).mean()) / _BITS
    overlap = (end - start) * _HOP_S + _FRAME_S
    match = Match(first, second, offset * _HOP_S, overlap, rate < _COPY_ERROR_RATE)
    z = (1 - 2 * rate) * math.sqrt(frames * _BITS_PER_FRAME)
    return _Compared(match, offset, frames, rate, z)


class _Agreement(NamedTuple):
    """How two clips agree at many offsets.

    Attributes:
        share: from 0 (chance) to 1 (equal), ``(N,)``.
        frames: compared, ``(N,)``.
    """

    share: NDArray[np.float32]
    frames: NDArray[np.float32]

    def z(self, frames: int) -> float:
        """How clearly at most, over so many frames, in standard deviations of chance."""
        independent = np.minimum(self.frames, frames) * _BITS_PER_FRAME
        return float(np.max(self.share * np.sqrt(independent), initial=0.0))


def _elsewhere(a: Words, b: Words, offset: int) -> _Agreement:
    """Compare two clips at all offsets that are a frame or more away from one, by correlation."""
    size = scipy.fft.next_fast_len(len(a) + len(b), real=True)
    product = scipy.fft.rfft(_signs(a), size) * np.conj(scipy.fft.rfft(_signs(b), size))
    offsets = np.arange(1 - len(b), len(a))
    offsets = offsets[np.abs(offsets - offset) >= _APART]
    sums = np.stack([product[:-1].sum(axis=0), product[-1]])
    equal, frames = scipy.fft.irfft(sums, size)[:, offsets]
    enough = frames > _LEAST_FRAMES - 0.5
    return _Agreement(equal[enough] / (_BITS * frames[enough]), frames[enough])


def _signs(words: Words) -> NDArray[np.float32]:
    """Bits as -1 and 1, 0 where nothing changes; last, whether it does: ``(bits + 1, N)``."""
    moving = (words != 0).astype(np.float32)
    bits = (words >> np.arange(_BITS, dtype=np.uint32)[:, None]) & 1
    return np.concatenate([moving * (2 * bits.astype(np.float32) - 1), moving[None]])
