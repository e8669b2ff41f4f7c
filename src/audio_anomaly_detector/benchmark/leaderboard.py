"""From finished cells to a leaderboard: mean AUROC with intervals and paired differences."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.benchmark.cells import Line, Setting
from audio_anomaly_detector.benchmark.decisions import Decisions, judge_decisions
from audio_anomaly_detector.benchmark.detectors import DETECTORS, LEVEL_ONLY, Row
from audio_anomaly_detector.benchmark.origin import combined
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
MachineId = tuple[str, str, str]  # condition, type, id
# Scores of one id: by seed, then fold, those of its held-out normals and its anomalous clips.
IdScores = dict[str, list[tuple[Floats, Floats]]]
# machine type, with its condition where there are several -> condition/id -> scores
Scores = dict[str, dict[str, IdScores]]


@dataclass(frozen=True)
class Entry:
    """One line of a leaderboard.

    Args:
        title: of the line.
        detector: name in `DETECTORS`.
        is_oracle: whether test labels chose something.
        result: AUROC by machine type and mean.
        partial_auroc: pooled over folds in calibrated units, mean over ids, then over types; None
            where it cannot be computed.
        lead: our detector's AUROC minus this one's on the same folds; None for our own line.
        scores: of every clip, for the ROC.
        fit_seconds, score_milliseconds, peak_megabytes: medians over cells.
        seeds: that were run on every id.
    """

    title: str
    detector: str
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
        return DETECTORS[self.detector].is_ours

    @property
    def is_pooled(self) -> bool:
        """Whether it learned from several ids."""
        return DETECTORS[self.detector].pool != "none"

    @property
    def is_baseline(self) -> bool:
        """Whether it counts when the best baseline is sought: no oracle, no control."""
        return not (self.is_ours or self.is_oracle or self.detector == LEVEL_ONLY)


@dataclass(frozen=True)
class Leaderboard:
    """All that finished every id in one setting, from the highest mean AUROC down.

    Args:
        setting: protocol, level, channels and number of training clips.
        versions: of the program that made the cells.
        data: hash of the clips of all ids.
        entries: the lines.
        ablation: of our detector: each family alone and each left out; leads are against the
            joined score.
        n_ids, n_normal, n_anomalous: what was judged.
        decisions: of our detectors, on unseen clips.
        incomplete: detectors that are left out, with the reason.
    """

    setting: Setting
    versions: list[str]
    data: str
    entries: list[Entry]
    ablation: list[Entry]
    decisions: list[Decisions]
    n_ids: int
    n_normal: int
    n_anomalous: int
    incomplete: dict[str, str]

    @property
    def groups(self) -> dict[str, list[Entry]]:
        """The lines apart by what they learned from."""
        groups: dict[str, list[Entry]] = {"One id": [], "Pooled ids": []}
        for line in self.entries:
            groups["Pooled ids" if line.is_pooled else "One id"].append(line)
        return {name: lines for name, lines in groups.items() if lines}

    @property
    def machine_types(self) -> list[str]:
        """In the order of the columns."""
        return list(self.entries[0].result.types)

    @property
    def best_baseline(self) -> Entry | None:
        """The strongest line that is neither ours, nor an oracle, nor the level-only control."""
        return next((line for line in self.entries if line.is_baseline), None)

    @property
    def ours(self) -> Entry | None:
        """Our detector's own line: the first of the registry that is there."""
        return next((line for line in self.entries if line.is_ours and line.lead is None), None)


