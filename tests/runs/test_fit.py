"""The run folder of a fit: what it holds, what a kill leaves, and how test clips are watched."""

import csv
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip, Split
from audio_anomaly_detector.data.datasets import prepare_split
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.progress import Epoch, Silent
from audio_anomaly_detector.run_options import RunOptions
from audio_anomaly_detector.runs import fit as fit_module
from audio_anomaly_detector.runs.evaluate import evaluate_machine
from audio_anomaly_detector.runs.fit import fit_machine

CPU = RunOptions(device="cpu")
WATCHED = replace(CPU, watch_test=True)


class Epochs(Silent):
    """Keeps the epochs that are reported; interrupts after some of them if asked to."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.seen: list[tuple[str, int]] = []
        self.watched: list[dict[str, float]] = []
        self.interrupt_after = interrupt_after

    def epoch(self, epoch: Epoch, watched: Mapping[str, float]) -> None:
        self.seen.append((epoch.stage, epoch.epoch))
        self.watched.append(dict(watched))
        if len(self.seen) == self.interrupt_after:
            raise KeyboardInterrupt


ALL = [(stage, number) for stage in ("despawn", "transformer", "vqvae") for number in (1, 2)]


def with_decisions(config: Config, rate: float) -> Config:
    threshold = config.scoring.threshold.model_copy(update={"false_alarm_rate": rate})
    scoring = config.scoring.model_copy(update={"threshold": threshold})
    return config.model_copy(update={"scoring": scoring})


def oracle(config: Config) -> Config:
    stages = config.stages.model_copy(update={"oracle_epoch": True})
    return config.model_copy(update={"stages": stages})


@pytest.fixture
def split(clips: list[Clip], tiny: Config) -> Split:
    return prepare_split(clips, tiny.audio, tiny.seed)


@pytest.fixture
def no_fit(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Keeps what `Detector.fit` is called with, and ends the fit there."""
    calls: list[Any] = []

    def stop(*_: Any, **given: Any) -> None:
        calls.append(given["watch"])
        raise KeyboardInterrupt

    monkeypatch.setattr(Detector, "fit", stop)
    return calls


