"""Impacts and modulation, by the rate of the envelope or by its peaks."""

from dataclasses import dataclass

import numpy as np

from audio_anomaly_detector.explaining.compared_clip import (
    LEAST_DB,
    SUPPORT,
    ComparedClip,
    around,
    as_order,
    band_edges,
    band_words,
    local_peaks,
    per_second,
    refined,
)
from audio_anomaly_detector.explaining.explanation import Finding
from audio_anomaly_detector.explaining.orders import order_of
from audio_anomaly_detector.scoring.clip_features import RATE_TOLERANCE, FeatureGrid, Floats

LEAST_IMPACTS = 3
# A multiple of a rate is looked for at one place, so that less than a limit shows it: standard
# deviations, and a part of the limit.
_MULTIPLE_FROM, _MULTIPLE = 3.0, 0.25
# Multiples of the rate of impacts are nearly as strong as the rate itself, those of a sine are not.
_COMPARABLE = 0.4
# By so much the peaks of sound that swings as a sine rise above its median level at most.
_MOST_OF_SINE_DB = 6.0
_LEAST_SPACING_HZ = 3.0  # of side bands


def find_repetitions(part: ComparedClip) -> list[Finding]:
    """Impacts and modulation, by the rate of the envelope or by its peaks."""
    grid = part.grid
    shape = (len(grid.fast_hz) - 1, len(grid.rate_hz))
    up = part.standard("rates", 1).reshape(shape)
    excess = part.features.rates - part.usual.values["rates"].centre.reshape(shape)
    sharper = part.standard("peaks", 1)
    found = []
    rate = _rate(up, excess, part.limit("rates", 1), grid)
    if rate is not None:
        found.append(_of_rate(part, rate, up, excess))
    elif (sharper > 1).any():
        found += _impacts(part, sharper)
    weaker = part.standard("peaks", -1)
    if not found and (weaker > 1).any():
        at = int(weaker.argmax())
        bands = around(weaker > SUPPORT, at)
        db = float((part.features.peaks - part.usual.values["peaks"].centre)[at])
        found.append(
            Finding(
                "weaker impacts",
                f"impacts are weaker than usual in {band_words(grid.fast_hz, bands)}: {-db:.0f} dB "
                "less above the sound between them",
                strength=float(weaker[at] * part.limit("peaks", -1)),
                limit=part.limit("peaks", -1),
                db=db,
                band=band_edges(grid.fast_hz, bands),
            )
        )
    return found


@dataclass(frozen=True)
class _Rate:
    """A rate that stands out of the envelope.

    Args:
        hz: its fundamental.
        band: number of the fast band where it stands out most.
        at: position among the rates of the line that stands out most.
        multiples: how many of its multiples stand out, too.
        spacing: of its side bands, Hz.
    """

    hz: float
    band: int
    at: int
    multiples: int
    spacing: float | None


def _rate(up: Floats, excess: Floats, limit: float, grid: FeatureGrid) -> _Rate | None:
    """The fundamental rate of the lines that stand out of the envelope; None: none does."""
    eligible = np.where(excess > LEAST_DB, up, 0.0)
    if eligible.max() <= 1:
        return None
    # A rate is that of all bands: one of many has the strongest line by chance.
    together = np.where(up > SUPPORT, excess, 0.0).clip(0).sum(0)  # (R,)
    at = int(np.where(eligible.max(0) > 1, together, 0.0).argmax())
    band = int(eligible[:, at].argmax())
    rates = grid.rate_hz
    step = rates[1] - rates[0]
    carriers = around(up[:, at] > SUPPORT, band)
    # The mean over bands, by how much they carry: in one of many some rate stands out by chance.
    weights = up[carriers, at] ** 2
    strength = np.average(up[carriers], axis=0, weights=weights) * limit  # (R,)
    least = max(_MULTIPLE_FROM, _MULTIPLE * limit)

    def stands_out(hz: float, least: float) -> bool:
        near = np.abs(rates - hz) <= max(step, RATE_TOLERANCE * hz)
        return bool(near.any() and strength[near].max() > least)

    hz = float(refined(rates, together, np.array([at]))[0])
    for divisor in (4, 3, 2):
        # All lower multiples must be there, or any strong line would have a lower fundamental.
        lower = hz / divisor
        if lower >= 2 * step and all(stands_out(k * lower, least) for k in range(1, divisor)):
            hz = lower
            break
    comparable = max(least, _COMPARABLE * float(strength[at]))
    multiples = sum(stands_out(k * hz, comparable) for k in range(2, 6))
    spacing = _side_bands(hz, strength, least, rates)
    return _Rate(hz, band, at, multiples, spacing)


