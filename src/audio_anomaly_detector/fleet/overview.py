"""The overview page of all machine ids: worst first, with their scores and their reports."""

import base64
import csv
import hashlib
import logging
import math
import os
from collections.abc import Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import NamedTuple
from urllib.parse import quote

from markupsafe import Markup

from audio_anomaly_detector.errors import one_line
from audio_anomaly_detector.files import write_text
from audio_anomaly_detector.fleet.jobs import Outcome
from audio_anomaly_detector.fleet.summary import MeanAuroc, mean_aurocs
from audio_anomaly_detector.plotting.pages import render_page
from audio_anomaly_detector.runs.evaluate import REPORT, SCORES

log = logging.getLogger(__name__)

PAGE = "index.html"
# Of a sparkline: bars at most, and its size in CSS pixels, a bar of 60 being two pixels wide.
MOST_BARS, WIDTH, HEIGHT = 60, 120, 26


class Sparkline(NamedTuple):
    """The scores of the test clips in the order of their table, ready for an ``<svg>``.

    Attributes:
        all: outline of the bars of all clips, as an SVG path.
        flagged: of those that are called anomalous; empty if there are none.
        threshold: height of the decision threshold, from the top; None without a finite one.
    """

    all: str
    flagged: str
    threshold: int | None


class Scored(NamedTuple):
    """What the table of scores in a run folder says.

    Attributes:
        n: clips scored.
        n_flagged: clips called anomalous.
        n_differently: clips above the threshold because they are recorded differently.
        highest: score.
        sparkline: of all of them.
    """

    n: int
    n_flagged: int
    n_differently: int
    highest: float
    sparkline: Sparkline


class Row(NamedTuple):
    """One machine id on the page.

    Attributes:
        outcome: of its job.
        folder: its run folder, relative to the page's.
        has_report: whether a report of this outcome lies there.
        scored: its test clips; None if none was scored.
    """

    outcome: Outcome
    folder: str
    has_report: bool
    scored: Scored | None

    @property
    def name(self) -> str:
        """Machine type and id, on one line and printable."""
        parts = (self.outcome.machine_type, self.outcome.machine_id)
        return one_line(" ".join(filter(None, parts))) or "machine without a name"

    @property
    def condition(self) -> str:
        """Likewise."""
        return one_line(self.outcome.condition)

    @property
    def error(self) -> str:
        """Likewise."""
        return one_line(self.outcome.error)

    @property
    def link(self) -> str:
        """Of the report, for an ``href``."""
        return quote(os.fsencode(f"{self.folder}/{REPORT}"))

    @property
    def false_alarms(self) -> tuple[int, int] | None:
        """Normal clips above the threshold, and all normal clips; None without labels."""
        n, rate = self.outcome.n_test_normal, self.outcome.false_alarm_rate
        return None if not n or rate is None else (round(n * rate), n)


class TypeMean(NamedTuple):
    """The ids of one machine type together.

    Attributes:
        auroc: mean over its ids.
        n_failed: ids that failed.
        n_flagged, n_scored: clips called anomalous, and clips scored.
        false_alarms, n_normal: of the clips with labels.
    """

    auroc: MeanAuroc
    n_failed: int
    n_flagged: int
    n_scored: int
    false_alarms: int
    n_normal: int


def overview_row(outcome: Outcome, folder: Path, page: Path) -> Row:
    """What the page shows of an outcome.

    Args:
        outcome: of a job.
        folder: its run folder.
        page: path of the page.
    """
    of_this_outcome = outcome.status != "failed"  # else they may be there from an earlier run
    return Row(
        outcome,
        os.path.relpath(folder, page.parent.absolute()),
        of_this_outcome and (folder / REPORT).is_file(),
        read_scores(folder / SCORES, outcome.threshold) if of_this_outcome else None,
    )


