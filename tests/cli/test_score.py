"""Scores of files, by whatever holds a model."""

import csv
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import soundfile

from audio_anomaly_detector import cli
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.errors import ClipError
from audio_anomaly_detector.loading import load_scorer
from audio_anomaly_detector.score import Score, Scorer
from bad_clips import write_bad_clips
from command_line import Aad
from synthetic_data import SAMPLE_RATE, hum


def test_the_threshold_is_an_option_of_scoring(aad: Aad, model: Path, data_root: Path) -> None:
    def decided(*options: str) -> list[bool]:
        scored = json.loads(aad("score", model, data_root, "--json", "-q", *options).out)
        return [clip["verdict"] != "normal" for clip in scored]

    assert not any(decided("--threshold=1e9"))
    assert all(decided("--threshold=-1e9"))
    assert sum(decided("--false-alarm-rate=0.5")) >= sum(decided("--false-alarm-rate=0.01"))


def test_a_threshold_is_given_or_drawn_not_both(aad: Aad, model: Path, data_root: Path) -> None:
    for options in (["--false-alarm-rate=0.1"], ["--threshold-method=gamma"]):
        both = aad("score", model, data_root, "--threshold=1.5", *options, "-q")
        assert both.code == 2 and "--threshold is the threshold itself" in both.err
    for value in ("nan", "inf", "-inf"):
        refused = aad("score", model, data_root, f"--threshold={value}", "-q")
        assert refused.code == 2 and "finite" in refused.err


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
    elements = json.loads(skipped.out)
    assert [Path(one["path"]).name for one in elements if "error" not in one] == ["good.wav"]
    errors = {Path(one["path"]).name: one["error"] for one in elements if "error" in one}
    assert set(errors) == set(bad) and all("; " in error for error in errors.values())
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
    names = ["clip", "verdict", "score", "threshold", "p-value", "most unusual", "remarks"]
    assert header.split("\t") == names
    assert len(rows) == 11
    for row in rows:
        fields = dict(zip(names, row.split("\t"), strict=True))
        anomalous = float(fields["score"]) > float(fields["threshold"])
        assert (fields["verdict"] == "normal") != anomalous
    assert result.err == ""  # no bar where nobody watches


