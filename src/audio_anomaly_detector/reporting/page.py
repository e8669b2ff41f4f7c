"""The report as one HTML file that needs no other file and no network."""

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from audio_anomaly_detector.errors import printable
from audio_anomaly_detector.files import write_text
from audio_anomaly_detector.metrics.classification import MAX_FPR, Metrics
from audio_anomaly_detector.plotting.pages import data_url, render_page
from audio_anomaly_detector.reporting.content import Report

_SCRIPTS = ("report.js", "recording.js", "threshold.js")
_ROWS = 100  # of the table that browsers without scripts show


class Line(NamedTuple):
    """One line of provenance."""

    name: str
    value: str


def write_report(path: Path, report: Report) -> None:
    """Write the report.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    write_text(path, render_report(report))


def render_report(report: Report) -> str:
    """The report as HTML."""
    style = _resource("report.css")
    script = "\n".join(map(_resource, _SCRIPTS))
    metrics, threshold = report.metrics, report.threshold
    return render_page(
        "reporting",
        "report.html",
        report=report,
        title=printable(report.title),
        notes=_printable([*report.notes, *_cautions(metrics)]),
        outliers=_printable(report.outliers),
        failures=_printable(report.failures),
        problems=_printable(report.problems),
        clip_notes=_printable(report.clip_notes),
        metrics=metrics,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        clips=[clip.to_dict() for clip in report.clips],
        media=[
            {"place": place, "content": clip.media.to_dict()}
            for place, clip in enumerate(report.clips)
            if clip.media is not None
        ],
        plots=[
            {"name": p.name.replace("_", " "), "source": data_url(p.png), "is_wide": p.is_wide}
            for p in report.plots
        ],
        threshold={
            "value": threshold.value if math.isfinite(threshold.value) else None,
            "normal_scores": threshold.normal_scores,
            "steps": [list(step) for step in threshold.steps],
            "clips_per_day": threshold.clips_per_day,
        },
        rows=report.clips[:_ROWS],
        printable=printable,
        provenance={printable(name): _flat(section) for name, section in report.provenance.items()},
    )


def _resource(name: str) -> str:
    """A file of this room."""
    return files("audio_anomaly_detector.reporting").joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """Of what stands between the tags, as a content security policy names it."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _printable(lines: Sequence[str]) -> list[str]:
    return [printable(line) for line in lines]


def _cautions(metrics: Metrics | None) -> list[str]:
    """Limits of metrics of few clips, a sentence each."""
    if metrics is None:
        return []
    cautions = []
    fewest = min(metrics.n_normal, metrics.n_anomalous)
    if 0 < fewest < 20:
        cautions.append(
            f"Only {metrics.n_normal} normal and {metrics.n_anomalous} anomalous clips: the "
            "intervals are wide."
        )
    if 0 < metrics.n_normal < 1 / MAX_FPR and metrics.n_anomalous:
        cautions.append(
            f"pAUC({MAX_FPR}) from {metrics.n_normal} normal clips rests on the one normal with "
            "the highest score."
        )
    return cautions


def _flat(section: Mapping[str, object], prefix: str = "") -> list[Line]:
    """Nested settings as lines named like `--set` names them (part.key)."""
    lines = []
    for name, value in section.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{name}.")
        else:
            lines.append(Line(printable(f"{prefix}{name}"), printable(str(value))))
    return lines
