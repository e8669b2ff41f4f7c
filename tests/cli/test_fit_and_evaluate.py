"""A fit, its evaluation, and what is marked or refused."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from bad_clips import write_bad_clips
from command_line import QUICK, SMALL, Aad
from synthetic_data import write_machine


def test_synth_fit_evaluate_score_info(aad: Aad, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    written = aad("synth", data, "--machines=valve", "--ids=1", "--normal=8", "--abnormal=3", "-q")
    assert written.code == 0, written.err
    fitted = aad("fit", data, "--id=id_00", "--out", out, *SMALL, "--watch-test")
    assert fitted.code == 0, fitted.err
    assert fitted.err.count("test ROC AUC") == 6  # three stages of two epochs
    evaluated = aad("evaluate", out / "model.pth", data, "-q")
    assert evaluated.code == 0, evaluated.err
    assert evaluated.out.splitlines()[1].startswith("ROC AUC\t")
    assert str(out / "report.html") in evaluated.err
    assert "recordings sound wrong. The worst is " in evaluated.err
    assert "gamma fit to 5 calibration clips, 10% false alarms" in (out / "report.html").read_text()
    files = {path.name for path in out.iterdir()}
    assert files >= {
        "model.pth",
        "metrics.json",
        "scores.csv",
        "split.csv",
        "history.csv",
        "report.html",
        "vqvae_results.png",
        "training_curves.png",
        "roc.png",
        "latents.png",
    }
    assert not [name for name in files if name.startswith(".")]
    with (out / "split.csv").open() as file:
        parts = [(row["label"], row["part"]) for row in csv.DictReader(file)]
    assert sorted(parts) == sorted([("0", "train")] * 5 + [("0", "test")] * 3 + [("1", "test")] * 3)
    with (out / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    # One score everywhere: `aad score` on single files says what the evaluation said.
    for row in rows:
        path = data / row["path"]
        [scored] = json.loads(aad("score", out / "model.pth", path, "--json", "-q").out)
        assert scored["score"] == pytest.approx(float(row["score"]), rel=1e-5, abs=1e-5)
        assert scored["p_value"] == pytest.approx(float(row["p_value"]), rel=1e-3)
        assert scored["components"]["vq_errors"] == pytest.approx(float(row["vq_errors"]), rel=1e-4)
    told = json.loads(aad("info", out / "model.pth", "--json").out)
    assert told["machine"] == "-6_dB_valve/valve/id_00"
    assert told["n_training_clips"] == 5
    assert told["n_calibration_clips"] == told["n_calibration_groups"] == 5
    assert told["codebook_perplexity"] >= 1


def test_watching_the_test_clips_changes_no_byte_of_the_model(
    aad: Aad, data_root: Path, tmp_path: Path
) -> None:
    for name, options in (("blind", []), ("watched", ["--watch-test"])):
        assert aad("fit", data_root, "--out", tmp_path / name, *SMALL, "-q", *options).code == 0
    blind, watched = (tmp_path / name / "model.pth" for name in ("blind", "watched"))
    assert blind.read_bytes() == watched.read_bytes()
    header = (tmp_path / "watched" / "history.csv").read_text().splitlines()[0]
    assert "watch_auroc" in header


def test_choosing_by_labels_is_marked_everywhere(aad: Aad, data_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    refused = aad("fit", data_root, "--out", out, *SMALL, "-q", "--oracle-epoch")
    assert refused.code == 2 and "--watch-test" in refused.err
    options = ["--watch-test", "--oracle-epoch"]
    assert aad("fit", data_root, "--out", out, *SMALL, "-q", *options).code == 0
    assert "oracle" in aad("evaluate", out / "model.pth", data_root, "-q").err
    assert json.loads((out / "metrics.json").read_text())["oracle"] is True
    assert "oracle" in (out / "report.html").read_text().lower()
    assert "oracle: true" in aad("info", out / "model.pth").out


def test_bad_clips_among_the_training_clips(aad: Aad, tmp_path: Path) -> None:
    machine = write_machine(tmp_path / "fan" / "id_00", abnormal=0)
    bad = write_bad_clips(machine / "normal")
    bad = [name for name in bad if not name[0].isdigit()]
    result = aad("fit", tmp_path, "--out", tmp_path / "run", *QUICK, "-q")
    assert result.code == 1
    assert sum(line.startswith("failed: ") for line in result.err.splitlines()) == len(bad)
    assert (tmp_path / "run" / "model.pth").exists()


def test_only_faulty_clips_are_refused(aad: Aad, tmp_path: Path) -> None:
    write_machine(tmp_path / "fan" / "id_00", normal=0, abnormal=5)
    result = aad("fit", tmp_path, "--out", tmp_path / "run", *QUICK, "-q")
    assert result.code == 2 and "too little normal sound" in result.err


def test_evaluating_on_training_clips_is_refused(
    aad: Aad, model: Path, data_root: Path, tmp_path: Path
) -> None:
    """The same recordings under other names are the same recordings."""
    with (model.parent / "split.csv").open() as file:
        trained = [row["path"] for row in csv.DictReader(file) if row["part"] == "train"]
    (tmp_path / "test").mkdir()
    for number, name in enumerate(trained):
        label = "anomaly" if number else "normal"
        target = tmp_path / "test" / f"section_00_source_test_{label}_{number:04d}.wav"
        shutil.copy(data_root / name, target)
    result = aad("evaluate", model, tmp_path, "--out", tmp_path / "run", "-q")
    assert result.code == 2 and "was used in training" in result.err
    assert not (tmp_path / "run").exists()


def test_without_test_clips_there_is_nothing_to_evaluate(aad: Aad, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    write_machine(data / "fan" / "id_00", abnormal=0)
    assert aad("fit", data, "--out", out, *QUICK, "-q", "--watch-test").code == 0
    result = aad("evaluate", out, data, "-q")
    assert result.code == 0
    assert result.err.startswith("nothing to evaluate: ") and result.err.count("\n") == 1
    assert not (out / "metrics.json").exists()


def test_instant_is_the_default_preset(aad: Aad, data_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    setting = ["--set=audio.length=65536", "--set=scoring.folds=2"]
    assert aad("fit", data_root, "--out", out, *setting, "-q").code == 0
    assert json.loads(aad("info", out, "--json").out)["config"]["preset"] == "instant"


def test_data_by_name(aad: Aad, model: Path, data_root: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "run")
    assert aad("inspect", "--data", data_root, "-q").code == 0
    assert aad("fit", "--data", data_root, *out, *QUICK, "-q").code == 0
    assert aad("evaluate", model, "--data", data_root, *out, "-q").code == 0
    assert aad("inspect", data_root, "--data", data_root, "-q").code == 0
    for verb in (["inspect"], ["fit"], ["evaluate", model]):
        twice = aad(*verb, data_root, "--data", tmp_path, "-q")
        assert twice.code == 2 and twice.err.count("\n") == 1
        assert str(data_root) in twice.err and str(tmp_path) in twice.err
