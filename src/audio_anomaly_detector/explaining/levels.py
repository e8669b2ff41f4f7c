"""Noise bands, the whole level, and microphones that are louder or quieter than usual."""

import math
from itertools import combinations

import numpy as np
from scipy.special import stdtrit

from audio_anomaly_detector.explaining.compared_clip import (
    SUPPORT,
    ComparedClip,
    around,
    band_edges,
    hertz,
)
from audio_anomaly_detector.explaining.explanation import Finding
from audio_anomaly_detector.scoring.clip_features import ClipFeatures, Floats
from audio_anomaly_detector.scoring.usual_sound import Kind, Name, UsualSound, pairs

# One hears no change of level below, and no microphone's gain is steadier.
_LEAST_LEVEL_DB = 1.0
_ALL_BANDS = 0.8  # share of the bands that rise or fall together if the level changed

# Another gain: share of normal clips that are as much louder; standard deviations between normal
# clips by which the level between the lines may change otherwise; and share of the bands that
# change by half as much, as noise of the hall moves them too. Of 80 real clips of MIMII that were
# made 6 dB louder or quieter 78 were named so either way, of 308 normal clips none; but 6 of 40
# with a fault, of a pump that is 2 to 5 dB louder for it. So it has to explain the score, too.
_GAIN_TAIL, _GAIN_APART, _GAIN_ALIKE = 0.0025, 2.6, 0.4

# Exchanged microphones: by how much smaller the mean square deviation is when they are changed
# back, as it is and as a share of what exchanging makes of a usual clip; and the largest share that
# is left of it, and how much. Of 128 clips of MIMII whose microphones were exchanged 64 were named
# so, of 336 as they are and 360 with a fault (80 of MIMII) none; with a share of 0.3 left 80, but
# two real faults.
_SWAPPED_BETTER, _SWAPPED_SHARE, _SWAPPED_LEFT, _SWAPPED_MOST = 0.5, 0.5, 0.2, 2.0


def find_noise_bands(part: ComparedClip) -> list[Finding]:
    """Neighbouring bands whose level between the tones rose or fell.

    Levels count against their mean, so that a rise lowers all the rest: the stronger one is stated.
    """
    signs = {sign: part.standard("bands", sign) for sign in (1, -1)}
    sign = max(signs, key=lambda sign: float(pairs(signs[sign]).max()))
    both = pairs(signs[sign])
    if both.max() <= 1:
        return []
    bands = around(signs[sign] > SUPPORT, int(both.argmax()))
    db = float(np.median((part.values["bands"] - part.usual.values["bands"].centre)[bands]))
    edges = part.grid.band_hz
    return [
        Finding(
            "broadband rise" if sign > 0 else "broadband drop",
            f"noise from {hertz(edges[bands.start])} to {hertz(edges[bands.stop])} is "
            f"{abs(db):.1f} dB {'louder' if sign > 0 else 'quieter'} against the rest than usual",
            strength=float(both.max() * part.limit("bands", sign)),
            limit=part.limit("bands", sign),
            db=db,
            band=band_edges(edges, bands),
        )
    ]


def find_level(part: ComparedClip) -> list[Finding]:
    """A level that changed in nearly all bands."""
    standard = float(part.standard("level", 0)[0])
    db, of_power = (part.values["level"] - part.usual.values["level"].centre).tolist()
    offset = db + part.values["bands"] - part.usual.values["bands"].centre
    alike = np.mean(np.sign(db) * offset > abs(db) / 2)
    # Where a sound was added to a clip that has the same power, the rest is quieter.
    if np.sign(db) * of_power < max(_LEAST_LEVEL_DB, abs(db) / 2):
        return []
    if standard <= 1 or abs(db) < _LEAST_LEVEL_DB or alike < _ALL_BANDS:
        return []
    return [
        Finding(
            "level change",
            f"the whole clip is {abs(db):.1f} dB {'louder' if db > 0 else 'quieter'} than usual",
            strength=standard * part.limit("level", 0),
            limit=part.limit("level", 0),
            db=db,
        )
    ]


