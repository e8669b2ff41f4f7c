"""The training history of a run: a CSV and a picture, rewritten while training goes on."""

import csv
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audio_anomaly_detector.files import write_text
from audio_anomaly_detector.plotting.training_curves import WATCHED, save_training_curves
from audio_anomaly_detector.progress import Epoch

_REDRAW_SECONDS = 10.0  # a drawing costs as much as a short epoch


class History:
    """One row an epoch, kept in ``history.csv`` and ``training_curves.png`` of a run folder.

    Rows of an interrupted run are read back, so that the file is whole at the end.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self._drawn = time.monotonic()
        path = folder / "history.csv"
        if path.exists():
            with path.open(newline="") as file:
                self.rows = [_parse(row) for row in csv.DictReader(file)]

    def add(self, epoch: Epoch, watched: Mapping[str, float]) -> None:
        """Enter an epoch; one of the same stage and number is replaced, with all after it."""
        same = [
            i
            for i, row in enumerate(self.rows)
            if (row["stage"], row["epoch"]) == (epoch.stage, epoch.epoch)
        ]
        if same:
            del self.rows[same[0] :]
        elif epoch.stage == "despawn" and epoch.epoch == 1:
            self.rows.clear()
        self.rows.append(
            {
                "stage": epoch.stage,
                "epoch": epoch.epoch,
                "learning_rate": epoch.learning_rate,
                **epoch.losses,
                **{WATCHED + name: value for name, value in watched.items()},
            }
        )
        self._write()
        if time.monotonic() - self._drawn > _REDRAW_SECONDS:
            self.draw()

    def draw(self) -> None:
        """Bring the picture up to date."""
        save_training_curves(self.rows, self.folder / "training_curves.png")
        self._drawn = time.monotonic()

    def _write(self) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.folder / "history.csv", text.getvalue())


def _parse(row: dict[str, str]) -> dict[str, Any]:
    numbers = {k: float(v) for k, v in row.items() if k not in ("stage", "epoch") and v}
    return {"stage": row["stage"], "epoch": int(row["epoch"]), **numbers}
