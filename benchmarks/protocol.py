"""Judge the detector on few clips: five folds an id, level-equalised and as recorded.

    python benchmarks/protocol.py --root $MIMII --out docs/results --workers 2

For each machine id the normal clips are divided into five folds; a detector is fitted on the other
four, scores the held-out normals and every anomalous clip, and the AUROC is the mean over folds.
Finished cells are kept as CSV, so the command goes on where it was stopped.
"""

import csv
import logging
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track

from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.data.audio import read_clip
from audio_anomaly_detector.data.clips import Clip, MachineKey, cross_folds
from audio_anomaly_detector.data.layouts import find_clips, machines
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import ClipError
from audio_anomaly_detector.evaluation.protocol import MachineWins, summarise, win_matrix
from audio_anomaly_detector.files import write_text

N_FOLDS = 5
JOINED = "joined score"
LEVEL_ONLY = "level-only control"
# Not scores: what identifies a row of a cell's CSV.
KEYS = ("clip", "label")


class Cell(NamedTuple):
    """One fold of one machine id."""

    key: MachineKey
    fold: int
    clips: list[Clip]
    config: Config
    path: Path


def run_cell(cell: Cell) -> Path:
    """Fit on the fold's normals, score the rest, and write the cell's CSV."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    normals = [clip for clip in cell.clips if clip.label == 0]
    fold = cross_folds(normals, N_FOLDS, cell.config.seed)[cell.fold]
    train = [normals[i] for i in fold.fit]
    test = [normals[i] for i in fold.held_out] + [c for c in cell.clips if c.label == 1]
    detector = Detector.fit(train, cell.config, device="cpu").detector
    levels = np.array([level_db(clip, cell.config) for clip in train])
    rows = []
    for clip, score in detector.score_clips(test):
        if isinstance(score, ClipError):
            raise score
        distance = float(np.abs(level_db(clip, cell.config) - levels).min())
        rows.append(
            {
                "clip": clip.name,
                "label": clip.label,
                JOINED: score.score,
                "p_value": score.p_value,
                LEVEL_ONLY: distance,
                **{f"family {name}": value for name, value in score.families.items()},
                **score.components,
            }
        )
    lines = [",".join(rows[0])] + [",".join(map(str, row.values())) for row in rows]
    write_text(cell.path, "\n".join(lines) + "\n")
    return cell.path


def level_db(clip: Clip, config: Config) -> float:
    """RMS level of a clip over all microphones, dB."""
    return float(10 * np.log10(np.square(read_clip(clip, config.audio)).mean()))


def read_cells(folder: Path) -> Iterator[tuple[str, str, list[dict[str, str]]]]:
    """Machine type, id and rows of every finished cell, in order."""
    for path in sorted(folder.glob("*.csv")):
        _, machine, machine_id, _ = path.stem.split("__")
        with path.open(newline="") as file:
            yield machine, machine_id, list(csv.DictReader(file))


def wins_by_column(folder: Path) -> dict[str, MachineWins]:
    """For every scored column, the wins by machine type and id."""
    scores: dict[str, dict[str, dict[str, list[tuple[list[float], list[float]]]]]] = {}
    for machine, machine_id, rows in read_cells(folder):
        for column in rows[0]:
            if column in KEYS or column == "p_value":
                continue
            sides = tuple(
                [float(row[column]) for row in rows if row["label"] == label] for label in "01"
            )
            by_id = scores.setdefault(column, {}).setdefault(machine, defaultdict(list))
            by_id[machine_id].append((sides[0], sides[1]))
    return {
        column: {
            machine: {i: win_matrix(*zip(*folds, strict=True)) for i, folds in ids.items()}
            for machine, ids in by_machine.items()
        }
        for column, by_machine in scores.items()
    }


def table(folder: Path, components: bool) -> str:
    """Markdown table: AUROC by machine type and mean, with the interval over clips."""
    wins = wins_by_column(folder)
    types = sorted(wins[JOINED])
    lines = [
        f"| score | {' | '.join(types)} | mean [95 % interval over clips] |",
        "|---" * (len(types) + 2) + "|",
    ]
    for column, by_machine in wins.items():
        if not (components or column in (JOINED, LEVEL_ONLY) or column.startswith("family ")):
            continue
        result = summarise(by_machine)
        cells = [f"{result.types[name].value:.3f}" for name in types]
        interval = result.mean.over_clips
        lines.append(
            f"| {column} | {' | '.join(cells)} | "
            f"{result.mean.value:.3f} [{interval.low:.3f}, {interval.high:.3f}] |"
        )
    return "\n".join(lines)


def main(
    root: Annotated[Path, typer.Option(help="Data set in MIMII layout.")],
    out: Annotated[Path, typer.Option(help="Folder for the cells.")] = Path("docs/results"),
    level: Annotated[str, typer.Option(help="equalised, recorded or both.")] = "both",
    channels: Annotated[str, typer.Option(help="all, mean or a number.")] = "all",
    preset: Annotated[str, typer.Option(help="small, base or paper.")] = "small",
    settings: Annotated[list[str] | None, typer.Option("--set", help="part.key=value.")] = None,
    seed: Annotated[int, typer.Option(help="Of folds and detectors.")] = 0,
    workers: Annotated[int, typer.Option(help="Fits at a time, one thread each.")] = 2,
    name: Annotated[str, typer.Option(help="Name of the variant in the file names.")] = "small",
    components: Annotated[bool, typer.Option(help="Rows for single components too.")] = False,
) -> None:
    """Run what is missing, then print a table for each level."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    for column in ("equalised", "recorded") if level == "both" else (level,):
        chosen = int(channels) if channels.isdigit() else channels
        config = load_config(
            preset, None, settings or (), seed=seed, audio={"level": column, "channels": chosen}
        )
        folder = out / f"{name}-{column}-{channels}-seed{seed}"
        cells = [
            Cell(key, fold, clips, config, folder / f"{'__'.join(key)}__fold{fold}.csv")
            for key, clips in machines(find_clips(root).clips).items()
            for fold in range(N_FOLDS)
        ]
        missing = [cell for cell in cells if not cell.path.exists()]
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            futures = [pool.submit(run_cell, cell) for cell in missing]
            for future in track(as_completed(futures), f"{folder.name}", total=len(futures)):
                future.result()
        console.print(f"\n{folder.name}\n\n{table(folder, components)}")


if __name__ == "__main__":
    typer.run(main)