def _side_bands(hz: float, strength: Floats, least: float, rates: Floats) -> float | None:
    """Distance of the two lines that stand out most on either side of a rate; None: there are none.

    Args:
        hz: the rate.
        strength: how each rate stands out, ``(R,)``.
        least: from which on it does.
        rates: Hz, ``(R,)``.
    """
    step = rates[1] - rates[0]
    peaks = local_peaks(strength)
    peaks = peaks[strength[peaks] > least]
    best: tuple[float, float] | None = None
    for above in peaks[(rates[peaks] > hz + _LEAST_SPACING_HZ) & (rates[peaks] < 1.6 * hz)]:
        distance = float(rates[above] - hz)
        below = peaks[np.abs(rates[peaks] - (hz - distance)) <= 1.5 * step]
        weaker = min(float(strength[above]), float(strength[below].max(initial=0.0)))
        if weaker > 0 and (best is None or weaker > best[0]):
            best = weaker, distance
    return None if best is None else best[1]


def _of_rate(part: ComparedClip, rate: _Rate, up: Floats, excess: Floats) -> Finding:
    grid = part.grid
    near = np.abs(grid.rate_hz - rate.hz) <= RATE_TOLERANCE * rate.hz + grid.rate_hz[1] / 100
    near[rate.at] = True
    bands = around(up[:, near].max(1) > SUPPORT, rate.band)
    # A sine makes one line, impacts many multiples of it, or side bands where they pass a load zone
    # (Randall and Antoni, "Rolling element bearing diagnostics - a tutorial", 2011). Where many of
    # them are left out the multiples drown, and loud moments tell them from a sine.
    impacts = rate.multiples >= 2 or rate.spacing is not None or _is_sharp(part, bands)
    order = order_of(rate.hz, part.rates, grid.rate_hz[1] - grid.rate_hz[0])
    where = band_words(grid.fast_hz, bands)
    db = float(excess[rate.band, rate.at])
    if impacts:
        text = f"impacts that repeat {per_second(rate.hz)}, carried by {where}"
    else:
        text = f"the sound swings {per_second(rate.hz)} in {where}"
    text += f": this rate is {db:.0f} dB above normal"
    if rate.spacing is not None:
        text += f", with side bands {rate.spacing:.1f} Hz apart"
    return Finding(
        "repeated impacts" if impacts else "modulation",
        text + as_order(order),
        strength=float(up[rate.band, rate.at] * part.limit("rates", 1)),
        limit=part.limit("rates", 1),
        rate=rate.hz,
        db=db,
        band=band_edges(grid.fast_hz, bands),
        spacing=rate.spacing,
        order=None if order is None else order.label,
    )


def _is_sharp(part: ComparedClip, bands: slice) -> bool:
    """Whether a clip has more loud moments than usual, and peaks that no sine has."""
    sharper = (part.features.peaks - part.usual.values["peaks"].centre)[bands]
    return bool(part.standard("strokes", 1)[0] > 1 and sharper.max() > _MOST_OF_SINE_DB)


def _impacts(part: ComparedClip, sharper: Floats) -> list[Finding]:
    """Impacts without a steady rate; one or two are events."""
    grid, at = part.grid, int(sharper.argmax())
    bands = around(sharper > SUPPORT, at)
    db = float((part.features.peaks - part.usual.values["peaks"].centre)[at])
    times = _impact_times(part.features.envelope[at], grid.envelope_rate)
    if len(times) < LEAST_IMPACTS:
        return []
    text = f"impacts in {band_words(grid.fast_hz, bands)}, {db:.0f} dB sharper than usual"
    return [
        Finding(
            "impacts",
            f"{text}: {len(times)} of them from {part.start + times[0]:.2f} to "
            f"{part.start + times[-1]:.2f} s, at no steady rate",
            strength=float(sharper[at] * part.limit("peaks", 1)),
            limit=part.limit("peaks", 1),
            db=db,
            band=band_edges(grid.fast_hz, bands),
            time=(part.start + float(times[0]), part.start + float(times[-1])),
        )
    ]


def _impact_times(envelope: Floats, rate: float) -> Floats:
    """When a band is nearly as loud as at its loudest thousandth, s; 30 ms apart at least."""
    high = np.partition(envelope, -max(1, len(envelope) // 1000))[-max(1, len(envelope) // 1000)]
    loud = np.flatnonzero(envelope > high / 4)
    first = loud[np.diff(loud, prepend=-len(envelope)) > 0.03 * rate]
    return np.asarray(first / rate)
