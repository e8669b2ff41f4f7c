"""The DCASE challenge's own figures and files (Task 2), for data laid out as it hands them out.

Each year has its rules (dcase.community, task 2): in 2020 AUC and pAUC of every machine id and
their mean; in 2021 those of every section and domain and their harmonic mean; since 2022 the
anomalous clips of a section count for both domains, and there is one pAUC a section.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from audio_anomaly_detector.benchmark.cells import Line, Setting
from audio_anomaly_detector.benchmark.detectors import DETECTORS
from audio_anomaly_detector.benchmark.own_detector import DECISION
from audio_anomaly_detector.files import write_csv
from audio_anomaly_detector.metrics.classification import (
    arithmetic_mean,
    auroc,
    harmonic_mean,
    partial_auroc,
)

_DOMAINS = ("source", "target")


@dataclass(frozen=True)
class SectionResult:
    """One section of one machine type; a figure that cannot be computed is None.

    Args:
        machine: type.
        section: such as ``section_00``, in 2020 ``id_00``.
        figures: by name, such as ``AUC source``; pAUC up to a false-alarm rate of 0.1.
    """

    machine: str
    section: str
    figures: dict[str, float | None]


@dataclass(frozen=True)
class ChallengeResult:
    """A detector by the challenge's rules.

    Args:
        title: of the detector.
        sections: each on its own.
        mean: what the score is, ``mean`` in 2020, ``harmonic mean`` since.
        score: that mean of all figures of all sections.
    """

    title: str
    sections: list[SectionResult]
    mean: str
    score: float | None


def challenge_results(setting: Setting, cells: Mapping[str, list[Line]]) -> list[ChallengeResult]:
    """Judge every detector by the challenge's rules, the highest score first.

    Args:
        setting: of the leaderboard; none but the data set's own split can be judged so.
        cells: lines of every detector that has finished cells.

    Returns:
        Empty if the data is not laid out as the challenge's.
    """
    results = [
        _result(row.title, lines, row.columns[0])
        for name, lines in _judged(setting, cells)
        for row in DETECTORS[name].rows
        if not row.is_oracle
    ]
    return sorted(results, key=lambda result: -(result.score or 0))


def write_challenge_files(folder: Path, setting: Setting, cells: Mapping[str, list[Line]]) -> None:
    """Write ``anomaly_score_*.csv`` and, of detectors that decide, ``decision_result_*.csv``.

    One file a section, in 2021 one a domain, in ``<folder>/<setting>/challenge/<detector>/``, as
    teams hand them in: a line a clip, without a header.
    """
    for name, lines in _judged(setting, cells):
        columns = {"anomaly_score": DETECTORS[name].rows[0].columns[0]}
        if DECISION in lines[0]:
            columns["decision_result"] = DECISION
        tables: dict[str, list[tuple[str, str]]] = {}
        for line in lines:
            part = "" if not line["domain"] else f"_{_domain_folder(line) or 'test'}"
            file = PurePosixPath(line["clip"]).name
            for kind, column in columns.items():
                place = f"{kind}_{line['machine']}_{line['id']}{part}.csv"
                tables.setdefault(place, []).append((file, line[column]))
        for place, rows in tables.items():
            write_csv(folder / str(setting) / "challenge" / name / place, None, rows)


def _judged(setting: Setting, cells: Mapping[str, list[Line]]) -> Iterator[tuple[str, list[Line]]]:
    """Detectors that the challenge's rules can judge, with the lines of their first seed."""
    if setting.protocol != "split":
        return
    for name, all_lines in cells.items():
        lines = _first_seed(all_lines)
        if any(line["domain"] or _is_of_2020(line) for line in lines):
            yield name, lines


def _result(title: str, lines: Sequence[Line], column: str) -> ChallengeResult:
    figures_of, mean_name, mean = _of_2020, "mean", arithmetic_mean
    if any(line["domain"] for line in lines):
        of_2021 = any(_domain_folder(line) for line in lines)
        figures_of = _of_2021 if of_2021 else _since_2022
        mean_name, mean = "harmonic mean", harmonic_mean
    sections = [
        SectionResult(machine, section, figures_of(part, column))
        for (machine, section), part in _by_section(lines).items()
    ]
    figures = [figure for section in sections for figure in section.figures.values()]
    return ChallengeResult(title, sections, mean_name, mean(figures))


def _of_2020(lines: Sequence[Line], column: str) -> dict[str, float | None]:
    return {"AUC": auroc(*_scored(lines, column)), "pAUC": partial_auroc(*_scored(lines, column))}


def _of_2021(lines: Sequence[Line], column: str) -> dict[str, float | None]:
    return {
        f"{name} {domain}": measure(*_scored(_of_domain(lines, domain), column))
        for domain in _DOMAINS
        for name, measure in (("AUC", auroc), ("pAUC", partial_auroc))
    }


def _since_2022(lines: Sequence[Line], column: str) -> dict[str, float | None]:
    anomalous = [line for line in lines if line["label"] == "1"]
    normal = [line for line in lines if line["label"] == "0"]
    figures = {
        f"AUC {domain}": auroc(*_scored([*_of_domain(normal, domain), *anomalous], column))
        for domain in _DOMAINS
    }
    return {**figures, "pAUC": partial_auroc(*_scored(lines, column))}


def _of_domain(lines: Sequence[Line], domain: str) -> list[Line]:
    return [line for line in lines if line["domain"] == domain]


def _scored(lines: Sequence[Line], column: str) -> tuple[list[int], list[float]]:
    """Labels and scores."""
    return [int(line["label"]) for line in lines], [float(line[column]) for line in lines]


def _domain_folder(line: Line) -> str:
    """The folder of its domain, such as ``source_test``; only 2021 has those."""
    folder = PurePosixPath(line["clip"]).parent.name
    return folder if folder in ("source_test", "target_test") else ""


def _is_of_2020(line: Line) -> bool:
    """Whether it is named like ``fan/test/anomaly_id_00_00000000.wav``."""
    clip = PurePosixPath(line["clip"])
    of_label = "anomaly" if line["label"] == "1" else "normal"
    return clip.parent.name == "test" and clip.name.startswith(f"{of_label}_{line['id']}_")


def _by_section(lines: Sequence[Line]) -> Mapping[tuple[str, str], list[Line]]:
    sections: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        sections.setdefault((line["machine"], line["id"]), []).append(line)
    return dict(sorted(sections.items()))


def _first_seed(lines: Sequence[Line]) -> list[Line]:
    first = min(line["seed"] for line in lines)
    return [line for line in lines if line["seed"] == first]
