"""The training history of a run: a CSV and a picture, rewritten during training."""

import csv
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audio_anomaly_detector.files import write_csv
from audio_anomaly_detector.plotting.training_curves import WATCHED, save_training_curves
from audio_anomaly_detector.progress import Epoch

_REDRAW_SECONDS = 10.0  # a drawing costs as much as a short epoch
_TABLE, _PICTURE = "history.csv", "training_curves.png"


class History:
    """One row an epoch, kept in ``history.csv`` and ``training_curves.png`` of a run folder.

    Args:
        folder: the run folder.
        resumes: whether the fit goes on from checkpoints. Its rows are then read back; otherwise
            table and picture are those of another fit and are removed.
    """

    def __init__(self, folder: Path, resumes: bool) -> None:
        self.folder = folder
        self.rows = _read(folder) if resumes else []
        self._drawn = time.monotonic()
        if not resumes:
            for name in (_TABLE, _PICTURE):
                (folder / name).unlink(missing_ok=True)

    def add(self, epoch: Epoch, watched: Mapping[str, float]) -> None:
        """Enter an epoch; one of the same stage and number is replaced, with all after it."""
        same = [i for i, row in enumerate(self.rows) if _key(row) == (epoch.stage, epoch.epoch)]
        if same:
            del self.rows[same[0] :]
        metrics = {WATCHED + name: value for name, value in watched.items()}
        self.rows.append(_row(epoch) | metrics)
        self._write()
        if time.monotonic() - self._drawn > _REDRAW_SECONDS:
            self._draw()

    def finish(self, epochs: Sequence[Epoch]) -> None:
        """Bring table and picture to what the model holds; without epochs there are none.

        Args:
            epochs: of the networks that were kept.
        """
        self.rows = _with_watched(epochs, self.rows)
        if self.rows:
            self._write()
            self._draw()

    def _draw(self) -> None:
        save_training_curves(self.rows, self.folder / _PICTURE)
        self._drawn = time.monotonic()

    def _write(self) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        rows = ([row.get(name, "") for name in names] for row in self.rows)
        write_csv(self.folder / _TABLE, names, rows)


def model_history(epochs: Sequence[Epoch], folder: Path) -> list[dict[str, Any]]:
    """The epochs of a model as rows for `draw_training_curves`.

    Watched metrics are no part of a model. They are added from the ``history.csv`` of the run
    folder, where its rows are epochs of this model.

    Args:
        epochs: of the model's provenance.
        folder: the run folder.
    """
    return _with_watched(epochs, _read(folder))


def _with_watched(epochs: Sequence[Epoch], table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of epochs, with the watched metrics of those rows of a table that are the same epoch."""
    known = {_key(row): row for row in table}
    rows = []
    for epoch in epochs:
        row = _row(epoch)
        same = known.get((epoch.stage, epoch.epoch), {})
        if all(same.get(name) == value for name, value in epoch.losses.items()):
            row |= {name: value for name, value in same.items() if name.startswith(WATCHED)}
        rows.append(row)
    return rows


def _row(epoch: Epoch) -> dict[str, Any]:
    return {
        "stage": epoch.stage,
        "epoch": epoch.epoch,
        "learning_rate": epoch.learning_rate,
        **epoch.losses,
    }


def _key(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["stage"], row["epoch"]


def _read(folder: Path) -> list[dict[str, Any]]:
    path = folder / _TABLE
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [_parse(row) for row in csv.DictReader(file)]


def _parse(row: dict[str, str]) -> dict[str, Any]:
    numbers = {k: float(v) for k, v in row.items() if k not in ("stage", "epoch") and v}
    return {"stage": row["stage"], "epoch": int(row["epoch"]), **numbers}
