"""From the finished cells to who stands where, with intervals and paired differences."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.benchmark.cells import Cells, Line, Setting, cells_path
from audio_anomaly_detector.benchmark.decisions import Decisions, judge_decisions
from audio_anomaly_detector.benchmark.detectors import CONTENDERS, LEVEL_ONLY, Row
from audio_anomaly_detector.metrics.classification import arithmetic_mean
from audio_anomaly_detector.metrics.protocol import (
    MachineWins,
    ProtocolResult,
    Wins,
    compare,
    fold_auroc,
    pooled_partial_auroc,
    summarise,
    win_matrix,
)

Floats = NDArray[np.float64]
# Scores of one id: by seed, then fold, those of its held-out normals and its anomalous clips.
IdScores = dict[str, list[tuple[Floats, Floats]]]
# machine type, with its condition where there are several -> condition/id -> scores
Scores = dict[str, dict[str, IdScores]]


@dataclass(frozen=True)
class Standing:
    """One line of a table.

    Args:
        title: of the line.
        contender: name in `CONTENDERS`.
        is_oracle: whether test labels chose something.
        result: AUROC by machine type and mean.
        partial_auroc: pooled over folds in calibrated units, mean over ids, then over types; None
            where it cannot be computed.
        lead: our detector's AUROC minus this one's on the same folds; None for our own line.
        scores: what it says of every clip, for the ROC.
        fit_seconds, score_milliseconds, peak_megabytes: medians over cells.
        seeds: that were run on every id.
    """

    title: str
    contender: str
    is_oracle: bool
    result: ProtocolResult
    partial_auroc: float | None
    lead: ProtocolResult | None
    scores: Scores
    fit_seconds: float
    score_milliseconds: float
    peak_megabytes: float
    seeds: int

    @property
    def is_ours(self) -> bool:
        """Whether it is our detector or a part of it."""
        return CONTENDERS[self.contender].is_ours

    @property
    def is_pooled(self) -> bool:
        """Whether it learned from several ids."""
        return CONTENDERS[self.contender].pool != "none"

    @property
    def is_rival(self) -> bool:
        """Whether it counts when the best rival is sought: no oracle, no control."""
        return not (self.is_ours or self.is_oracle or self.contender == LEVEL_ONLY)


@dataclass(frozen=True)
class Table:
    """All that finished every id in one setting, from the highest mean AUROC down.

    Args:
        setting: protocol, level and channels.
        standings: the lines.
        ablation: of our detector: each family alone and each left out; leads are against the
            joined score.
        n_ids, n_normal, n_anomalous: what was judged.
        decisions: of our detectors, how they decide on unseen clips.
        incomplete: detectors of which ids are missing, with how many are there.
    """

    setting: Setting
    standings: list[Standing]
    ablation: list[Standing]
    decisions: list[Decisions]
    n_ids: int
    n_normal: int
    n_anomalous: int
    incomplete: dict[str, str]

    @property
    def groups(self) -> dict[str, list[Standing]]:
        """The lines apart by what they learned from."""
        groups: dict[str, list[Standing]] = {"One id": [], "Pooled ids": []}
        for line in self.standings:
            groups["Pooled ids" if line.is_pooled else "One id"].append(line)
        return {name: lines for name, lines in groups.items() if lines}

    @property
    def machine_types(self) -> list[str]:
        """In the order of the columns."""
        return list(self.standings[0].result.types)

    @property
    def best_rival(self) -> Standing | None:
        """The strongest line that is neither ours, nor an oracle, nor the level-only control."""
        return next((line for line in self.standings if line.is_rival), None)

    @property
    def ours(self) -> Standing | None:
        """Our detector's own line: the first of the registry that is there."""
        return next((line for line in self.standings if line.is_ours and line.lead is None), None)


def make_table(folder: Path, setting: Setting) -> Table | None:
    """Sum up one setting of one data set.

    Args:
        folder: of the data set's results.
        setting: which.

    Returns:
        The table; None while no detector has finished every id that any has finished.
    """
    there = {name: Cells(cells_path(folder, setting, name)).lines for name in CONTENDERS}
    machine_ids = {_id(line) for lines in there.values() for line in lines}
    finished: dict[str, list[Line]] = {}
    incomplete = {}
    for name, lines in there.items():
        if not lines:
            continue
        by_seed: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for line in lines:
            by_seed[line["seed"]].add(_id(line))
        seeds = {seed for seed, ids in by_seed.items() if ids == machine_ids}
        if seeds:
            finished[name] = [line for line in lines if line["seed"] in seeds]
        else:
            most = max(len(ids) for ids in by_seed.values())
            incomplete[name] = f"{most} of {len(machine_ids)} ids"
    if not finished:
        return None
    ours = _ours(finished)
    reference = None
    if ours is not None:
        reference = _wins(_scores(finished[ours], CONTENDERS[ours].rows[0]))
    standings = [
        _standing(name, lines, row, None if name == ours and not number else reference)
        for name, lines in finished.items()
        for number, row in enumerate(CONTENDERS[name].rows)
    ]
    lines = next(iter(finished.values()))
    clips = {(*_id(line), line["clip"], line["label"]) for line in lines}
    return Table(
        setting,
        sorted(standings, key=lambda line: -line.result.mean.value),
        [] if ours is None else _ablation(ours, finished[ours], reference),
        [each for each in map(_decisions, finished, finished.values()) if each is not None],
        len(machine_ids),
        sum(clip[-1] == "0" for clip in clips),
        sum(clip[-1] == "1" for clip in clips),
        incomplete,
    )


