"""The cells of the benchmark: one detector on one machine id, and the CSV files that keep them.

A finished cell is never run again: started again, the benchmark goes on where it was stopped. A
cell of another version, other settings or other data is not finished: it is run and replaced.
"""

import csv
import re
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, cast

import numpy as np
import torch

from audio_anomaly_detector.benchmark.detectors import DETECTORS
from audio_anomaly_detector.benchmark.origin import Origin, data_hash, make_origins
from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.data.clips import Clip, Fold, MachineKey, cross_folds, split_clips
from audio_anomaly_detector.engines import Failed, Processes
from audio_anomaly_detector.errors import Interrupted, UserError
from audio_anomaly_detector.files import hold_folder, temporary_folder, write_csv, write_json
from audio_anomaly_detector.learning.pool import PoolPrior, fit_pool, pool_members
from audio_anomaly_detector.progress import SILENT, Progress
from audio_anomaly_detector.threads import torch_threads

Protocol = Literal["folds", "split"]
Level = Literal["equalised", "recorded"]

N_FOLDS = 5
_FOLD_SEED = 0  # the folds are part of the protocol; seeds vary what the detectors draw

# What a line says besides the scores and its `Origin`.
_KEYS = ("condition", "machine", "id", "seed", "fold", "clip", "label", "domain")
_COSTS = ("fit_seconds", "score_milliseconds", "peak_megabytes")
Line = dict[str, str]


class Setting(NamedTuple):
    """What all detectors of one table have in common.

    Attributes:
        protocol: five folds an id, or the data set's own split.
        level: of the clips.
        channels: ``all``, ``mean`` or a number.
        train_clips: normals that a detector may learn from, drawn once for all; None: all.
    """

    protocol: Protocol
    level: Level
    channels: str
    train_clips: int | None = None

    def __str__(self) -> str:
        """Write it as the name of a folder."""
        limit = "" if self.train_clips is None else f"-{self.train_clips}clips"
        return f"{self.protocol}-{self.level}-{self.channels}{limit}"

    @property
    def order(self) -> tuple[str, int]:
        """For sorting: fewer clips come before more, all of them last."""
        unlimited = self._replace(train_clips=None)
        return str(unlimited), sys.maxsize if self.train_clips is None else self.train_clips

    @classmethod
    def parse(cls, name: str) -> "Setting | None":
        """Read the name of a folder; None if it names no setting."""
        match = re.fullmatch(r"(folds|split)-(equalised|recorded)-(\w+?)(?:-(\d+)clips)?", name)
        if match is None:
            return None
        protocol, level, channels, limit = match.groups()
        return cls(
            cast(Protocol, protocol),
            cast(Level, level),
            str(channels),
            None if limit is None else int(limit),
        )


@dataclass(frozen=True)
class CellJob:
    """One detector with one seed on one machine id, or on those that it learns together.

    Args:
        detector: name in `DETECTORS`.
        setting: of the table.
        machines: of each all clips that have a label.
        origins: of the cell of each.
        config: of the detector; its seed governs what the detector draws, never the folds.
        threads: of PyTorch.
    """

    detector: str
    setting: Setting
    machines: dict[MachineKey, tuple[Clip, ...]]
    origins: dict[MachineKey, Origin]
    config: Config
    threads: int

    def __str__(self) -> str:
        """Say what it is, for messages."""
        names = ", ".join("/".join(filter(None, key)) for key in self.machines)
        return f"{self.detector} on {names} ({self.setting}, seed {self.config.seed})"


def run_cell_job(job: CellJob) -> list[Line]:
    """Fit and score on every fold: one line a test clip."""
    parts = {key: _parts(clips, job.setting) for key, clips in job.machines.items()}
    with torch_threads(job.threads):
        return [
            line
            for number, folds in enumerate(zip(*parts.values(), strict=True))
            for line in _run_fold(job, number, dict(zip(parts, folds, strict=True)))
        ]


