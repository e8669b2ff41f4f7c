"""A watcher that is killed at any moment loses nothing that was saved."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import audio_anomaly_detector
from audio_anomaly_detector.monitor.store.store import Store

_SCRIPT = Path(__file__).parent / "kills.py"
_IMPORTED = [Path(audio_anomaly_detector.__file__).parents[1], Path(__file__).parents[2]]


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.skipif(sys.platform == "win32", reason="runs are forked")
@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_a_watcher_killed_at_random_moments(kills: int, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, _IMPORTED))}
    subprocess.run(
        [sys.executable, _SCRIPT, tmp_path, str(kills), "1"], env=environment, check=True
    )
    saved, received = _lines(tmp_path / "saved"), _lines(tmp_path / "received")
    assert len(saved) >= kills
    contents: dict[str, list[str]] = {}
    for one in received:
        # A repetition is the same event in the same words.
        assert contents.setdefault(one["key"], one["words"]) == one["words"]
    for one in saved:
        assert contents[one["key"]] == one["words"]
    # The first arrivals are in order, without a gap; a kill repeats at most what was on its way.
    numbers = [int(key[len("event-") :].split(":")[0]) for key in contents]
    revisions = [int(key.split(":")[1]) for key in contents]
    assert list(zip(numbers, revisions, strict=True)) == [
        (number // 4, number % 4) for number in range(len(contents))
    ]
    assert len(received) <= len(contents) + kills
    events = Store.open(tmp_path / "watch.db").events(limit=10**6)
    assert len(events) == numbers[-1] + 1
    assert {f"{one.id}:{one.revision}" for one in events} <= set(contents)
