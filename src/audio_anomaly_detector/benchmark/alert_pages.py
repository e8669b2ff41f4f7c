"""What the rules for events come to in weeks of watched machines: a page and a table."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.stats import chi2

from audio_anomaly_detector.benchmark.watched_machines import FAULT, LEARNED, Line, pieces_of
from audio_anomaly_detector.benchmark.watched_weeks import (
    EPISODES,
    WINDOW_S,
    Detection,
    Thresholds,
    Told,
    detection,
    draw_fault,
    draw_weeks,
    told_without_fault,
)
from audio_anomaly_detector.files import write_csv, write_text
from audio_anomaly_detector.metrics.intervals import exact_interval
from audio_anomaly_detector.monitor.alert_config import AlertConfig
from audio_anomaly_detector.provenance import PACKAGE
from audio_anomaly_detector.seeding import derive_seed

PAGE, TABLE = "alerts.md", "alerts.csv"
WITHIN = 5  # windows within which a fault is to be told
_WARNED_WITHIN = 30, 1080  # windows: five minutes and three hours
_WEEKS_OF_QUARTER = 13
_BATCH_FINDS = 0.5  # share of the windows of a fault that batch scoring calls anomalous, at least


@dataclass(frozen=True)
class Outcome:
    """What came of one machine and one detector.

    Args:
        machine: its name.
        learned: what the detector learned from.
        weeks: without a fault.
        told: events in these.
        faults: of each, its kind, whether batch scoring finds it, and when it was told.
    """

    machine: str
    learned: str
    weeks: int
    told: list[Told]
    faults: list[tuple[str, bool, Detection]]


def simulate(
    lines: Sequence[Line], weeks: int, seed: int, settings: AlertConfig
) -> Iterator[Outcome]:
    """Put one machine through weeks without a fault, and through each of its faults.

    Args:
        lines: of the machine.
        weeks: for each detector.
        seed: of what happens when.
        settings: rules.
    """
    for learned in LEARNED:
        own = [line for line in lines if line.learned == learned]
        pieces, [first, *_] = pieces_of(own), own
        alarm = first.alarm_threshold
        thresholds = Thresholds(
            first.threshold,
            alarm if isinstance(alarm, float) else None,
            tentative=learned != LEARNED[-1],
        )
        rng = np.random.default_rng(derive_seed(seed, first.machine, learned))
        told = told_without_fault(draw_weeks(pieces, weeks, rng), thresholds, settings)
        faults = [
            (
                fault.kind,
                fault.found >= _BATCH_FINDS,
                detection(draw_fault(pieces["normal"], fault, rng), thresholds, settings),
            )
            for fault in pieces[FAULT]
        ]
        yield Outcome(first.machine, learned, weeks, told, faults)


def write_pages(outcomes: Sequence[Outcome], out: Path, command: str) -> None:
    """Write page and table.

    Args:
        outcomes: of `simulate`, of all machines.
        out: folder.
        command: that made them.

    Raises:
        UserError: they cannot be written.
    """
    write_text(out / PAGE, "\n".join(_page(outcomes, command)))
    rows = [
        [one.machine, one.learned, one.weeks, *counts, kind, batch, *when]
        for one in outcomes
        for counts in [[sum(told.level == level for told in one.told) for level in _LEVELS]]
        for kind, batch, when in one.faults
    ]
    heads = ("machine", "learned", "weeks", *(f"false_{level}s" for level in _LEVELS))
    write_csv(out / TABLE, (*heads, "fault", "batch_finds", *_LEVELS), rows)


_LEVELS = ("notice", "warning", "alarm")


def _page(outcomes: Sequence[Outcome], command: str) -> Iterator[str]:
    machines = len({one.machine for one in outcomes})
    yield "# Alerts\n"
    yield f"    {command}\n"
    yield (
        f"{machines} synthetic machines, windows of {WINDOW_S:.0f} s. A false warning is an event "
        "of a healthy machine that reaches the level warning or alarm; notices are counted apart. "
        "Intervals of 95 % are those of a Poisson distribution. A fault counts as found by batch "
        f"scoring if `aad score` calls half of its windows anomalous, at its usual rate of false "
        f"alarms. Version of the program: {version(PACKAGE)}.\n"
    )
    by_learned = {
        learned: [one for one in outcomes if one.learned == learned] for learned in LEARNED
    }
    yield "## Events of healthy machines\n"
    yield from _healthy(by_learned)
    yield "## By what happened meanwhile\n"
    yield from _causes(by_learned)
    yield "## Faults\n"
    yield from _faults(by_learned)


def _healthy(by_learned: Mapping[str, Sequence[Outcome]]) -> Iterator[str]:
    yield (
        "| learned from | machine-weeks | false warnings a week | false alarms a quarter | "
        "notices a week |"
    )
    yield "|---|---:|---:|---:|---:|"
    for learned, of in by_learned.items():
        weeks = sum(one.weeks for one in of)
        if weeks:
            levels = Counter(told.level for one in of for told in one.told)
            warnings, alarms = levels["warning"] + levels["alarm"], levels["alarm"]
            cells = (
                _rate(warnings, weeks),
                _rate(alarms, weeks / _WEEKS_OF_QUARTER),
                _rate(levels["notice"], weeks),
            )
            yield f"| {learned} | {weeks} | {' | '.join(cells)} |"
    yield ""


def _causes(by_learned: Mapping[str, Sequence[Outcome]]) -> Iterator[str]:
    yield "Warnings and alarms / notices a machine-week.\n"
    yield f"| | a week | {' | '.join(by_learned)} |"
    yield f"|---|---:|{'---:|' * len(by_learned)}"
    for cause in ("normal", *EPISODES):
        often = str(EPISODES[cause].per_week) if cause in EPISODES else ""
        cells = []
        for of in by_learned.values():
            weeks = sum(one.weeks for one in of) or 1
            levels = Counter(told.level for one in of for told in one.told if told.cause == cause)
            warned = levels["warning"] + levels["alarm"]
            cells.append(f"{warned / weeks:.2g} / {levels['notice'] / weeks:.2g}")
        yield f"| {cause} | {often} | {' | '.join(cells)} |"
    yield ""


def _faults(by_learned: Mapping[str, Sequence[Outcome]]) -> Iterator[str]:
    yield (
        f"Of the faults that batch scoring finds, the share that is told within {WITHIN} windows, "
        "as a notice at first, and that of which a warning and an alarm come in time; median "
        "number of windows until the warning.\n"
    )
    yield (
        f"| learned from | faults | found by batch scoring | told within {WITHIN} windows | "
        "warning within 5 min | within 3 h | alarm within 6 h | median |"
    )
    yield f"|---|{'---:|' * 7}"
    for learned, of in by_learned.items():
        faults = [fault for one in of for fault in one.faults]
        found = [when for _, batch, when in faults if batch]
        if found:
            told = sum(when.notice is not None and when.notice <= WITHIN for when in found)
            delays = [when.warning for when in found if when.warning is not None]
            in_time = [sum(delay <= limit for delay in delays) for limit in _WARNED_WITHIN]
            alarms = sum(when.alarm is not None for when in found)
            shares = [_share(count, len(found)) for count in (told, *in_time, alarms)]
            median = f"{np.median(delays):.0f}" if delays else ""
            yield (
                f"| {learned} | {len(faults)} | {len(found)} | {' | '.join(shares)} | {median} |"
            )
    yield ""


def _rate(count: int, units: float) -> str:
    """Events by unit with the exact interval of a Poisson mean (Garwood, 1936)."""
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    high = chi2.ppf(0.975, 2 * count + 2) / 2
    return f"{count / units:.2g} [{low / units:.2g}, {high / units:.2g}]"


def _share(count: int, of: int) -> str:
    low, high = exact_interval(count, of)
    return f"{count / of:.0%} [{low:.0%}, {high:.0%}]"