def find_microphones(part: ComparedClip) -> list[Finding]:
    """A microphone whose level against the others changed."""
    shape = part.features.by_microphone.shape  # (C, K)
    if shape[0] == 1:
        return []
    standard = part.standard("microphones", 0).reshape(shape)
    if standard.max() <= 1:
        return []
    offset = part.features.by_microphone - part.usual.values["microphones"].centre.reshape(shape)
    microphone, at = np.unravel_index(standard.argmax(), shape)
    sign = np.sign(offset[microphone, at])
    bands = around((standard[microphone] > SUPPORT) & (sign * offset[microphone] > 0), int(at))
    db = float(np.median(offset[microphone, bands]))
    if abs(db) < _LEAST_LEVEL_DB:
        return []
    edges = part.grid.band_hz
    return [
        Finding(
            "microphone differs",
            f"microphone {microphone} is {abs(db):.1f} dB {'louder' if db > 0 else 'quieter'} "
            f"against the others than usual, from {hertz(edges[bands.start])} to "
            f"{hertz(edges[bands.stop])}",
            strength=float(standard.max() * part.limit("microphones", 0)),
            limit=part.limit("microphones", 0),
            db=db,
            band=band_edges(edges, bands),
        )
    ]


def find_gain(
    features: ClipFeatures, usual: UsualSound, seconds: float, groups: int
) -> list[Finding]:
    """Another gain of the recorder: as much louder or quieter everywhere as by its power.

    Args:
        features: of the part that is explained.
        usual: of the normal clips.
        seconds: length of the part.
        groups: independent groups of normal clips.
    """
    kind = Kind("level", 0)
    level = np.array([features.level, features.power])
    _, of_power = usual.deviations({"level": level}, kind, seconds)
    between, power = (level - usual.values["level"].centre).tolist()
    # Student's t: the deviation is known from so many groups.
    limit = stdtrit(groups - 1, 1 - _GAIN_TAIL) * math.sqrt(1 + 1 / groups)
    if of_power <= limit or abs(power) < _LEAST_LEVEL_DB or between * power <= 0:
        return []
    # Between the lines it is as much louder as they are.
    apart = abs(between - power) / usual.values["level"].spread[0]
    offset = between + features.bands - features.level - usual.values["bands"].centre
    alike = np.mean(np.sign(power) * offset > abs(power) / 2)
    if apart >= _GAIN_APART or alike < _GAIN_ALIKE:
        return []
    words = "louder" if power > 0 else "quieter"
    text = f"it is {abs(power):.1f} dB {words} than normal clips all over: was its gain changed?"
    return [Finding("recording", f"the recording: {text}", db=power)]


def find_swapped(features: ClipFeatures, usual: UsualSound, seconds: float) -> list[Finding]:
    """Two microphones that were exchanged: each sounds against the others as the other one did.

    Args:
        features: of the part that is explained.
        usual: of the normal clips.
        seconds: length of the part.
    """
    by_microphone = features.by_microphone  # (C, K)
    centre = usual.values["microphones"].centre.reshape(by_microphone.shape)

    def misfit(levels: Floats, of: list[int]) -> float:
        """Mean square deviation of some microphones."""
        values: dict[Name, Floats] = {"microphones": levels.ravel()}
        standard = usual.deviations(values, Kind("microphones", 0), seconds)
        return float(np.mean(standard.reshape(levels.shape)[of] ** 2))

    for first, second in combinations(range(len(by_microphone)), 2):
        pair = [first, second]
        order = np.arange(len(by_microphone))
        order[pair] = order[pair[::-1]]
        as_it_is = misfit(by_microphone, pair)
        back = misfit(by_microphone[order], pair)
        least = max(_SWAPPED_BETTER, _SWAPPED_SHARE * misfit(centre[order], pair))
        if as_it_is - back > least and back < min(_SWAPPED_MOST, _SWAPPED_LEFT * as_it_is):
            text = f"the recording: microphones {first} and {second} seem to be exchanged"
            return [Finding("recording", text)]
    return []