def _run_fold(
    job: CellJob, number: int, parts: dict[MachineKey, tuple[list[Clip], list[Clip]]]
) -> Iterator[Line]:
    """Lines of one fold, given the training and test clips of every machine."""
    detector, config = DETECTORS[job.detector], job.config
    started = time.perf_counter()
    pool_prior = None
    if config.pool != "none":
        pool_prior = _pretrain([clip for train, _ in parts.values() for clip in train], config)
    share = (time.perf_counter() - started) / len(parts)
    for key, (train, test) in parts.items():
        result = detector.run(train, test, config, pool_prior)
        seconds = share + result.fit_seconds
        costs = (seconds, result.score_milliseconds, _peak_megabytes())
        for position, clip in enumerate(test):
            keys = (*key, config.seed, number, clip.name, clip.label, clip.domain or "")
            scores = {name: f"{values[position]:.9g}" for name, values in result.scores.items()}
            yield (
                dict(zip(_KEYS, map(str, keys), strict=True))
                | job.origins[key]._asdict()
                | dict(zip(_COSTS, (f"{cost:.4g}" for cost in costs), strict=True))
                | scores
            )


def _pretrain(clips: Sequence[Clip], config: Config) -> PoolPrior:
    with temporary_folder() as work:
        return fit_pool(clips, config, work, torch.device("cpu"), SILENT, "stop")


def _parts(clips: Sequence[Clip], setting: Setting) -> list[tuple[list[Clip], list[Clip]]]:
    """Training and test clips of every fold."""
    if setting.protocol == "split":
        train, test = split_clips(clips, _FOLD_SEED)
        parts = [(train, [clip for clip in test if clip.label is not None])]
    else:
        normals = [clip for clip in clips if clip.label == 0]
        anomalous = [clip for clip in clips if clip.label == 1]

        def part(fold: Fold) -> tuple[list[Clip], list[Clip]]:
            held_out = [normals[i] for i in fold.held_out]
            return [normals[i] for i in fold.fit], held_out + anomalous

        parts = [part(fold) for fold in cross_folds(normals, N_FOLDS, _FOLD_SEED)]
    return [(_draw(train, setting.train_clips), test) for train, test in parts]


def _draw(clips: list[Clip], wanted: int | None) -> list[Clip]:
    """That many of the clips, a smaller number being part of a larger one; all of them for None."""
    if wanted is None:
        return clips
    order = np.random.default_rng(_FOLD_SEED).permutation(len(clips))
    return [clips[i] for i in sorted(order[:wanted])]


