"""Noise bands, the whole level, and microphones that are louder or quieter than usual."""

from itertools import combinations

import numpy as np

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


def find_swapped(features: ClipFeatures, usual: UsualSound, seconds: float) -> list[Finding]:
    """Two microphones that were exchanged: each sounds against the others as the other one did.

    Args:
        features: of the part that is explained.
        usual: of the normal clips.
        seconds: length of the part.
    """
    kind = Kind("microphones", 0)
    by_microphone = features.by_microphone  # (C, K)

    def largest(order: list[int]) -> float:
        values: dict[Name, Floats] = {"microphones": by_microphone[order].ravel()}
        return float(usual.deviations(values, kind, seconds).max() / usual.limits[kind])

    order = list(range(len(by_microphone)))
    as_it_is = largest(order)
    if as_it_is <= 1:
        return []
    for first, second in combinations(order, 2):
        exchanged = order.copy()
        exchanged[first], exchanged[second] = second, first
        if largest(exchanged) < min(1.0, SUPPORT * as_it_is):
            text = f"the recording: microphones {first} and {second} seem to be exchanged"
            return [Finding("recording", text)]
    return []
