"""The report of an evaluation: one HTML file that needs no other file and no network."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from audio_anomaly_detector.files import write_text
from audio_anomaly_detector.metrics.classification import MAX_FPR, Metrics
from audio_anomaly_detector.plotting.evaluation_data import EvaluationData
from audio_anomaly_detector.plotting.evaluation_plots import PLOTS
from audio_anomaly_detector.plotting.pages import data_url, render_page
from audio_anomaly_detector.score import shown_p_value

MOST_ROWS = 500
TOP_COMPONENTS = 3


@dataclass(frozen=True)
class ReportData:
    """Content of the report beside the metrics; plain text everywhere, escaped by the template.

    Args:
        evaluation: the scored clips; its title is the report's.
        pictures: the plots as PNG by name, as `save_plots` returns them.
        threshold_origin: how the threshold was drawn, such as "gamma fit to 9 normal clips, 10 %
            false alarms".
        notes: what a reader of the figures has to know, one sentence each (coarse p-values, ...).
        outliers: training clips that are unlike the rest.
        oracle: what was chosen on test labels, such as "the epoch of every training stage"; None
            if nothing was.
        failures: clips that could not be scored, one line each.
        provenance: by section (configuration, versions, ...), values by name; mappings may nest.
    """

    evaluation: EvaluationData
    pictures: Mapping[str, bytes]
    threshold_origin: str
    notes: Sequence[str] = ()
    outliers: Sequence[str] = ()
    oracle: str | None = None
    failures: Sequence[str] = ()
    provenance: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


class ClipRow(NamedTuple):
    """One line of the table of clips."""

    name: str
    label: str
    score: float
    p_value: str
    is_anomalous: bool
    is_wrong: bool
    components: str


class Picture(NamedTuple):
    """One plot, ready for an `<img>`."""

    name: str
    source: str
    is_wide: bool


class ProvenanceLine(NamedTuple):
    """One line of provenance."""

    name: str
    value: str


def write_report(path: Path, report: ReportData) -> None:
    """Write the report as a single HTML file without scripts or anything fetched.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    write_text(path, render_report(report))


def render_report(report: ReportData) -> str:
    """Return the report as HTML."""
    data = report.evaluation
    return render_page(
        "runs",
        "report.html",
        report=report,
        data=data,
        n_clips=len(data.names),
        n_decided=int(data.decisions.sum()),
        metrics=data.metrics,
        cautions=_cautions(data.metrics),
        pictures=[
            Picture(name.replace("_", " "), data_url(png), PLOTS[name].is_wide(data))
            for name, png in report.pictures.items()
        ],
        rows=clip_rows(data),
        has_components=bool(data.components),
        provenance={name: _flat(section) for name, section in report.provenance.items()},
        is_finite=math.isfinite,
    )


def clip_rows(data: EvaluationData) -> list[ClipRow]:
    """Return the `MOST_ROWS` most anomalous clips, highest score first."""
    order = np.argsort(-data.scores, kind="stable")[:MOST_ROWS]
    rows = []
    for i in order:
        label = None if data.labels is None else int(data.labels[i])
        values = {name: float(column[i]) for name, column in data.components.items()}
        top = sorted(values, key=values.__getitem__, reverse=True)[:TOP_COMPONENTS]
        decision = bool(data.decisions[i])
        rows.append(
            ClipRow(
                name=data.names[i],
                label="" if label is None else ("normal", "anomalous")[label],
                score=float(data.scores[i]),
                p_value=shown_p_value(float(data.p_values[i]), float(data.p_resolution[i])),
                is_anomalous=decision,
                is_wrong=label is not None and decision != bool(label),
                components=" · ".join(f"{name} {values[name]:.1f}" for name in top),
            )
        )
    return rows


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


def _flat(section: Mapping[str, object], prefix: str = "") -> list[ProvenanceLine]:
    """Return nested settings as lines named like `--set` names them (part.key)."""
    lines = []
    for name, value in section.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{name}.")
        else:
            lines.append(ProvenanceLine(f"{prefix}{name}", str(value)))
    return lines
