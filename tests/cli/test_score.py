"""Scores of files, by whatever holds a model."""

import csv
import json
from pathlib import Path

import soundfile

from bad_clips import write_bad_clips
from command_line import Aad
from synthetic_data import SAMPLE_RATE, hum


def test_the_threshold_is_an_option_of_scoring(aad: Aad, model: Path, data_root: Path) -> None:
    def decided(*options: str) -> list[bool]:
        scored = json.loads(aad("score", model, data_root, "--json", "-q", *options).out)
        return [clip["is_anomalous"] for clip in scored]

    assert not any(decided("--threshold=1e9"))
    assert all(decided("--threshold=-1e9"))
    assert sum(decided("--false-alarm-rate=0.5")) >= sum(decided("--false-alarm-rate=0.01"))


def test_scores_go_to_a_file(aad: Aad, model: Path, data_root: Path, tmp_path: Path) -> None:
    assert aad("score", model, data_root, "--out", tmp_path / "s.csv", "-q").code == 0
    with (tmp_path / "s.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 11 and {row["label"] for row in rows} == {""}


def test_a_bad_clip_among_good_ones(aad: Aad, model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "good.wav", hum(77), SAMPLE_RATE)
    bad = write_bad_clips(tmp_path)
    skipped = aad("score", model, tmp_path, "--json", "-q")
    assert skipped.code == 1
    assert len(json.loads(skipped.out)) == 1
    failed = [line for line in skipped.err.splitlines() if line.startswith("failed: ")]
    assert len(failed) == len(bad)
    for name in bad:
        [line] = [line for line in failed if name in line]
        assert line.count("; ") >= 1, f"no remedy: {line}"
    assert "Traceback" not in skipped.err
    stopped = aad("score", model, tmp_path, "--on-error=stop", "-q")
    assert stopped.code == 2 and stopped.err.startswith("error: ")


def test_a_run_folder_stands_for_its_model(aad: Aad, model: Path, data_root: Path) -> None:
    by_file = aad("score", model, data_root, "--json", "-q")
    by_folder = aad("score", model.parent, data_root, "--json", "-q")
    assert by_folder.code == 0 and by_folder.out == by_file.out


def test_a_pipe_gets_one_line_a_clip(aad: Aad, model: Path, data_root: Path) -> None:
    result = aad("score", model, data_root)
    header, *rows = result.out.splitlines()
    names = ["clip", "verdict", "score", "threshold", "p-value", "most unusual"]
    assert header.split("\t") == names
    assert len(rows) == 11
    for row in rows:
        fields = dict(zip(names, row.split("\t"), strict=True))
        anomalous = float(fields["score"]) > float(fields["threshold"])
        assert fields["verdict"] == ("ANOMALOUS" if anomalous else "normal")
    assert result.err == ""  # no bar where nobody watches