def test_failed_clips_stand_in_every_table(aad: Aad, model: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", hum(77), SAMPLE_RATE)
    (tmp_path / "b.wav").write_text("no audio")
    soundfile.write(tmp_path / "c.wav", hum(78), SAMPLE_RATE)
    shown = aad("score", model, tmp_path, "--out", tmp_path / "scores.csv", "-q")
    assert shown.code == 1
    rows = [row.split("\t") for row in shown.out.splitlines()[1:]]
    assert [row[:2] for row in rows] == [
        ["a.wav", "normal"],
        ["b.wav", "failed"],
        ["c.wav", "normal"],
    ]
    with (tmp_path / "scores.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["path"] for row in table] == ["a.wav", "b.wav", "c.wav"]
    assert [bool(row["error"]) for row in table] == [False, True, False]
    assert table[1]["error"] == rows[1][-1] and not table[1]["score"] and table[0]["score"]
    assert not list(tmp_path.glob("*.part"))


class Watched(NamedTuple):
    """Scores clips one after the other, and notes how much is printed before each."""

    scorer: Scorer
    printed: list[str]
    capsys: pytest.CaptureFixture[str]

    def score_clips(self, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Score | ClipError]]:
        for clip in clips:
            self.printed.append(self.capsys.readouterr().out)
            yield from self.scorer.score_clips([clip])


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_result_is_printed_before_the_next_clip_is_read(
    options: list[str],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", hum(77), SAMPLE_RATE)
    scorer = load_scorer(model)
    printed: list[str] = []
    watched = SimpleNamespace(
        threshold_config=scorer.threshold_config,
        threshold=scorer.threshold,
        components=scorer.components,
        score_clips=Watched(scorer, printed, capsys).score_clips,
    )
    watched.with_threshold = lambda config: watched
    monkeypatch.setattr("audio_anomaly_detector.loading.load_scorer", lambda *_: watched)
    # Quiet as it is, it would silence the log of the tests after this one.
    monkeypatch.setattr("audio_anomaly_detector.cli.console.start_logging", lambda *_: None)
    table = tmp_path / "scores.csv"
    cli.score(model, [tmp_path], out=table, as_json=bool(options), quiet=True)
    assert len(printed) == 3
    assert "a.wav" in printed[1] and "b.wav" in printed[2] and "c.wav" not in "".join(printed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_score_says_what_is_done(
    number: signal.Signals, model: Path, tmp_path: Path
) -> None:
    for name in range(300):
        soundfile.write(tmp_path / f"{name:03d}.wav", hum(77), SAMPLE_RATE)
    command = [sys.executable, "-m", "audio_anomaly_detector", "score", str(model), str(tmp_path)]
    table = tmp_path / "scores.csv"
    with subprocess.Popen(
        [*command, "--json", "--out", str(table)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        begun = process.stdout.readline() + process.stdout.readline()
        process.send_signal(number)
        elements = json.loads(begun + process.stdout.read())
        said = process.stderr.read()
    assert process.returncode == 128 + number
    # The signal may come between one output and the next.
    [done] = re.findall(r"interrupted: (\d+) of 300 clips are done", said)
    assert abs(int(done) - len(elements)) <= 1
    assert "Traceback" not in said and not table.exists()
    part = table.with_name("scores.csv.part")
    assert str(part) in said
    assert abs(len(part.read_text().splitlines()) - 1 - len(elements)) <= 1


def test_a_reader_who_leaves_is_no_error(model: Path, data_root: Path) -> None:
    command = f"{sys.executable} -m audio_anomaly_detector score {model} {data_root} --json"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -2; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["[", "{", "0"] and done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_the_results_is_said(model: Path, data_root: Path) -> None:
    command = [sys.executable, "-m", "audio_anomaly_detector", "score", str(model), str(data_root)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the results cannot be written")
    assert len(done.stderr.splitlines()) == 1


def test_two_levels_and_a_series(aad: Aad, model: Path, tmp_path: Path) -> None:
    for minute, name in enumerate("cba"):
        soundfile.write(tmp_path / f"{name}-20261126T14{minute:02d}.wav", hum(77), SAMPLE_RATE)
    (tmp_path / "d-20261126T1401.wav").write_text("no audio")
    table = tmp_path / "out.csv"
    weekly = ["--false-alarms=1/week", "--clips-per-day=1440"]
    scored = aad("score", model, tmp_path, "--series", *weekly, "--json", "--out", table)
    clips = json.loads(scored.out)
    names = [Path(clip["path"]).name[0] for clip in clips]
    assert names in (list("cbda"), list("cdba"))
    assert [clip["series"]["judged"] for clip in clips if "error" not in clip] == [1, 2, 3]
    assert "times in their names" in scored.err and "3 of the last 5" in scored.err
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["series_judged"] for row in rows] == [str(c["series"]["judged"]) for c in clips]
    assert next(row for row in rows if row["path"].startswith("d"))["error"]
    levels = aad("score", model, tmp_path, *weekly, "--json")
    assert {clip.get("level") for clip in json.loads(levels.out)} <= {
        "none",
        "warning",
        "alarm",
        None,
    }
    assert (
        "asked for alarms at 1/week" in levels.err and "expected false alarms a day" in levels.err
    )
    for wrong, said in (
        (["--false-alarms=1/week"], "--clips-per-day"),
        (["--persistent=2/3"], "--series"),
        (["--series", "--persistent=9"], "K/N"),
    ):
        refused = aad("score", model, tmp_path, *wrong)
        assert refused.code == 2 and said in refused.err and len(refused.err.splitlines()) == 1


def test_a_report_of_recordings_without_labels(
    aad: Aad, model: Path, data_root: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    result = aad("score", model, data_root, "--report", page, "--out", tmp_path / "scores.csv")
    assert result.code == 0, result.err
    assert f"report: {page}" in result.err
    html = page.read_text(encoding="utf-8")
    clips = json.loads(re.search(r'id="report-clips">(.*?)</script>', html)[1])  # type: ignore[index]
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = {row["path"]: float(row["score"]) for row in csv.DictReader(file)}
    assert {clip["name"]: clip["score"] for clip in clips} == pytest.approx(rows, rel=1e-5)
    assert all(clip["label"] is None and clip["has_media"] for clip in clips)


def test_clips_that_fail_are_in_the_report(aad: Aad, model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "good.wav", hum(77), SAMPLE_RATE)
    (tmp_path / "in" / "good.wav").rename(tmp_path / "in" / "[red] <img>\n.wav")
    write_bad_clips(tmp_path / "in")
    result = aad("score", model, tmp_path / "in", "--report", tmp_path / "page.html", "-q")
    assert result.code == 1
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "could not be scored" in html
    assert "[red] \\u003cimg\\u003e\\n.wav" in html and "<img>" not in html