def test_a_fit_fills_its_run_folder(split: Split, tiny: Config, tmp_path: Path) -> None:
    out = tmp_path / "run"
    progress = Epochs()
    result = fit_machine(split, tiny, out, out / "model.pth", WATCHED, progress)
    assert progress.seen == ALL
    assert {path.name for path in out.iterdir()} == {
        "model.pth",
        "split.csv",
        "history.csv",
        "training_curves.png",
        "report.html",
    }
    with (out / "split.csv").open(newline="") as file:
        rows = [(row["path"], row["label"], row["part"]) for row in csv.DictReader(file)]
    assert rows == [
        (clip.name, str(clip.label), part)
        for part, clips in (("train", split.train), ("test", split.test))
        for clip in clips
    ]
    with (out / "history.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["stage"], int(row["epoch"])) for row in table] == ALL
    assert [float(row["watch_auroc"]) for row in table] == [
        watched["auroc"] for watched in progress.watched
    ]
    loaded = Detector.load(out / "model.pth", "cpu")
    assert loaded.provenance.history == result.detector.provenance.history


def test_another_false_alarm_rate_goes_on_from_the_checkpoints_after_a_kill(
    split: Split, tiny: Config, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    stricter = with_decisions(tiny, 0.02)
    fit_machine(split, stricter, whole, whole / "model.pth", CPU)
    with pytest.raises(KeyboardInterrupt):
        fit_machine(split, tiny, cut, cut / "model.pth", CPU, Epochs(interrupt_after=4))
    progress = Epochs()
    fit_machine(split, stricter, cut, cut / "model.pth", CPU, progress)
    assert progress.seen == ALL[3:]  # the epoch that was interrupted is repeated
    for name in ("model.pth", "history.csv", "training_curves.png"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()


def test_no_curves_are_left_of_networks_that_are_not_there(
    split: Split, tiny: Config, without_networks: Config, tmp_path: Path
) -> None:
    fit_machine(split, tiny, tmp_path, tmp_path / "model.pth", CPU)
    assert (tmp_path / "history.csv").exists() and (tmp_path / "training_curves.png").exists()
    fit_machine(split, without_networks, tmp_path, tmp_path / "model.pth", CPU)
    assert {path.name for path in tmp_path.iterdir()} == {"model.pth", "split.csv", "report.html"}


# --- watched test clips ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["not asked", "no networks", "no test clips", "no labels", "one"])
def test_nothing_is_decoded_where_nothing_can_be_watched(
    split: Split,
    tiny: Config,
    without_networks: Config,
    tmp_path: Path,
    no_fit: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    def decoded(*_: Any) -> None:
        raise AssertionError("test clips are decoded")

    monkeypatch.setattr(fit_module, "LabelWatch", decoded)
    config, options = tiny, WATCHED
    if case == "not asked":
        options = CPU
    elif case == "no networks":
        config = without_networks
    elif case == "no test clips":
        split = Split(split.train, [])
    elif case == "no labels":
        split = Split(split.train, [replace(clip, label=None) for clip in split.test])
    else:
        split = Split(split.train, [clip for clip in split.test if clip.label == 0])
    with pytest.raises(KeyboardInterrupt):
        fit_machine(split, config, tmp_path, tmp_path / "model.pth", options)
    assert no_fit == [None]
    with pytest.raises(UserError, match=r"oracle_epoch .* needs") as refused:
        fit_machine(split, oracle(config), tmp_path, tmp_path / "model.pth", options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("broken", ["all", "anomalous"])
def test_test_clips_that_cannot_be_used_do_not_end_the_fit(
    split: Split,
    tiny: Config,
    tmp_path: Path,
    no_fit: list[Any],
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    gone = tmp_path / "gone.wav"
    test = [
        replace(clip, path=gone) if clip.label or broken == "all" else clip for clip in split.test
    ]
    split = Split(split.train, test)
    out = tmp_path / "run"
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        fit_machine(split, tiny, out, out / "model.pth", WATCHED)
    assert no_fit == [None]
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("test clips are not watched: ") and "\n" not in line
    assert not (out / ".watch").exists()
    with pytest.raises(UserError, match=r"oracle_epoch .* needs"):
        fit_machine(split, oracle(tiny), out, out / "model.pth", WATCHED)


def test_usable_clips_of_both_classes_are_watched(
    split: Split, tiny: Config, tmp_path: Path, no_fit: list[Any]
) -> None:
    broken = replace(split.test[0], path=tmp_path / "gone.wav", label=1)
    split = Split(split.train, [broken, *split.test])
    with pytest.raises(KeyboardInterrupt):
        fit_machine(split, oracle(tiny), tmp_path, tmp_path / "model.pth", WATCHED)
    [watch] = no_fit
    assert len(watch.labels) == len(split.test) - 1


def test_a_fit_removes_the_evaluation_of_an_earlier_model(
    clips: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    split = prepare_split(clips, without_networks.audio, 0)
    (tmp_path / "scores.csv").write_text("of somebody, in a folder that is no run folder")
    detector = fit_machine(split, without_networks, tmp_path, tmp_path / "model.pth").detector
    assert (tmp_path / "scores.csv").exists()
    evaluate_machine(detector, split.test, tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    assert {"report.html", "metrics.json", "roc.png", "vqvae_results.png"} <= written
    fit_machine(split, without_networks, tmp_path, tmp_path / "model.pth")
    assert {path.name for path in tmp_path.iterdir()} == {"model.pth", "split.csv", "report.html"}
    fit_machine(split, without_networks, tmp_path, tmp_path / "model.pth", report=False)
    assert not (tmp_path / "report.html").exists()