def write_overview(path: Path, rows: Sequence[Row], n_jobs: int) -> None:
    """Write the page as one HTML file that fetches nothing, atomically.

    Args:
        path: of the page.
        rows: of the ids that have an outcome.
        n_jobs: how many ids there are.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    write_text(path, render_overview(rows, n_jobs))


def render_overview(rows: Sequence[Row], n_jobs: int) -> str:
    """Return the page as HTML; see `write_overview`."""
    rows = worst_first(rows)
    script = files(__package__).joinpath("overview.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    means = _type_means(rows)
    aurocs = [mean.auroc.auroc for mean in means if mean.auroc.auroc is not None]
    scored = [row.scored for row in rows if row.scored is not None]
    return render_page(
        "fleet",
        "overview.html",
        rows=rows,
        n_jobs=n_jobs,
        n_failed=sum(mean.n_failed for mean in means),
        n_suspicious=sum(each.n_flagged > 0 for each in scored),
        n_tested=len(scored),
        n_flagged=sum(each.n_flagged for each in scored),
        n_clips=sum(each.n for each in scored),
        n_normal=sum(mean.n_normal for mean in means),
        false_alarms=sum(mean.false_alarms for mean in means),
        means=means,
        auroc=fmean(aurocs) if aurocs else None,
        n_types_with_auroc=len(aurocs),
        width=WIDTH,
        height=HEIGHT,
        script=Markup(script),
        script_hash=digest,
    )


def worst_first(rows: Sequence[Row]) -> list[Row]:
    """Order ids by how much attention they need.

    First those with clips called anomalous, by the share of them, then by the highest score, then
    by AUROC; then those that failed, those without such clips, and those without test clips.
    """

    def key(row: Row) -> tuple[float, ...]:
        scored, auroc = row.scored, row.outcome.auroc
        if scored is None:
            return (1,) if row.outcome.status == "failed" else (3,)
        order = (-scored.n_flagged / scored.n, -scored.highest, 0 if auroc is None else -auroc)
        return (0 if scored.n_flagged else 2, *order)

    return sorted(rows, key=key)


def read_scores(path: Path, threshold: float | None) -> Scored | None:
    """Read the table of scores of a run folder; None if it holds none, or cannot be read.

    Args:
        path: of the table.
        threshold: to draw beside the scores.
    """
    scores, flags, n_differently = [], [], 0
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            lines = csv.reader(file)
            header = next(lines, [])
            names = ("score", "is_anomalous", "recorded_differently")
            score, flag, differently = (header.index(name) for name in names)
            for line in lines:
                if line[score]:  # empty: the clip could not be scored
                    scores.append(float(line[score]))
                    flags.append(line[flag] == "1")
                    n_differently += line[differently] == "1"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, IndexError, csv.Error) as error:
        log.warning("%s: cannot be read (%s); the overview is without it", path, error)
        return None
    if not scores:
        return None
    bars = sparkline(scores, flags, threshold)
    return Scored(len(scores), sum(flags), n_differently, max(scores), bars)


def sparkline(scores: Sequence[float], flags: Sequence[bool], threshold: float | None) -> Sparkline:
    """Draw the scores as bars; where there are too many, a bar is the highest of several clips.

    Args:
        scores: ``(n,)``, at least one.
        flags: ``(n,)`` whether the clip is called anomalous.
        threshold: to be shown among them.
    """
    n = len(scores)
    n_bars = min(n, MOST_BARS)
    edges = [n * bar // n_bars for bar in range(n_bars + 1)]
    parts = [slice(*pair) for pair in pairwise(edges)]
    highest = [max(scores[part]) for part in parts]
    low, high = min(highest), max(highest)
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    span = high - low

    def y(score: float) -> int:
        """From the top; the lowest score still is a bar of three pixels."""
        share = (score - low) / span if span > 0 and math.isfinite(span) else 0.5
        return round(1 + (HEIGHT - 4) * (1 - share))

    tops = [y(score) for score in highest]
    of_flagged = [
        top if any(flags[part]) else HEIGHT for top, part in zip(tops, parts, strict=True)
    ]
    return Sparkline(
        _outline(tops),
        _outline(of_flagged) if any(flags) else "",
        None if threshold is None else y(threshold),
    )


def _outline(tops: Sequence[int]) -> str:
    """The outline of bars side by side that reach from the bottom to these heights."""
    edges = [round(WIDTH * bar / len(tops)) for bar in range(len(tops) + 1)]
    path, last, begin = f"M0 {HEIGHT}", None, 0
    for bar, top in enumerate(tops):
        if top != last:
            path += f"V{top}"
            last = top
        if bar + 1 == len(tops) or tops[bar + 1] != top:
            path += f"h{edges[bar + 1] - begin}"
            begin = edges[bar + 1]
    return f"{path}V{HEIGHT}z"


def _type_means(rows: Sequence[Row]) -> list[TypeMean]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.outcome.machine_type, []).append(row)
    means = []
    for mean in mean_aurocs([row.outcome for row in rows]):
        group = groups[mean.machine_type]
        scored = [row.scored for row in group if row.scored is not None]
        alarms = [row.false_alarms for row in group if row.false_alarms is not None]
        means.append(
            TypeMean(
                mean._replace(machine_type=one_line(mean.machine_type) or "no type"),
                sum(row.outcome.status == "failed" for row in group),
                sum(each.n_flagged for each in scored),
                sum(each.n for each in scored),
                sum(false for false, _ in alarms),
                sum(n for _, n in alarms),
            )
        )
    return means