def _decisions(name: str, lines: list[Line]) -> Decisions | None:
    return judge_decisions(CONTENDERS[name].rows[0].title, lines)


def _ours(names: Mapping[str, object]) -> str | None:
    """Our main detector: the first of the registry among these."""
    return next((name for name in CONTENDERS if CONTENDERS[name].is_ours and name in names), None)


def _standing(name: str, lines: list[Line], row: Row, reference: MachineWins | None) -> Standing:
    scores = _scores(lines, row)
    wins = _wins(scores)
    return Standing(
        row.title,
        name,
        row.is_oracle,
        summarise(wins),
        _partial_auroc(scores),
        None if reference is None else compare(reference, wins),
        scores,
        _median(lines, "fit_seconds"),
        _median(lines, "score_milliseconds"),
        _median(lines, "peak_megabytes"),
        len({line["seed"] for line in lines}),
    )


def _ablation(name: str, lines: list[Line], reference: MachineWins | None) -> list[Standing]:
    """Each family that every id has, alone and left out."""
    rows = [
        Row(title.format(column.removeprefix(prefix)), (column,))
        for prefix, title in (("family:", "{} alone"), ("without:", "without {}"))
        for column in lines[0]
        # One microphone has no family of differences.
        if column.startswith(prefix) and all(line[column] for line in lines)
    ]
    return [_standing(name, lines, row, reference) for row in rows]


def _id(line: Line) -> tuple[str, ...]:
    return (line["condition"], line["machine"], line["id"])


def _scores(lines: Sequence[Line], row: Row) -> Scores:
    """Scores of a row; of several columns, for each machine type the one its labels like best."""
    candidates = [_column_scores(lines, column) for column in row.columns]

    def auroc(scores: Scores, machine: str) -> float:
        return float(np.mean([fold_auroc(wins) for wins in _wins(scores)[machine].values()]))

    return {
        machine: max(candidates, key=lambda scores: auroc(scores, machine))[machine]
        for machine in candidates[0]
    }


def _column_scores(lines: Sequence[Line], column: str) -> Scores:
    """Scores of one column by machine type, id, seed and fold; clips in their order.

    Where a machine type comes in several conditions (signal-to-noise ratios), each stands alone.
    """
    conditions: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        conditions[line["machine"]].add(line["condition"])
    folds: dict[tuple[str, str, str, str], tuple[list[float], list[float]]] = defaultdict(
        lambda: ([], [])
    )
    for line in lines:
        machine, condition = line["machine"], line["condition"]
        if len(conditions[machine]) > 1:  # MIMII's conditions name the machine
            machine = condition if machine in condition else f"{condition}/{machine}"
        place = (machine, f"{condition}/{line['id']}", line["seed"], line["fold"])
        folds[place][int(line["label"])].append(float(line[column]))
    scores: Scores = {}
    for machine, machine_id, seed, fold in sorted(folds):
        normal, anomalous = folds[machine, machine_id, seed, fold]
        by_seed = scores.setdefault(machine, {}).setdefault(machine_id, {})
        by_seed.setdefault(seed, []).append((np.array(normal), np.array(anomalous)))
    return scores


def _wins(scores: Scores) -> MachineWins:
    """Wins by machine type and id, mean over seeds."""
    return {
        machine: {name: _mean_over_seeds(by_seed) for name, by_seed in ids.items()}
        for machine, ids in scores.items()
    }


def _mean_over_seeds(by_seed: IdScores) -> Wins:
    wins = [
        win_matrix([normal for normal, _ in folds], [anomalous for _, anomalous in folds])
        for folds in by_seed.values()
    ]
    return Wins(np.mean([each.matrix for each in wins], axis=0), wins[0].weight)


def _partial_auroc(scores: Scores) -> float | None:
    return arithmetic_mean(
        arithmetic_mean(
            pooled_partial_auroc([normal for normal, _ in folds], [other for _, other in folds])
            for by_seed in ids.values()
            for folds in by_seed.values()
        )
        for ids in scores.values()
    )


def _median(lines: Sequence[Line], column: str) -> float:
    return float(np.median([float(line[column]) for line in lines]))
