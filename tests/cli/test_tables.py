"""Tables in a terminal, narrow and wide."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from audio_anomaly_detector.cli import console, score_output, tables
from audio_anomaly_detector.cli.score_output import ScoreRows
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.inspection import MachineSummary
from audio_anomaly_detector.data.layouts import Discovery
from audio_anomaly_detector.errors import ClipError
from audio_anomaly_detector.score import Score


@pytest.fixture(params=[80, 120])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Stdout as a terminal of so many columns."""
    terminal = Console(width=request.param, highlight=False, soft_wrap=True, markup=False)
    for module in (console, score_output, tables):
        monkeypatch.setattr(module, "out", terminal)
        monkeypatch.setattr(module, "in_terminal", lambda: True)
    return int(request.param)


KEY = MachineKey("-6_dB_valve", "valve", "id_00")


def discovery(*clips: Clip) -> Discovery:
    return Discovery(Path("MIMII"), "mimii", list(clips), [])


def summary(machine_id: str, unusable: int = 0, train: int = 0, test: int = 0) -> MachineSummary:
    return MachineSummary(
        "-6_dB_valve",
        "valve",
        machine_id,
        train=train,
        test=test,
        normal=1011,
        anomalous=407,
        unknown=0,
        unusable=unusable,
        seconds=14_180.0,
        sample_rates={16_000: 1418},
        channels={8: 1418},
    )


def test_an_inspection_takes_one_line_an_id(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    table = tables.InspectionTable(
        discovery(Clip(Path("a"), "a", 0, KEY), Clip(Path("b"), "b", 1, KEY))
    )
    for machine_id in ("id_00", "id_02"):
        table.add(summary(machine_id))
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    [header] = [line for line in lines if "machine" in line]
    assert header.split() == [
        "machine",
        "normal",
        "anomalous",
        "unusable",
        "minutes",
        "Hz",
        "channels",
    ]
    [row] = [line for line in lines if "id_02" in line]
    assert row.split() == ["-6_dB_valve/valve/id_02", "1011", "407", "0", "236.3", "16000", "8"]
    assert header.index("normal") + len("normal") == row.index("1011") + len("1011")  # right


def test_columns_that_say_nothing_are_left_out(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [Clip(Path(part), part, 0, KEY, part) for part in ("train", "test")]
    table = tables.InspectionTable(discovery(*clips))
    table.add(summary("id_00", unusable=2, train=900, test=518))
    [header] = [line for line in capsys.readouterr().out.splitlines() if "machine" in line]
    assert "unusable" in header and "train" in header and "unlabelled" not in header
    assert header.split()[-1] == "channels"


def test_scores_take_one_line_a_clip(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    key = MachineKey("", "", "id_00")
    families = {"modulation": 2.4, "difference": 2.1, "level": 0.1}
    names = ["-6_dB_fan/fan/id_00/normal/00000011.wav", "short.wav"]
    with ScoreRows(0.36) as rows:
        for name in names:
            clip = Clip(Path(name), name, None, key)
            rows.add(clip, Score(1.14, 9.76e-05, 0.09, True, 0.36, {}, families, ["strange"]))
        rows.add(clip, ClipError(clip.path, "is empty", "delete it"))
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    [first] = [line for line in lines if "00000011.wav" in line]
    assert "ANOMALOUS" in first and "< 0.09" in first and "modulation +2.4" in first
    assert ("difference +2.1" in first) == (width == 120)
    assert (names[0] in first) == (width == 120)  # else the end of the name
    assert "short.wav " in text and "strange" in text and "failed" in text and "is empty" in text
    assert "0.36" in text


def test_a_terminal_is_recognised(data_root: Path) -> None:
    """The same command draws a box in a terminal and writes tabs into a pipe."""
    command = [sys.executable, "-m", "audio_anomaly_detector", "inspect", str(data_root), "-q"]
    piped = subprocess.run(command, capture_output=True, check=True).stdout
    assert b"\t" in piped and "─".encode() not in piped
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        process.wait()
    os.close(ours)
    assert "─".encode() in shown and b"\t" not in shown
