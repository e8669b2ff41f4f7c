"""In which ways a clip differs from the machine's normal clips, in words with figures.

Every kind is stated only if the clip deviates by more than normal clips do among themselves
(`UsualSound.limits`). A cause is never named: sound alone does not tell it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.explaining.explanation import Finding, FindingKind
from audio_anomaly_detector.explaining.orders import Order, order_of
from audio_anomaly_detector.scoring.clip_features import (
    LINE_TOLERANCE,
    RATE_TOLERANCE,
    ClipFeatures,
    FeatureGrid,
    Floats,
    feature_grid,
)
from audio_anomaly_detector.scoring.usual_sound import (
    MOST_CYCLE_CHANGE,
    Kind,
    Name,
    UsualSound,
    compared,
    pairs,
)

_MOST = 5  # findings; of more the weaker ones are consequences
_MOST_TONES = 3
# What supports a finding (a harmonic, a neighbouring band) stands out by this part of the limit.
_SUPPORT = 0.5
# A multiple of a rate is looked for at one place, so that less than a limit shows it: standard
# deviations, and a part of the limit.
_MULTIPLE_FROM, _MULTIPLE = 3.0, 0.25
# Multiples of the rate of impacts are nearly as strong as the rate itself, those of a sine are not.
_COMPARABLE = 0.4
_LEAST_DB = 3.0  # by which a tone or rate stands out more or less than usual
# A tone that lies by up to this part elsewhere and is about as strong is no other one: machines run
# faster and slower under load.
_MOST_SHIFT, _ALIKE_DB = 0.045, 6.0
_LINE_DB = 6.0  # by which a tone stands out of what surrounds it to be one
_MOST_ORDERS = 8  # of a series
_LEAST_ORDERS = 3
# One hears no change of level below, and no microphone's gain is steadier.
_LEAST_LEVEL_DB = 1.0
_ALL_BANDS = 0.8  # share of the bands that rise or fall together if the level changed
_STEADY_STROKES_DB = 2.0  # 20 log of their number: a quarter more or less
_LEAST_STROKES_HZ = 0.3
_EQUAL_STROKES_DB = 1.0  # if strokes are to be compared with each other: an eighth
_STEADY_CYCLE = 2.0  # per cent by which the cycles of normal clips differ
_LEAST_CYCLE_CHANGE = 1.0
_MORE = 1.15  # times as many strokes or impacts: one more among a handful is chance
_LEAST_SPACING_HZ = 3.0  # of side bands
_LEAST_IMPACTS = 3
_EVENTS = 2  # as loud moments in a clip: more of them repeat


_REPEATING = ("impacts", "repeated impacts", "modulation")
_OF_MOMENTS = (Kind("burst", 1), Kind("gap", 1))


@dataclass(frozen=True)
class _Part:
    """A clip that is explained.

    Args:
        features: of it.
        usual: of the normal clips.
        values: what is compared.
        seconds: length.
        start: of the part in the clip, s.
        rates: known rates by name, Hz.
        limits: deviation above which a clip stands out, by kind.
    """

    features: ClipFeatures
    usual: UsualSound
    values: dict[Name, Floats]
    seconds: float
    start: float
    rates: Mapping[str, float]
    limits: Mapping[Kind, float]

    @property
    def grid(self) -> FeatureGrid:
        return feature_grid(self.usual.sample_rate)

    def standard(self, name: Name, sign: int) -> Floats:
        """Deviations as parts of the limit, ``(D,)``: above 1 few normal clips lie."""
        kind = Kind(name, sign)
        found = self.usual.deviations(self.values, kind, self.seconds)
        return np.asarray(found / self.limits[kind])

    def limit(self, name: Name, sign: int) -> float:
        return self.limits[Kind(name, sign)]


def find_differences(
    features: ClipFeatures,
    usual: UsualSound,
    seconds: float,
    start: float,
    rates: Mapping[str, float],
    anomalous: bool,
) -> list[Finding]:
    """What differs from the normal clips, the most unusual first.

    Args:
        features: of the part that is explained.
        usual: of the normal clips.
        seconds: length of the part.
        start: where it begins in the clip, s.
        rates: known rates by name, Hz.
        anomalous: its score is that of an anomalous clip.
    """
    limits = usual.limits
    if anomalous:
        # What happens in a hall happens as often beside a faulty machine.
        limits = usual.anomalous_limits | {kind: limits[kind] for kind in _OF_MOMENTS}
    values = compared(features, usual.sample_rate, seconds)
    part = _Part(features, usual, values, seconds, start, rates, limits)
    level = _level(part)
    broadband = [] if level else _broadband(part)
    repetitions = _repetitions(part)
    # A resonance that steady impacts excite shows lines at high multiples of their rate.
    carriers = [one.band for one in repetitions if one.kind == "repeated impacts"]
    tones = [tone for tone in _tones(part) if not any(_within(tone, band) for band in carriers)]
    found = [*tones, *repetitions, *_events(part)]
    named = any(finding.kind in _REPEATING for finding in found)
    found += [*_strokes(part, named), *_cycle(part)]
    # What stands out of louder noise less than usual is not weaker.
    risen = [rise.band for rise in broadband if rise.kind == "broadband rise"]
    found = [finding for finding in found if not any(_hidden(finding, band) for band in risen)]
    found += [*broadband, *level, *_microphones(part)]
    found.sort(key=lambda finding: -finding.strength / finding.limit)
    return found[:_MOST]


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
        if largest(exchanged) < min(1.0, _SUPPORT * as_it_is):
            text = f"the recording: microphones {first} and {second} seem to be exchanged"
            return [Finding("recording", text)]
    return []


def _within(tone: Finding, band: tuple[float, float] | None) -> bool:
    """Whether a tone that is new or stronger lies in a band."""
    hz = tone.hz or 0.0
    return band is not None and tone.kind != "weaker tone" and band[0] < hz < band[1]


def _hidden(finding: Finding, band: tuple[float, float] | None) -> bool:
    """Whether something is weaker only because the noise of a band hides it."""
    if band is None or finding.kind not in ("weaker tone", "weaker impacts"):
        return False
    low, high = finding.band or (finding.hz or 0.0, finding.hz or 0.0)
    return low <= band[1] and high >= band[0]


def _tones(part: _Part) -> list[Finding]:
    """New, stronger and weaker tones; several of one fundamental are a series."""
    grid, lines = part.grid, part.features.lines
    up, usual = part.standard("lines", 1), part.usual.values["lines"].centre
    excess = lines - usual
    at = _local_peaks(lines)
    at = at[(up[at] > _SUPPORT) & (excess[at] > _LEAST_DB) & (lines[at] > _LINE_DB)]
    lost = part.values["lines"] - usual  # of the widest line
    at = np.array([k for k in at if not _is_shifted(grid.line_hz, usual, -lost, k, lines[k])], int)
    found = []
    hz = _refined(grid.line_hz, part.features.spectrum, at)
    if (up[at] > 1).any():
        left = np.ones(len(at), bool)
        series = _series(hz, np.minimum(up[at], 2.0), grid)
        if series is not None and (up[at][series.members] > 1).any():
            left[series.members] = False
            found.append(_of_series(part, series, hz, at, excess, up))
        strongest = [k for k in np.argsort(-up[at]) if left[k] and up[at[k]] > 1]
        found += [_tone(part, hz[k], at[k], excess, up) for k in strongest[:_MOST_TONES]]
    down = part.standard("lines", -1)
    weaker = _local_peaks(down)
    weaker = weaker[(down[weaker] > 1) & (usual[weaker] > _LINE_DB) & (lost[weaker] < -_LEAST_DB)]
    moved = [k for k in weaker if _is_shifted(grid.line_hz, lines, excess, k, usual[k])]
    weaker = np.setdiff1d(weaker, moved)
    for k in _apart(weaker[np.argsort(-down[weaker])], grid.line_hz)[:_MOST_TONES]:
        frequency = float(grid.line_hz[k])
        gone = part.values["lines"][k] < _LEAST_DB
        order = order_of(frequency, part.rates, LINE_TOLERANCE * frequency)
        what = "is missing" if gone else "is weaker"
        found.append(
            Finding(
                "weaker tone",
                f"the tone at about {_hertz(frequency)} {what}: "
                f"{-lost[k]:.0f} dB below normal{_as_order(order)}",
                strength=float(down[k] * part.limit("lines", -1)),
                limit=part.limit("lines", -1),
                hz=frequency,
                db=float(lost[k]),
                order=None if order is None else order.label,
            )
        )
    return found


def _is_shifted(hz: Floats, others: Floats, change: Floats, at: int, line: float) -> bool:
    """Whether a line is found nearby instead, as the machine runs a little faster or slower.

    Args:
        hz: frequencies, ``(G,)``.
        others: lines among which it is looked for, dB, ``(G,)``.
        change: by how much more these stand out than what they are compared with, dB, ``(G,)``.
        at: where the line lies.
        line: by how much it stands out, dB.
    """
    near = np.abs(hz / hz[at] - 1) < _MOST_SHIFT
    alike = near & (others > line - _ALIKE_DB) & (change > _ALIKE_DB)
    return bool(alike.any())


def _tone(part: _Part, hz: float, at: int, excess: Floats, up: Floats) -> Finding:
    usual = part.usual.values["lines"].centre[at]
    kind: FindingKind = "stronger tone" if usual > _LINE_DB else "new tone"
    order = order_of(hz, part.rates, _resolution(part.grid, at))
    what = "a tone is stronger than usual" if kind == "stronger tone" else "a new tone"
    return Finding(
        kind,
        f"{what} at {_hertz(hz)}: {excess[at]:.0f} dB above normal{_as_order(order)}",
        strength=float(up[at] * part.limit("lines", 1)),
        limit=part.limit("lines", 1),
        hz=float(hz),
        db=float(excess[at]),
        order=None if order is None else order.label,
    )


@dataclass(frozen=True)
class _Series:
    """Tones at multiples of a fundamental.

    Args:
        fundamental: Hz.
        orders: of its members.
        members: their positions among the tones.
    """

    fundamental: float
    orders: list[int]
    members: list[int]


def _series(hz: Floats, weight: Floats, grid: FeatureGrid) -> _Series | None:
    """The fundamental of which most tones are multiples; None: of none are three.

    Args:
        hz: of the tones, ascending.
        weight: how far each stands out.
        grid: for the resolution.
    """
    step = grid.line_hz[1] - grid.line_hz[0]
    best: tuple[float, _Series] | None = None
    for tone in hz:
        for divisor in range(1, 4):
            fundamental = tone / divisor
            # Closer multiples than this are one line in the spectrum.
            if fundamental < 4 * step:
                continue
            number = np.round(hz / fundamental)
            off = np.abs(hz - number * fundamental)
            fits = (off <= np.maximum(step, 0.004 * hz)) & (number >= 1) & (number <= _MOST_ORDERS)
            # With tones everywhere some fit by chance.
            fits &= off <= 0.1 * fundamental
            orders = sorted({int(order) for order in number[fits]})
            if len(orders) < _LEAST_ORDERS or len(orders) < 0.6 * orders[-1] or orders[0] > 2:
                continue
            members = np.flatnonzero(fits)
            refined = float(
                np.sum(weight[members] * number[members] * hz[members])
                / np.sum(weight[members] * number[members] ** 2)
            )
            value = float(weight[members].sum()) * len(orders) / orders[-1]
            if best is None or value > best[0]:
                best = value, _Series(refined, orders, members.tolist())
    return None if best is None else best[1]


def _of_series(
    part: _Part, series: _Series, hz: Floats, at: NDArray[np.int64], excess: Floats, up: Floats
) -> Finding:
    members = at[series.members]
    strongest = members[np.argmax(up[members])]
    db = float(excess[members].max())
    order = order_of(series.fundamental, part.rates, _resolution(part.grid, int(members[0])))
    orders = ", ".join(map(str, series.orders))
    return Finding(
        "harmonic series",
        f"a harmonic series of {_hertz(series.fundamental)} (orders {orders}): up to {db:.0f} dB "
        f"above normal{_as_order(order)}",
        strength=float(up[strongest] * part.limit("lines", 1)),
        limit=part.limit("lines", 1),
        hz=series.fundamental,
        db=db,
        band=(float(hz[series.members].min()), float(hz[series.members].max())),
        order=None if order is None else order.label,
    )


def _repetitions(part: _Part) -> list[Finding]:
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
        bands = _around(weaker > _SUPPORT, at)
        db = float((part.features.peaks - part.usual.values["peaks"].centre)[at])
        found.append(
            Finding(
                "weaker impacts",
                f"impacts are weaker than usual in {_band(grid.fast_hz, bands)}: {-db:.0f} dB less "
                "above the sound between them",
                strength=float(weaker[at] * part.limit("peaks", -1)),
                limit=part.limit("peaks", -1),
                db=db,
                band=_edges(grid.fast_hz, bands),
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
    eligible = np.where(excess > _LEAST_DB, up, 0.0)
    if eligible.max() <= 1:
        return None
    # A rate is that of all bands: one of many has the strongest line by chance.
    together = np.where(up > _SUPPORT, excess, 0.0).clip(0).sum(0)  # (R,)
    at = int(np.where(eligible.max(0) > 1, together, 0.0).argmax())
    band = int(eligible[:, at].argmax())
    rates = grid.rate_hz
    step = rates[1] - rates[0]
    carriers = _around(up[:, at] > _SUPPORT, band)
    # The mean over bands, by how much they carry: in one of many some rate stands out by chance.
    weights = up[carriers, at] ** 2
    strength = np.average(up[carriers], axis=0, weights=weights) * limit  # (R,)
    least = max(_MULTIPLE_FROM, _MULTIPLE * limit)

    def stands_out(hz: float, least: float) -> bool:
        near = np.abs(rates - hz) <= max(step, RATE_TOLERANCE * hz)
        return bool(near.any() and strength[near].max() > least)

    hz = float(_refined(rates, together, np.array([at]))[0])
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
    peaks = _local_peaks(strength)
    peaks = peaks[strength[peaks] > least]
    best: tuple[float, float] | None = None
    for above in peaks[(rates[peaks] > hz + _LEAST_SPACING_HZ) & (rates[peaks] < 1.6 * hz)]:
        distance = float(rates[above] - hz)
        below = peaks[np.abs(rates[peaks] - (hz - distance)) <= 1.5 * step]
        weaker = min(float(strength[above]), float(strength[below].max(initial=0.0)))
        if weaker > 0 and (best is None or weaker > best[0]):
            best = weaker, distance
    return None if best is None else best[1]


def _of_rate(part: _Part, rate: _Rate, up: Floats, excess: Floats) -> Finding:
    grid = part.grid
    near = np.abs(grid.rate_hz - rate.hz) <= RATE_TOLERANCE * rate.hz + grid.rate_hz[1] / 100
    near[rate.at] = True
    bands = _around(up[:, near].max(1) > _SUPPORT, rate.band)
    # A sine makes one line, impacts many multiples of it, or side bands where they pass a load zone
    # (Randall and Antoni, "Rolling element bearing diagnostics - a tutorial", 2011). Where many of
    # them are left out the multiples drown, and loud moments tell them from a sine.
    impacts = rate.multiples >= 2 or rate.spacing is not None or _is_sharp(part, bands)
    order = order_of(rate.hz, part.rates, grid.rate_hz[1] - grid.rate_hz[0])
    where = _band(grid.fast_hz, bands)
    db = float(excess[rate.band, rate.at])
    if impacts:
        text = f"impacts that repeat {_per_second(rate.hz)}, carried by {where}"
    else:
        text = f"the sound swings {_per_second(rate.hz)} in {where}"
    text += f": this rate is {db:.0f} dB above normal"
    if rate.spacing is not None:
        text += f", with side bands {rate.spacing:.1f} Hz apart"
    return Finding(
        "repeated impacts" if impacts else "modulation",
        text + _as_order(order),
        strength=float(up[rate.band, rate.at] * part.limit("rates", 1)),
        limit=part.limit("rates", 1),
        rate=rate.hz,
        db=db,
        band=_edges(grid.fast_hz, bands),
        spacing=rate.spacing,
        order=None if order is None else order.label,
    )


def _is_sharp(part: _Part, bands: slice) -> bool:
    """Whether some bands have sharper peaks, or the clip more loud moments, than usual."""
    sharper, moments = part.standard("peaks", 1)[bands], part.standard("strokes", 1)
    return bool(max(sharper.max(), moments.max()) > 1)


def _impacts(part: _Part, sharper: Floats) -> list[Finding]:
    """Impacts without a steady rate; one or two are events."""
    grid, at = part.grid, int(sharper.argmax())
    bands = _around(sharper > _SUPPORT, at)
    db = float((part.features.peaks - part.usual.values["peaks"].centre)[at])
    times = _impact_times(part.features.envelope[at], grid.envelope_rate)
    if len(times) < _LEAST_IMPACTS:
        return []
    text = f"impacts in {_band(grid.fast_hz, bands)}, {db:.0f} dB sharper than usual"
    return [
        Finding(
            "impacts",
            f"{text}: {len(times)} of them from {part.start + times[0]:.2f} to "
            f"{part.start + times[-1]:.2f} s, at no steady rate",
            strength=float(sharper[at] * part.limit("peaks", 1)),
            limit=part.limit("peaks", 1),
            db=db,
            band=_edges(grid.fast_hz, bands),
            time=(part.start + float(times[0]), part.start + float(times[-1])),
        )
    ]


def _impact_times(envelope: Floats, rate: float) -> Floats:
    """When a band is nearly as loud as at its loudest thousandth, s; 30 ms apart at least."""
    high = np.partition(envelope, -max(1, len(envelope) // 1000))[-max(1, len(envelope) // 1000)]
    loud = np.flatnonzero(envelope > high / 4)
    first = loud[np.diff(loud, prepend=-len(envelope)) > 0.03 * rate]
    return np.asarray(first / rate)


def _broadband(part: _Part) -> list[Finding]:
    """Neighbouring bands whose level between the tones rose or fell.

    Levels count against their mean, so that a rise lowers all the rest: the stronger one is stated.
    """
    signs = {sign: part.standard("bands", sign) for sign in (1, -1)}
    sign = max(signs, key=lambda sign: float(pairs(signs[sign]).max()))
    both = pairs(signs[sign])
    if both.max() <= 1:
        return []
    bands = _around(signs[sign] > _SUPPORT, int(both.argmax()))
    db = float(np.median((part.values["bands"] - part.usual.values["bands"].centre)[bands]))
    edges = part.grid.band_hz
    return [
        Finding(
            "broadband rise" if sign > 0 else "broadband drop",
            f"noise from {_hertz(edges[bands.start])} to {_hertz(edges[bands.stop])} is "
            f"{abs(db):.1f} dB {'louder' if sign > 0 else 'quieter'} against the rest than usual",
            strength=float(both.max() * part.limit("bands", sign)),
            limit=part.limit("bands", sign),
            db=db,
            band=_edges(edges, bands),
        )
    ]


def _events(part: _Part) -> list[Finding]:
    """A moment that is much louder or quieter than the rest."""
    grid, moments = part.grid, part.features.moments
    over = moments - np.median(moments, 1, keepdims=True)  # (B, W)
    hop = part.seconds / (moments.shape[1] + 1)
    found = []
    names: tuple[tuple[Name, int], ...] = (("burst", 1), ("gap", -1))
    for name, sign in names:
        standard = part.standard(name, 1)
        if standard.max() <= 1:
            continue
        at = int(standard.argmax())
        course = sign * over[at]
        first = int(course.argmax())
        there = course > course[first] / 2
        separate = int(np.count_nonzero(np.diff(there.astype(int), prepend=0) == 1))
        if separate > _EVENTS:
            continue
        moment = _around(there, first)
        # A moment lasts two steps. The first and the last of several loud ones reach into the event
        # with one; all of a quiet moment is quiet.
        ends = int(sign > 0 and moment.stop - moment.start > 1)
        time = (
            part.start + (moment.start + ends) * hop,
            part.start + (moment.stop + 1 - ends) * hop,
        )
        bands = _around(standard > _SUPPORT, at)
        usually = part.usual.values[name].centre[at]
        text = (
            f"a single event at {time[0]:.1f} to {time[1]:.1f} s in {_band(grid.fast_hz, bands)}: "
            f"{course[first]:.0f} dB above the rest, usually {usually:.0f}"
            if sign > 0
            else f"a pause at {time[0]:.1f} to {time[1]:.1f} s in {_band(grid.fast_hz, bands)}: "
            f"{course[first]:.0f} dB below the rest, usually {usually:.0f}"
        )
        found.append(
            Finding(
                "single event" if sign > 0 else "pause",
                text,
                strength=float(standard[at] * part.limit(name, 1)),
                limit=part.limit(name, 1),
                db=sign * float(course[first]),
                band=_edges(grid.fast_hz, bands),
                time=time,
            )
        )
    return found


def _strokes(part: _Part, named: bool) -> list[Finding]:
    """Strokes that are missing, or more loud moments than usual.

    Args:
        part: the clip.
        named: impacts are among the findings already.
    """
    times, usual = part.features.strokes.times, part.usual.values["strokes"]
    rate, usually = len(times) / part.seconds, 10 ** (float(usual.centre[0]) / 20)
    more, fewer = (float(part.standard("strokes", sign)[0]) for sign in (1, -1))
    if more > 1 and not named and len(times) >= max(_LEAST_IMPACTS, _MORE * usually * part.seconds):
        return [
            Finding(
                "impacts",
                f"more impacts than usual: {rate:.1f} a second, usually {usually:.1f}",
                strength=more * part.limit("strokes", 1),
                limit=part.limit("strokes", 1),
                rate=rate,
            )
        ]
    # A machine works in strokes if its normal clips have about as many of them.
    steady = usual.spread[0] < _STEADY_STROKES_DB and usually > _LEAST_STROKES_HZ
    if not steady:
        return []
    if fewer <= 1 or rate > usually / _MORE:
        # Among knocks that are not the machine's strokes some are weak.
        equal = usual.spread[0] < _EQUAL_STROKES_DB and rate < usually * _MORE
        return _weaker_strokes(part) if equal else []
    edges = np.concatenate([[0.0], times, [part.seconds]])
    longest = int(np.diff(edges).argmax())
    time = part.start + float(edges[longest]), part.start + float(edges[longest + 1])
    return [
        Finding(
            "missing strokes",
            f"fewer strokes than usual: {rate:.1f} a second, usually {usually:.1f}; the longest "
            f"time without any is {time[0]:.1f} to {time[1]:.1f} s",
            strength=fewer * part.limit("strokes", -1),
            limit=part.limit("strokes", -1),
            rate=rate,
            time=time,
        )
    ]


def _cycle(part: _Part) -> list[Finding]:
    """A cycle that takes longer or less long."""
    cycle, usual = part.features.cycle, part.usual.values["cycle"]
    usually = float(np.exp(usual.centre[0] / 100))
    if not cycle or usual.spread[0] > _STEADY_CYCLE:
        return []
    change = 100 * float(np.log(cycle / usually))
    standard = float(part.standard("cycle", 0)[0])
    if standard <= 1 or not _LEAST_CYCLE_CHANGE < abs(change) < MOST_CYCLE_CHANGE:
        return []
    return [
        Finding(
            "changed cycle",
            f"a cycle takes {cycle:.2f} s, {abs(change):.0f} % "
            f"{'more' if change > 0 else 'less'} than usual ({usually:.2f} s)",
            strength=standard * part.limit("cycle", 0),
            limit=part.limit("cycle", 0),
            rate=1 / cycle,
        )
    ]


def _weaker_strokes(part: _Part) -> list[Finding]:
    """Strokes that are weaker against the strongest than usual."""
    standard = part.standard("weaker", 1)
    if standard.max() <= 1:
        return []
    lower, half = standard.reshape(2, -1)
    weakest = np.maximum(lower, half)
    at = int(weakest.argmax())
    bands = _around(weakest > _SUPPORT, at)
    over = (part.values["weaker"] - part.usual.values["weaker"].centre).reshape(2, -1)
    which = int(half[at] > lower[at])
    db = float(over[which, at])
    return [
        Finding(
            "weaker strokes",
            f"{('a part', 'half')[which]} of the strokes is {db:.0f} dB weaker than usual, against "
            f"the strongest, in {_band(part.grid.fast_hz, bands)}",
            strength=float(weakest[at] * part.limit("weaker", 1)),
            limit=part.limit("weaker", 1),
            db=-db,
            band=_edges(part.grid.fast_hz, bands),
        )
    ]


def _level(part: _Part) -> list[Finding]:
    """A level that changed in nearly all bands."""
    standard = float(part.standard("level", 0)[0])
    db = float(part.features.level - part.usual.values["level"].centre[0])
    offset = db + part.values["bands"] - part.usual.values["bands"].centre
    alike = np.mean(np.sign(db) * offset > abs(db) / 2)
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


def _microphones(part: _Part) -> list[Finding]:
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
    bands = _around((standard[microphone] > _SUPPORT) & (sign * offset[microphone] > 0), int(at))
    db = float(np.median(offset[microphone, bands]))
    if abs(db) < _LEAST_LEVEL_DB:
        return []
    edges = part.grid.band_hz
    return [
        Finding(
            "microphone differs",
            f"microphone {microphone} is {abs(db):.1f} dB {'louder' if db > 0 else 'quieter'} "
            f"against the others than usual, from {_hertz(edges[bands.start])} to "
            f"{_hertz(edges[bands.stop])}",
            strength=float(standard.max() * part.limit("microphones", 0)),
            limit=part.limit("microphones", 0),
            db=db,
            band=_edges(edges, bands),
        )
    ]


def _local_peaks(values: Floats) -> NDArray[np.int64]:
    """Positions of values that no neighbour exceeds."""
    ends = np.pad(values, 1, constant_values=-np.inf)
    return np.flatnonzero((values >= ends[:-2]) & (values > ends[2:]))


def _apart(at: NDArray[np.int64], hz: Floats) -> list[int]:
    """Positions without those within the tolerance of an earlier one."""
    kept: list[int] = []
    for k in at.tolist():
        if all(abs(hz[k] - hz[other]) > 2 * LINE_TOLERANCE * hz[k] + 4 for other in kept):
            kept.append(k)
    return kept


def _refined(hz: Floats, level: Floats, at: NDArray[np.int64]) -> Floats:
    """Frequencies of peaks by a parabola through their neighbours, ``(P,)``."""
    inner = at.clip(1, len(level) - 2)
    low, middle, high = level[inner - 1], level[inner], level[inner + 1]
    curvature = np.minimum(low - 2 * middle + high, -1e-9)
    shift = (0.5 * (low - high) / curvature).clip(-0.5, 0.5)
    step = (hz[inner + 1] - hz[inner - 1]) / 2
    return np.asarray(np.where(at == inner, hz[inner] + shift * step, hz[at]))


def _resolution(grid: FeatureGrid, at: int) -> float:
    """To which a frequency is known, Hz."""
    at = min(at, len(grid.line_hz) - 2)
    return float(grid.line_hz[at + 1] - grid.line_hz[at]) / 2


def _around(stands_out: Sequence[bool] | NDArray[np.bool_], at: int) -> slice:
    """The neighbours of a place that stand out without a gap, the place itself in any case."""
    start = stop = at
    while start > 0 and stands_out[start - 1]:
        start -= 1
    while stop < len(stands_out) - 1 and stands_out[stop + 1]:
        stop += 1
    return slice(start, stop + 1)


def _edges(hz: Floats, bands: slice) -> tuple[float, float]:
    return float(hz[bands.start]), float(hz[bands.stop])


def _band(hz: Floats, bands: slice) -> str:
    low, high = _edges(hz, bands)
    return f"{_hertz(low)} to {_hertz(high)}"


def _hertz(value: float) -> str:
    return f"{value / 1000:.2f} kHz" if value >= 1000 else f"{value:.0f} Hz"


def _per_second(rate: float) -> str:
    return f"{rate:.1f} times a second ({60 * rate:.0f} a minute)"


def _as_order(order: Order | None) -> str:
    return "" if order is None else f"; that is {order.words}"
