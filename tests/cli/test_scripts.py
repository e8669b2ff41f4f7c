"""The documented entries."""

import subprocess
import sys
from pathlib import Path

import pytest

from audio_anomaly_detector.detector import Detector
from command_line import QUICK, SMALL
from synthetic_data import write_machine

SOURCE = Path(__file__).parents[2] / "src"


def test_the_documented_entry_writes_the_documented_files(data_root: Path, tmp_path: Path) -> None:
    program = [sys.executable, SOURCE / "main.py", "--data", data_root / "0_dB_fan" / "fan"]
    run = subprocess.run(
        [*program, "--id=id_00", "--length=65536", "--device=cpu", *SMALL],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "vqvae_results.png").exists()
    assert (tmp_path / "final_audio_anomaly_model.pth").exists()
    assert "ROC AUC" in run.stdout and "test ROC AUC" in run.stderr


@pytest.fixture
def normals_only(tmp_path: Path) -> Path:
    write_machine(tmp_path / "data" / "fan" / "id_00", abnormal=0)
    return tmp_path / "data"


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SOURCE / script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_without_test_clips_the_script_fits(normals_only: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run("main.py", "--data", normals_only, "--out", out, *SMALL)
    assert done.returncode == 0, done.stderr
    assert (out / "final_audio_anomaly_model.pth").exists()
    assert "nothing to evaluate: " in done.stderr


def preset_of(model: Path) -> str:
    return str(Detector.load(model, "cpu").config.preset)


def test_the_scripts_fit_three_models(normals_only: Path, tmp_path: Path) -> None:
    """By default; a preset of the options or of the file is taken as it is."""
    settings = [setting for setting in QUICK if "preset" not in setting]
    file = tmp_path / "my.yaml"
    file.write_text("preset: paper\n")
    one = ["main.py", "--data", normals_only, "--device=cpu", "--out"]
    every = ["run_all.py", "--root", normals_only, "--device=cpu", "--save"]
    for name, options, expected in (
        ("default", [], "small"),
        ("named", ["--preset=base"], "base"),
        ("file", ["--config", file], "paper"),
    ):
        folder = tmp_path / name
        done = run(*one, folder, *options, *settings)
        assert done.returncode == 0, done.stderr
        assert preset_of(folder / "final_audio_anomaly_model.pth") == expected
    done = run(*every, tmp_path / "fleet", *settings)
    assert done.returncode == 0, done.stderr
    [model] = (tmp_path / "fleet").glob("best_*.pth")
    assert preset_of(model) == "small"


def test_the_scripts_help() -> None:
    for script, option in (("main.py", "--data"), ("run_all.py", "--root")):
        assert option in run(script, "--help").stdout