def _peak_megabytes() -> float:
    """Largest memory this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes there, KiB on Linux


@dataclass
class Cells:
    """The finished cells of one detector in one setting, in a CSV file.

    Args:
        path: the file; it need not exist yet.
    """

    path: Path
    lines: list[Line] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = []
        if self.path.exists():
            try:
                with self.path.open(newline="") as file:
                    self.lines = list(csv.DictReader(file))
            except (OSError, UnicodeDecodeError, csv.Error) as error:
                raise UserError(
                    f"{self.path}: cannot read these results ({error}); delete the file to run "
                    "them again"
                ) from error
            if not all(set(_KEYS + _COSTS + Origin._fields) <= set(line) for line in self.lines):
                raise UserError(
                    f"{self.path}: not a table of results with their version, settings and data "
                    "(before 0.3.0 these were not written); delete it to run them again"
                )

    def __contains__(self, job: CellJob) -> bool:
        """Whether its cells are here, made by this version with its settings from its data."""
        there: dict[tuple[str, ...], set[Origin]] = defaultdict(set)
        for line in self.lines:
            there[_cell(line)].add(Origin(*(line[name] for name in Origin._fields)))
        return all(
            there[*key, str(job.config.seed)] == {origin} for key, origin in job.origins.items()
        )

    def add(self, lines: Sequence[Line]) -> None:
        """Enter finished cells and write the file; what was there of the same cells goes."""
        new = {_cell(line) for line in lines}
        kept = [line for line in self.lines if _cell(line) not in new]
        # Cells finish in any order; the lines of a cell keep theirs.
        self.lines = sorted([*kept, *lines], key=_cell)
        columns = list(dict.fromkeys(name for line in self.lines for name in line))
        rows = ([line.get(name, "") for name in columns] for line in self.lines)
        write_csv(self.path, columns, rows)


def _cell(line: Line) -> tuple[str, ...]:
    return (line["condition"], line["machine"], line["id"], line["seed"])


def cells_path(folder: Path, setting: Setting, detector: str) -> Path:
    """Where the cells of a detector lie."""
    return folder / str(setting) / f"{detector}.csv"


def read_cells(folder: Path, setting: Setting) -> dict[str, list[Line]]:
    """Lines of every detector that has finished cells in a setting of a data set."""
    lines = {name: Cells(cells_path(folder, setting, name)).lines for name in DETECTORS}
    return {name: there for name, there in lines.items() if there}


def make_cell_jobs(
    machines: dict[MachineKey, list[Clip]],
    detectors: Sequence[str],
    settings: Sequence[Setting],
    seeds: int,
    threads: int,
) -> list[CellJob]:
    """Every cell of the benchmark.

    Args:
        machines: clips by machine; one without anomalous clips, or with fewer normals than the
            setting trains on, cannot be judged and is left out.
        detectors: names in `DETECTORS`.
        settings: of the tables.
        seeds: of every detector.
        threads: of PyTorch in each job.

    Raises:
        UserError: no machine can be judged, or a clip cannot be read.
    """
    labelled = {
        key: tuple(clip for clip in clips if clip.label is not None)
        for key, clips in machines.items()
    }
    judged = {
        setting: [key for key, clips in labelled.items() if _can_be_judged(clips, setting)]
        for setting in settings
    }
    if not any(judged.values()):
        raise UserError(
            "no machine here has both normal and anomalous clips with labels, or enough of them; a "
            f"benchmark needs at least {N_FOLDS} normal clips and 1 anomalous clip of an id, and "
            "as many normals for training as --train-clips asks for"
        )
    data = {key: data_hash(labelled[key]) for key in {k for keys in judged.values() for k in keys}}
    return [
        CellJob(
            name,
            setting,
            {key: labelled[key] for key in keys},
            make_origins({key: data[key] for key in keys}, config),
            config,
            threads,
        )
        for setting in settings
        for name in detectors
        for keys in pool_members(judged[setting], DETECTORS[name].pool).values()
        for config in (_config(name, setting, seed) for seed in range(seeds))
    ]


def _config(name: str, setting: Setting, seed: int) -> Config:
    detector = DETECTORS[name]
    channels = setting.channels
    return load_config(
        detector.preset,
        overrides=detector.settings,
        pool=detector.pool,
        seed=seed,
        audio={
            "level": setting.level,
            "channels": int(channels) if channels.isdigit() else channels,
        },
    )


def _can_be_judged(clips: Sequence[Clip], setting: Setting) -> bool:
    if [clip.label for clip in clips].count(0) < N_FOLDS:
        return False
    parts = _parts(clips, setting._replace(train_clips=None))
    fewest = setting.train_clips or 1
    return all(
        len(train) >= fewest and {clip.label for clip in test} == {0, 1} for train, test in parts
    )


def run_missing(
    jobs: Sequence[CellJob], folder: Path, workers: int, progress: Progress
) -> Iterable[tuple[CellJob, Failed]]:
    """Run the cells that are not finished, each in a process of its own.

    The settings behind a cell's hash are written out in ``settings/`` beside it.

    Args:
        jobs: all cells.
        folder: of the results.
        workers: cells at a time.
        progress: is told how many cells of all are done.

    Yields:
        Cells that failed and why; the others go on.

    Raises:
        UserError: another run is writing into the folder, or it cannot be written.
    """
    with hold_folder(folder):
        yield from _run_missing(jobs, folder, workers, progress)


def _run_missing(
    jobs: Sequence[CellJob], folder: Path, workers: int, progress: Progress
) -> Iterable[tuple[CellJob, Failed]]:
    files = {
        (job.setting, job.detector): Cells(cells_path(folder, job.setting, job.detector))
        for job in jobs
    }
    missing = [job for job in jobs if job not in files[job.setting, job.detector]]
    done = len(jobs) - len(missing)
    progress.advance("cells", done, len(jobs))
    if not missing:
        return
    try:
        with closing(Processes(workers=workers).map(run_cell_job, missing)) as results:
            for index, result in results:
                job = missing[index]
                if isinstance(result, Failed):
                    yield job, result
                else:
                    cells = files[job.setting, job.detector]
                    settings = cells.path.parent / "settings" / f"{result[0]['settings']}.json"
                    write_json(settings, job.config.model_dump(mode="json", exclude={"seed"}))
                    cells.add(result)
                done += 1
                progress.advance("cells", done, len(jobs))
    except Interrupted as interruption:
        interruption.add_note(
            f"{done} of {len(jobs)} cells are finished; start the same command again to go on"
        )
        raise