def make_leaderboard(setting: Setting, cells: Mapping[str, list[Line]]) -> Leaderboard | None:
    """Sum up one setting of one data set.

    Only what was judged on the same data is compared: the data of most detectors.

    Args:
        setting: protocol, level, channels and number of training clips.
        cells: lines of every detector that has finished cells.

    Returns:
        The leaderboard; None while no detector has finished every id that any has finished.
    """
    machine_ids = {_id(line) for lines in cells.values() for line in lines}
    finished, data_of, incomplete = {}, {}, {}
    for name, lines in cells.items():
        complete, told = _complete(lines, machine_ids)
        if complete:
            finished[name], data_of[name] = complete, told
        else:
            incomplete[name] = told
    if not finished:
        return None
    [(data, _)] = Counter(data_of.values()).most_common(1)
    for name, other in data_of.items():
        if other != data:
            del finished[name]
            incomplete[name] = "finished on other data than the others"
    ours = _ours(finished)
    reference = None
    if ours is not None:
        reference = _wins(_scores(finished[ours], DETECTORS[ours].rows[0]))
    entries = [
        _entry(name, lines, row, None if name == ours and not number else reference)
        for name, lines in finished.items()
        for number, row in enumerate(DETECTORS[name].rows)
    ]
    lines = next(iter(finished.values()))
    clips = {(*_id(line), line["clip"], line["label"]) for line in lines}
    return Leaderboard(
        setting,
        sorted({lines[0]["version"] for lines in finished.values()}),
        data,
        sorted(entries, key=lambda line: -line.result.mean.value),
        [] if ours is None else _ablation(ours, finished[ours], reference),
        [each for each in map(_decisions, finished, finished.values()) if each is not None],
        len(machine_ids),
        sum(clip[-1] == "0" for clip in clips),
        sum(clip[-1] == "1" for clip in clips),
        incomplete,
    )


def _complete(lines: list[Line], machine_ids: set[MachineId]) -> tuple[list[Line], str]:
    """Lines of the seeds that one version ran on every id with the same settings and data.

    Which version, settings and data is told by the first complete seed: a benchmark that is run
    again with others begins with it.

    Returns:
        The lines and a hash of their data, or none and how many ids are there.
    """
    runs: dict[tuple[str, str, str], dict[MachineId, str]] = defaultdict(dict)
    for line in lines:
        runs[line["seed"], line["version"], line["settings"]][_id(line)] = line["data"]
    complete = [run for run in sorted(runs) if runs[run].keys() == machine_ids]
    if not complete:
        return [], f"{max(map(len, runs.values()))} of {len(machine_ids)} ids finished"
    first = complete[0]
    seeds = {run[0] for run in complete if run[1:] == first[1:] and runs[run] == runs[first]}
    return [line for line in lines if line["seed"] in seeds], combined(runs[first].values())


def _decisions(name: str, lines: list[Line]) -> Decisions | None:
    return judge_decisions(DETECTORS[name].rows[0].title, lines)


def _ours(names: Mapping[str, object]) -> str | None:
    """Our main detector: the first of the registry among these."""
    return next((name for name in DETECTORS if DETECTORS[name].is_ours and name in names), None)


def _entry(name: str, lines: list[Line], row: Row, reference: MachineWins | None) -> Entry:
    scores = _scores(lines, row)
    wins = _wins(scores)
    return Entry(
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


def _ablation(name: str, lines: list[Line], reference: MachineWins | None) -> list[Entry]:
    """Each family that every id has, alone and left out."""
    rows = [
        Row(title.format(column.removeprefix(prefix)), (column,))
        for prefix, title in (("family:", "{} alone"), ("without:", "without {}"))
        for column in lines[0]
        # One microphone has no family of differences.
        if column.startswith(prefix) and all(line[column] for line in lines)
    ]
    return [_entry(name, lines, row, reference) for row in rows]


def _id(line: Line) -> MachineId:
    return (line["condition"], line["machine"], line["id"])


def _scores(lines: Sequence[Line], row: Row) -> Scores:
    """Scores of a row; of several columns, the one that wins on the labels of each machine type."""
    candidates = [_column_scores(lines, column) for column in row.columns]

    def auroc(scores: Scores, machine: str) -> float:
        return float(np.mean([fold_auroc(wins) for wins in _wins(scores)[machine].values()]))

    return {
        machine: max(candidates, key=lambda scores: auroc(scores, machine))[machine]
        for machine in candidates[0]
    }


def _column_scores(lines: Sequence[Line], column: str) -> Scores:
    """Scores of one column by machine type, id, seed and fold; clips in their order.

    Where a machine type comes in several conditions (signal-to-noise ratios), each is a column.
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
