"""The DCASE challenge's own figures and files (Task 2, 2021 on), for layouts that tell domains."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from audio_anomaly_detector.benchmark.cells import Cells, Line, Setting, cells_path
from audio_anomaly_detector.benchmark.contenders import CONTENDERS
from audio_anomaly_detector.benchmark.ours import DECISION
from audio_anomaly_detector.evaluation.metrics import auroc, harmonic_mean, partial_auroc
from audio_anomaly_detector.files import write_text


@dataclass(frozen=True)
class SectionResult:
    """One section of one machine type; a figure that cannot be computed is None.

    Args:
        machine: type.
        section: such as ``section_00``.
        auc_source, auc_target: normals of that domain against all anomalous clips of the section.
        partial_auc: pAUC(0.1) of all clips of the section.
    """

    machine: str
    section: str
    auc_source: float | None
    auc_target: float | None
    partial_auc: float | None


@dataclass(frozen=True)
class ChallengeResult:
    """A detector by the challenge's rules.

    Args:
        title: of the detector.
        sections: each on its own.
        score: harmonic mean over all figures of all sections, the official score.
    """

    title: str
    sections: list[SectionResult]
    score: float | None


def challenge_results(folder: Path, setting: Setting) -> list[ChallengeResult]:
    """Judge every detector by the challenge's rules, the highest score first.

    Args:
        folder: of the data set's results.
        setting: of the table; none but the data set's own split can be judged so.

    Returns:
        Empty if the data tells no domains.
    """
    results = [
        _result(row.title, lines, row.columns[0])
        for name, lines in _judged(folder, setting)
        for row in CONTENDERS[name].rows
        if not row.is_oracle
    ]
    return sorted(results, key=lambda result: -(result.score or 0))


def write_challenge_files(folder: Path, setting: Setting) -> None:
    """Write ``anomaly_score_*.csv`` and, of detectors that decide, ``decision_result_*.csv``.

    One file a section in ``<folder>/<setting>/challenge/<detector>/``, as teams hand them in: a
    line a clip, without a header.
    """
    for name, lines in _judged(folder, setting):
        columns = {"anomaly_score": CONTENDERS[name].rows[0].columns[0]}
        if DECISION in lines[0]:
            columns["decision_result"] = DECISION
        for (machine, section), part in _by_section(lines).items():
            for kind, column in columns.items():
                text = "".join(
                    f"{PurePosixPath(line['clip']).name},{line[column]}\n" for line in part
                )
                place = folder / str(setting) / "challenge" / name
                write_text(place / f"{kind}_{machine}_{section}_test.csv", text)


def _judged(folder: Path, setting: Setting) -> Iterator[tuple[str, list[Line]]]:
    """Detectors that the challenge's rules can judge, with the lines of their first seed."""
    if setting.protocol != "split":
        return
    for name in CONTENDERS:
        lines = _first_seed(Cells(cells_path(folder, setting, name)).lines)
        if any(line["domain"] for line in lines):
            yield name, lines


def _result(title: str, lines: Sequence[Line], column: str) -> ChallengeResult:
    sections = [
        SectionResult(
            machine,
            section,
            _domain_auroc(part, column, "source"),
            _domain_auroc(part, column, "target"),
            partial_auroc(_labels(part), [float(line[column]) for line in part]),
        )
        for (machine, section), part in _by_section(lines).items()
    ]
    figures = [
        figure
        for section in sections
        for figure in (section.auc_source, section.auc_target, section.partial_auc)
    ]
    return ChallengeResult(title, sections, harmonic_mean(figures))


def _domain_auroc(lines: Sequence[Line], column: str, domain: str) -> float | None:
    chosen = [line for line in lines if line["label"] == "1" or line["domain"] == domain]
    return auroc(_labels(chosen), [float(line[column]) for line in chosen])


def _labels(lines: Sequence[Line]) -> list[int]:
    return [int(line["label"]) for line in lines]


def _by_section(lines: Sequence[Line]) -> Mapping[tuple[str, str], list[Line]]:
    sections: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        sections.setdefault((line["machine"], line["id"]), []).append(line)
    return dict(sorted(sections.items()))


def _first_seed(lines: Sequence[Line]) -> list[Line]:
    first = min((line["seed"] for line in lines), default="")
    return [line for line in lines if line["seed"] == first]
