"""Tones that are new, stronger, weaker or missing, and series of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.explaining.compared_clip import (
    LEAST_DB,
    SUPPORT,
    ComparedClip,
    as_order,
    hertz,
    local_peaks,
    refined,
)
from audio_anomaly_detector.explaining.explanation import Finding, FindingKind
from audio_anomaly_detector.explaining.orders import order_of
from audio_anomaly_detector.scoring.clip_features import LINE_TOLERANCE, FeatureGrid, Floats

_MOST_TONES = 3
# A tone that lies by up to this part elsewhere and is about as strong is no other one: machines run
# faster and slower under load.
_MOST_SHIFT, _ALIKE_DB = 0.045, 6.0
_LINE_DB = 6.0  # by which a tone stands out of what surrounds it to be one
_MOST_ORDERS = 8  # of a series
_LEAST_ORDERS = 3


def find_tones(part: ComparedClip) -> list[Finding]:
    """New, stronger and weaker tones; several of one fundamental are a series."""
    grid, lines = part.grid, part.features.lines
    up, usual = part.standard("lines", 1), part.usual.values["lines"].centre
    excess = lines - usual
    at = local_peaks(lines)
    at = at[(up[at] > SUPPORT) & (excess[at] > LEAST_DB) & (lines[at] > _LINE_DB)]
    lost = part.values["lines"] - usual  # of the widest line
    at = np.array([k for k in at if not _is_shifted(grid.line_hz, usual, -lost, k, lines[k])], int)
    found = []
    hz = refined(grid.line_hz, part.features.spectrum, at)
    if (up[at] > 1).any():
        left = np.ones(len(at), bool)
        series = _series(hz, np.minimum(up[at], 2.0), grid)
        if series is not None and (up[at][series.members] > 1).any():
            left[series.members] = False
            found.append(_of_series(part, series, hz, at, excess, up))
        strongest = [k for k in np.argsort(-up[at]) if left[k] and up[at[k]] > 1]
        found += [_tone(part, hz[k], at[k], excess, up) for k in strongest[:_MOST_TONES]]
    down = part.standard("lines", -1)
    weaker = local_peaks(down)
    weaker = weaker[(down[weaker] > 1) & (usual[weaker] > _LINE_DB) & (lost[weaker] < -LEAST_DB)]
    moved = [k for k in weaker if _is_shifted(grid.line_hz, lines, excess, k, usual[k])]
    weaker = np.setdiff1d(weaker, moved)
    for k in _apart(weaker[np.argsort(-down[weaker])], grid.line_hz)[:_MOST_TONES]:
        frequency = float(grid.line_hz[k])
        gone = part.values["lines"][k] < LEAST_DB
        order = order_of(frequency, part.rates, LINE_TOLERANCE * frequency)
        what = "is missing" if gone else "is weaker"
        found.append(
            Finding(
                "weaker tone",
                f"the tone at about {hertz(frequency)} {what}: "
                f"{-lost[k]:.0f} dB below normal{as_order(order)}",
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


def _tone(part: ComparedClip, hz: float, at: int, excess: Floats, up: Floats) -> Finding:
    usual = part.usual.values["lines"].centre[at]
    kind: FindingKind = "stronger tone" if usual > _LINE_DB else "new tone"
    order = order_of(hz, part.rates, _resolution(part.grid, at))
    what = "a tone is stronger than usual" if kind == "stronger tone" else "a new tone"
    return Finding(
        kind,
        f"{what} at {hertz(hz)}: {excess[at]:.0f} dB above normal{as_order(order)}",
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
    part: ComparedClip,
    series: _Series,
    hz: Floats,
    at: NDArray[np.int64],
    excess: Floats,
    up: Floats,
) -> Finding:
    members = at[series.members]
    strongest = members[np.argmax(up[members])]
    db = float(excess[members].max())
    order = order_of(series.fundamental, part.rates, _resolution(part.grid, int(members[0])))
    orders = ", ".join(map(str, series.orders))
    return Finding(
        "harmonic series",
        f"a harmonic series of {hertz(series.fundamental)} (orders {orders}): up to {db:.0f} dB "
        f"above normal{as_order(order)}",
        strength=float(up[strongest] * part.limit("lines", 1)),
        limit=part.limit("lines", 1),
        hz=series.fundamental,
        db=db,
        band=(float(hz[series.members].min()), float(hz[series.members].max())),
        order=None if order is None else order.label,
    )


def _apart(at: NDArray[np.int64], hz: Floats) -> list[int]:
    """Positions without those within the tolerance of an earlier one."""
    kept: list[int] = []
    for k in at.tolist():
        if all(abs(hz[k] - hz[other]) > 2 * LINE_TOLERANCE * hz[k] + 4 for other in kept):
            kept.append(k)
    return kept


def _resolution(grid: FeatureGrid, at: int) -> float:
    """To which a frequency is known, Hz."""
    at = min(at, len(grid.line_hz) - 2)
    return float(grid.line_hz[at + 1] - grid.line_hz[at]) / 2
