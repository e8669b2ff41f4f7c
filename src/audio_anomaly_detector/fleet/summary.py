"""The outcomes of all machine ids in one table, for a file and for the screen."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from audio_anomaly_detector.files import write_csv
from audio_anomaly_detector.fleet.jobs import Outcome

# On the screen; the file has all.
_FIGURES = {
    "auroc": "AUROC",
    "average_precision": "AP",
    "partial_auroc": "pAUC",
    "f1": "F1",
    "false_alarm_rate": "false\nalarms",
}


class MeanAuroc(NamedTuple):
    """Mean AUROC of the ids of a machine type; None if no id has one."""

    machine_type: str
    auroc: float | None
    n_computable: int
    n_ids: int


def mean_aurocs(outcomes: Sequence[Outcome]) -> list[MeanAuroc]:
    """Mean over the ids (of all conditions) of every machine type, in order of the types.

    Ids that failed, or whose test clips lack a class, have no AUROC: the mean is over the others.
    """
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.machine_type, []).append(outcome)
    means = []
    for machine_type, group in sorted(groups.items()):
        values = [outcome.auroc for outcome in group if outcome.auroc is not None]
        mean = fmean(values) if values else None
        means.append(MeanAuroc(machine_type, mean, len(values), len(group)))
    return means


def write_summary(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write one line per machine id, atomically; a figure that is not there is an empty field.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    columns = [field.name for field in fields(Outcome)]
    write_csv(path, columns, (asdict(outcome).values() for outcome in outcomes))


def summary_table(outcomes: Sequence[Outcome]) -> Table:
    """Outcomes, mean AUROC of every machine type and over the types, and why some failed.

    ``test`` counts normal + anomalous clips. Legible from 80 columns on.
    """
    table = Table(title=_title(outcomes), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("machine", overflow="fold")  # gives way on a narrow screen, no figure does
    table.add_column("state", no_wrap=True)
    for name in ("train", "test", *_FIGURES.values(), "s"):
        table.add_column(name, justify="right", no_wrap=True)
    for outcome in outcomes:
        table.add_row(*map(Text, _row(outcome)))
    table.add_section()
    means = mean_aurocs(outcomes)
    for machine_type, auroc, computable, ids in means:
        label = Text(f"{machine_type}, {computable} of {ids} ids")
        table.add_row(label, "mean", "", "", _figure(auroc))
    known = [mean.auroc for mean in means if mean.auroc is not None]
    over_types = _figure(fmean(known) if known else None)
    label = Text(f"all, {len(known)} of {len(means)} types")
    table.add_row(label, "mean", "", "", over_types, style="bold")
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        lines = [f"{_name(outcome)}: {outcome.error}" for outcome in failed]
        table.caption = Text("\n".join(["Failed:", *lines]))
        table.caption_justify = "left"
    return table


def outcome_line(outcome: Outcome) -> str:
    """One line on an outcome, for whoever watches them come."""
    if outcome.status == "failed":
        return f"{_name(outcome)}: failed: {outcome.error}"
    auroc = "" if outcome.auroc is None else f", AUROC {_figure(outcome.auroc)}"
    return f"{_name(outcome)}: {outcome.status}{auroc}"


def _title(outcomes: Sequence[Outcome]) -> str:
    states = ("done", "skipped", "failed")
    counts = {state: sum(outcome.status == state for outcome in outcomes) for state in states}
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)


def _row(outcome: Outcome) -> list[str]:
    if outcome.n_test_normal is None or outcome.n_test_anomalous is None:
        tested = "–"
    else:
        tested = f"{outcome.n_test_normal}+{outcome.n_test_anomalous}"
    return [
        _name(outcome),
        outcome.status,
        "–" if outcome.n_train is None else str(outcome.n_train),
        tested,
        *(_figure(getattr(outcome, name)) for name in _FIGURES),
        "–" if outcome.seconds is None else f"{outcome.seconds:.0f}",
    ]


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _name(outcome: Outcome) -> str:
    return "/".join((outcome.condition, outcome.machine_type, outcome.machine_id))
