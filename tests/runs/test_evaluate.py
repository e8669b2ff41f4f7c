"""Evaluation in a run folder: what it writes, for whom, and what it refuses."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip, Split
from audio_anomaly_detector.data.datasets import prepare_split
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.plotting.evaluation_data import EvaluationData
from audio_anomaly_detector.plotting.evaluation_plots import PLOTS
from audio_anomaly_detector.progress import Silent
from audio_anomaly_detector.run_options import RunOptions
from audio_anomaly_detector.runs import evaluate as evaluate_module
from audio_anomaly_detector.runs.evaluate import SHEET, NothingToEvaluate, evaluate_machine
from audio_anomaly_detector.runs.fit import fit_machine
from synthetic_data import TINY, write_machine

TABLES = {"scores.csv", "metrics.json", "report.html", SHEET}


class Runs:
    """A model with networks and one without, each in its run folder, and their test clips."""

    def __init__(self, root: Path) -> None:
        from audio_anomaly_detector.config import load_config
        from audio_anomaly_detector.data.layouts import find_clips

        self.config: Config = load_config("small", overrides=TINY)
        families = "scoring.families=[logmel,difference,envelope,level]"
        bare = load_config("small", overrides=(*TINY, families))
        write_machine(root / "data" / "0_dB_fan" / "fan" / "id_00")
        self.split: Split = prepare_split(
            find_clips(root / "data").clips, self.config.audio, self.config.seed
        )
        self.folder, self.bare_folder = root / "networks", root / "bare"
        watched = RunOptions(device="cpu", watch_test=True)
        self.detector: Detector = fit_machine(
            self.split, self.config, self.folder, self.folder / "model.pth", watched
        ).detector
        self.bare: Detector = fit_machine(
            self.split, bare, self.bare_folder, self.bare_folder / "model.pth", watched
        ).detector


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[EvaluationData]:
    """What is to be drawn, without drawing it."""
    seen: list[EvaluationData] = []

    def keep(data: EvaluationData, _: Path) -> dict[str, bytes]:
        seen.append(data)
        return {}

    monkeypatch.setattr(evaluate_module, "save_plots", keep)
    monkeypatch.setattr(evaluate_module, "evaluation_sheet", lambda _: None)
    monkeypatch.setattr(evaluate_module, "save_figure", lambda *_: None)
    return seen


class Steps(Silent):
    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []

    def advance(self, what: str, done: int, total: int) -> None:
        self.steps.append((what, done, total))


def test_it_writes_scores_metrics_plots_and_report(runs: Runs, tmp_path: Path) -> None:
    progress = Steps()
    evaluation = evaluate_machine(runs.detector, runs.split.test, tmp_path, progress)
    assert {path.name for path in tmp_path.iterdir()} == TABLES | {f"{name}.png" for name in PLOTS}
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [clip.name for clip in runs.split.test]
    assert [float(row["score"]) for row in rows] == pytest.approx(
        [score.score for _, score in evaluation.scored], rel=1e-5
    )
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert evaluation.metrics is not None
    assert record["metrics"] == evaluation.metrics.to_dict()
    assert record["failed"] == [] and not record["oracle"]
    n = len(runs.split.test)
    assert progress.steps == [
        (what, done, n)
        for what in ("scoring clips", "explaining clips")
        for done in range(1, n + 1)
    ]


def test_without_networks_there_is_nothing_of_networks(runs: Runs, tmp_path: Path) -> None:
    evaluate_machine(runs.detector, runs.split.test, tmp_path)
    evaluate_machine(runs.bare, runs.split.test, tmp_path)
    of_networks = {"latents", "training_curves"}
    assert {path.name for path in tmp_path.iterdir()} == TABLES | {
        f"{name}.png" for name in PLOTS.keys() - of_networks
    }
    html = (tmp_path / "report.html").read_text()
    assert html.count("<img") == len(PLOTS) - 2
    assert not any(f'alt="{name.replace("_", " ")}"' in html for name in of_networks)


def test_figures_for_papers_are_those_of_the_last_evaluation(runs: Runs, tmp_path: Path) -> None:
    for kind in ("svg", "pdf"):
        evaluate_machine(runs.bare, runs.split.test, tmp_path, plots="none", figures=kind)
        written = {path.name for path in (tmp_path / "figures").iterdir()}
        assert written == {
            f"{name}.{kind}" for name in PLOTS.keys() - {"latents", "training_curves"}
        }
    evaluate_machine(runs.bare, runs.split.test, tmp_path, plots="none")
    assert not (tmp_path / "figures").exists()


def test_the_curves_are_the_models_wherever_it_is_evaluated(
    runs: Runs, tmp_path: Path, drawn: list[EvaluationData]
) -> None:
    for folder in (runs.folder, tmp_path, runs.bare_folder):
        evaluate_machine(runs.detector, runs.split.test, folder)
    # The history of another model's folder is not shown.
    evaluate_machine(runs.bare, runs.split.test, runs.folder)
    own, elsewhere, beside_another, bare = (data.history for data in drawn)
    epochs = [(epoch.stage, epoch.epoch) for epoch in runs.detector.provenance.history]
    assert len(epochs) == 6
    for history in (own, elsewhere, beside_another):
        assert [(row["stage"], row["epoch"]) for row in history] == epochs
    assert all("watch_auroc" in row for row in own)
    assert not any("watch_auroc" in row for row in (*elsewhere, *beside_another))
    assert bare == []


def test_without_clips_there_is_nothing_to_evaluate(runs: Runs, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(NothingToEvaluate):
        evaluate_machine(runs.bare, [], out)
    assert not out.exists()


def missing(clips: Sequence[Clip], folder: Path) -> list[Clip]:
    return [replace(clip, path=folder / "gone.wav") for clip in clips]


def test_clips_that_all_fail_are_an_error(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no clip could be scored: .*gone\.wav") as refused:
        evaluate_machine(runs.bare, missing(runs.split.test, tmp_path), tmp_path)
    assert not isinstance(refused.value, NothingToEvaluate)


def test_a_clip_that_fails_is_listed(
    runs: Runs, tmp_path: Path, drawn: list[EvaluationData]
) -> None:
    clips = [*runs.split.test[:-1], *missing(runs.split.test[-1:], tmp_path)]
    evaluation = evaluate_machine(runs.bare, clips, tmp_path)
    assert len(evaluation.scored) == len(clips) - 1 and len(evaluation.failures) == 1
    assert "gone.wav" in json.loads((tmp_path / "metrics.json").read_text())["failed"][0]
    assert "gone.wav" in (tmp_path / "report.html").read_text()


def test_without_labels_there_are_scores_but_no_metrics(
    runs: Runs, tmp_path: Path, drawn: list[EvaluationData]
) -> None:
    unlabelled = [replace(clip, label=None) for clip in runs.split.test]
    evaluation = evaluate_machine(runs.bare, unlabelled, tmp_path)
    assert evaluation.metrics is None and len(evaluation.scored) == len(unlabelled)
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert record["metrics"] is None and record["family_auroc"] == {}


def test_training_clips_are_refused_by_content(runs: Runs, tmp_path: Path) -> None:
    copy = tmp_path / "another_name.wav"
    copy.write_bytes(runs.split.train[0].path.read_bytes())
    clip = replace(runs.split.test[0], path=copy, name=copy.name)
    with pytest.raises(UserError, match="used in training"):
        evaluate_machine(runs.bare, [*runs.split.test, clip], tmp_path)
