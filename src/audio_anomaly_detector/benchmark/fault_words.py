"""Which words are right of which fault.

The table was written from what the generator's faults physically are, before any explanation of a
held-out fault was looked at, and is not changed for what comes of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from audio_anomaly_detector.explaining.explanation import Finding
from audio_anomaly_detector.synthesis.data_set import MachineName
from audio_anomaly_detector.synthesis.fault_figures import FaultFigures

_TOLERANCE = 0.03  # of a rate or frequency that is stated
_TONES = frozenset({"new tone", "stronger tone", "harmonic series"})
_IMPACTS = frozenset({"impacts", "repeated impacts"})
_RATES = frozenset({"repeated impacts", "modulation"})


@dataclass(frozen=True)
class RightWords:
    """What may be said of a fault.

    Args:
        kinds: of findings that are right.
        with_rate: those that are right if their rate is one of the fault's.
        resolution: of the map that shows such a fault.
    """

    kinds: frozenset[str]
    with_rate: frozenset[str]
    resolution: Literal["narrow", "fast"]


def _right(
    resolution: Literal["narrow", "fast"], *kinds: str, with_rate: Sequence[str] = ()
) -> RightWords:
    return RightWords(frozenset(kinds), frozenset(with_rate), resolution)


# A heavy or misaligned shaft: lines at 1, 2 and 3 times its speed, and air or water that swings
# with it as a sine.
_IMBALANCE = _right("narrow", *_TONES, "modulation")
# A pitted race: impacts at a rate with slip, stronger once a turn in the load zone. That the sound
# swings is right of it at either rate.
_BEARING = _right("fast", *_IMPACTS, with_rate=["modulation"])
# A loose part: knocks with bounces, many left out.
_LOOSENED = _right("fast", *_IMPACTS)
# A band of steady noise, an octave wide.
_LEAK = _right("narrow", "broadband rise")
# Less flow, and duller: high bands drop, which by the mean is a rise of the low ones; weaker tones
# of blades or vanes; the flow surges irregularly.
_CLOGGING = _right("narrow", "broadband drop", "broadband rise", "weaker tone", "modulation")

RIGHT: dict[tuple[MachineName, str], RightWords] = {
    ("fan", "imbalance"): _IMBALANCE,
    ("fan", "bearing"): _BEARING,
    ("fan", "clogging"): _CLOGGING,
    ("fan", "loosened"): _LOOSENED,
    # Blade tones rise and swing once a turn: side bands at distances of the shaft's speed.
    ("fan", "bent_blade"): _right("narrow", *_TONES, "modulation"),
    ("pump", "imbalance"): _IMBALANCE,
    ("pump", "bearing"): _BEARING,
    ("pump", "leak"): _LEAK,
    ("pump", "clogging"): _CLOGGING,
    ("pump", "loosened"): _LOOSENED,
    # Collapsing bubbles: high noise in bursts that follow the vanes.
    ("pump", "cavitation"): _right("narrow", "broadband rise", "modulation", *_IMPACTS),
    # A dent that the carriage passes twice a cycle, at distances that are not equal.
    ("slider", "rail_damage"): _right("fast", *_IMPACTS),
    # A squeal, and friction that is louder at high frequencies.
    ("slider", "dry_rail"): _right("narrow", *_TONES, "broadband rise"),
    ("slider", "loosened"): _LOOSENED,
    # The rollers turn at the speed of the carriage, which stops twice a cycle.
    ("slider", "bearing"): _BEARING,
    # Friction in gusts of some hundredths of a second, louder on the whole when severe.
    ("slider", "dirt"): _right("fast", "impacts", "modulation", "broadband rise"),
    # Strokes that are left out.
    ("valve", "missing"): _right("fast", "missing strokes", "changed cycle", "pause"),
    # Strokes as strong as usual, but late.
    ("valve", "late"): _right("fast", "changed cycle"),
    # Clicks that are faint and duller.
    ("valve", "weak"): _right("fast", "weaker strokes", "weaker impacts"),
    ("valve", "leak"): _LEAK,
    # Without flow there is less hiss while the valve is open.
    ("valve", "clogging"): _right("narrow", "broadband drop", "level change"),
    # Three more clicks within a tenth of a second after each opening.
    ("valve", "bounce"): _right("fast", *_IMPACTS),
    # Knocks 50 to 200 times a second, many left out, while the valve is open: a buzz.
    ("valve", "chatter"): _right("fast", *_IMPACTS, with_rate=["modulation"]),
}

# What the kinds of the package audio-anomaly may stand for, generously.
OTHER_RULES: dict[str, frozenset[str]] = {
    "burst": frozenset({*_IMPACTS, "single event", "modulation", "weaker strokes"}),
    "tonal": frozenset({*_TONES, "weaker tone"}),
    "level_rise": frozenset({"broadband rise", "level change", "modulation"}),
    "level_drop": frozenset(
        {"broadband drop", "level change", "pause", "missing strokes", "weaker impacts"}
    ),
    "dropout": frozenset({"broadband drop", "pause", "missing strokes"}),
    "clipping": frozenset(),
}


def words_against(
    findings: Sequence[Finding], right: RightWords, figures: FaultFigures
) -> Iterator[tuple[str, bool]]:
    """How the findings of a clip agree with its fault, by quantity.

    Args:
        findings: the strongest first.
        right: what may be said of the fault.
        figures: its rates and frequencies.
    """
    fits = [finding for finding in findings if is_right(finding, right, figures)]
    yield "right kind", bool(fits)
    yield "right kind first", bool(fits) and fits[0] is findings[0]
    yield "nothing said", not findings
    if figures.steady:
        yield "right figure", any(has_right_figure(finding, figures) for finding in fits)
    stated = [finding for finding in fits if stated_figure(finding) is not None]
    if stated and (figures.rates or figures.tones):
        yield "right of stated figures", has_right_figure(stated[0], figures)


def is_right(finding: Finding, right: RightWords, figures: FaultFigures) -> bool:
    """Whether a finding is of a kind that is right of the fault."""
    if finding.kind in right.with_rate:
        return has_right_figure(finding, figures)
    return finding.kind in right.kinds


def has_right_figure(finding: Finding, figures: FaultFigures) -> bool:
    """Whether the rate or frequency that is stated is one of the fault's, within 3 %."""
    stated = stated_figure(finding)
    if stated is None:
        return False
    within, known = _TOLERANCE * stated, figures.rates
    if finding.kind in _TONES and figures.tones:
        known = figures.tones
        # Side bands lie as far apart as the rate: with 3 % of a high tone any would be right.
        within = min([within, *(rate / 4 for rate in figures.rates)])
    return any(abs(stated - hz) <= within for hz in known)


def stated_figure(finding: Finding) -> float | None:
    """The rate or frequency of a finding that states one, Hz.

    Not of impacts at no steady rate, nor of strokes: these are counted.
    """
    if finding.kind in _RATES:
        return finding.rate
    return finding.hz if finding.kind in _TONES else None


def is_right_by_other_rules(kind: str, right: RightWords) -> bool:
    """Whether a finding of audio-anomaly may stand for a kind that is right of the fault."""
    return bool(OTHER_RULES[kind] & (right.kinds | right.with_rate))
