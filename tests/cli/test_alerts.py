"""`aad alerts`, with scores that are made up in place of scored sound."""

from pathlib import Path

import numpy as np
import pytest

from audio_anomaly_detector.benchmark.disturbances import DISTURBANCES
from audio_anomaly_detector.benchmark.machine_cells import CELLS, origin
from audio_anomaly_detector.benchmark.watched_machines import (
    FAULT,
    LEARNED,
    NORMAL,
    Line,
    WatchedMachine,
)
from audio_anomaly_detector.files import write_csv
from command_line import Aad


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """File of the first machine."""
    rng = np.random.default_rng(0)
    lines = [
        Line("fan-00", learned, sound, kind, piece, score + rng.normal(0, 0.1), 0.5, verdict, 2, 3)
        for learned in LEARNED
        for sound in (NORMAL, FAULT, *DISTURBANCES)
        for kind, score, verdict in [
            ("bearing", 4.0, "anomalous") if sound == FAULT else ("", 0.0, "normal")
        ]
        for piece in range(20)
        for _ in range(3)
    ]
    path = tmp_path / CELLS / origin() / f"{WatchedMachine('fan', 0, 5).key}.csv"
    write_csv(path, Line._fields, lines)
    return path


def test_weeks_are_simulated_from_scores_that_are_there(
    aad: Aad, tmp_path: Path, cells: Path
) -> None:
    arguments = ["--machines=1", "--weeks=1", "--seed=5", "--workers=1", "--out", tmp_path, "-q"]
    result = aad("alerts", *arguments)
    assert result.code == 0, result.err
    page = (tmp_path / "alerts.md").read_text()
    assert "aad alerts --machines 1 --weeks 1 --seed 5\n" in page
    assert "| a day | 20 | 20 | 100%" in page


def test_a_damaged_file_of_scores_is_named(aad: Aad, tmp_path: Path, cells: Path) -> None:
    cells.write_text("machine,learned\nfan-00,a day\n")
    result = aad("alerts", "--machines=1", "--seed=5", "--workers=1", "--out", tmp_path, "-q")
    assert result.code != 0
    assert f"{cells.name}: cannot be read as scores" in result.err
    assert "delete the file to score again" in result.err
