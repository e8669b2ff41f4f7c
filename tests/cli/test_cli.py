"""Every verb once on made data, every bad input, and what a kill leaves behind."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector import cli
from synthetic_data import SAMPLE_RATE, TINY, hum, write_machine

SOURCE = Path(__file__).parents[2] / "src"
QUICK = [
    f"--set={setting}" for setting in (*TINY, "scoring.families=[logmel,difference,envelope,level]")
]
SMALL = [f"--set={setting}" for setting in TINY]


class Result:
    """What a run of `aad` came to."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


Aad = Callable[..., Result]


@pytest.fixture
def aad(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Aad:
    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["aad", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capfd.readouterr()
        return Result(int(exit_.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """A run folder's model without networks, made by the command itself."""
    out = tmp_path_factory.mktemp("run")
    program = [sys.executable, "-m", "audio_anomaly_detector"]
    subprocess.run([*program, "fit", data_root, "--out", out, *QUICK, "-q"], check=True)
    return out / "model.pth"


def test_help_names_every_verb(aad: Aad) -> None:
    result = aad("--help")
    assert result.code == 0
    for verb in ("inspect", "synth", "fit", "score", "evaluate", "info", "run-all"):
        assert verb in result.out
        assert aad(verb, "--help").code == 0


def test_version(aad: Aad) -> None:
    assert aad("--version").out.strip() == version("audio-anomaly-detector")


def test_inspect(aad: Aad, data_root: Path) -> None:
    result = aad("inspect", data_root, "-q")
    assert result.code == 0
    assert "id_00" in result.out and "no problems found" in result.out
    [machine] = json.loads(aad("inspect", data_root, "--json", "-q").out)["machines"]
    assert (machine["normal"], machine["anomalous"]) == (8, 3)
    assert machine["sample_rates"] == {str(SAMPLE_RATE): 11}


def test_synth_fit_evaluate_score_info(aad: Aad, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "run"
    made = aad("synth", data, "--machines=valve", "--ids=1", "--normal=8", "--abnormal=3", "-q")
    assert made.code == 0, made.err
    fitted = aad("fit", data, "--id=id_00", "--out", out, *SMALL, "--watch-test")
    assert fitted.code == 0, fitted.err
    assert fitted.err.count("test ROC AUC") == 6  # three stages of two epochs
    evaluated = aad("evaluate", out / "model.pth", data, "-q")
    assert evaluated.code == 0, evaluated.err
    assert "ROC AUC" in evaluated.out and str(out / "report.html") in evaluated.out
    assert "gamma fit to 5 normal clips, 10% false alarms" in (out / "report.html").read_text()
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
    assert len(told["calibration_clips"]) == told["n_calibration_clips"] == 5
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
    assert "oracle" in aad("evaluate", out / "model.pth", data_root, "-q").out
    assert json.loads((out / "metrics.json").read_text())["oracle"] is True
    assert "oracle" in (out / "report.html").read_text().lower()
    assert "oracle: true" in aad("info", out / "model.pth").out


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


def write_bad_clips(folder: Path) -> list[str]:
    """One file of every kind that cannot be scored."""
    soundfile.write(folder / "whole.wav", hum(1), SAMPLE_RATE)
    whole = (folder / "whole.wav").read_bytes()
    (folder / "whole.wav").unlink()
    (folder / "empty.wav").write_bytes(b"")
    (folder / "truncated.wav").write_bytes(whole[: len(whole) // 2])
    (folder / "no_audio.wav").write_text("this is a letter")
    soundfile.write(folder / "tiny.wav", hum(1)[:3], SAMPLE_RATE)
    soundfile.write(folder / "silent.wav", 0 * hum(1), SAMPLE_RATE)
    soundfile.write(folder / "constant.wav", 0 * hum(1) + 0.25, SAMPLE_RATE)
    broken = hum(1)
    broken[5000, 1] = np.nan
    soundfile.write(folder / "nan.wav", broken, SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(folder / "five_channels.wav", hum(1, channels=5), SAMPLE_RATE)
    zero = bytearray(whole)
    zero[22:24] = b"\0\0"  # the header's number of channels
    (folder / "zero_channels.wav").write_bytes(zero)
    (folder / "dangling.wav").symlink_to(folder / "nowhere.wav")
    return [path.name for path in folder.iterdir() if path.name != "good.wav"]


def test_bad_clips_among_the_training_clips(aad: Aad, tmp_path: Path) -> None:
    machine = write_machine(tmp_path / "fan" / "id_00", abnormal=0)
    bad = write_bad_clips(machine / "normal")
    bad = [name for name in bad if not name[0].isdigit()]
    result = aad("fit", tmp_path, "--out", tmp_path / "run", *QUICK, "-q")
    assert result.code == 1
    assert sum(line.startswith("failed: ") for line in result.err.splitlines()) == len(bad)
    assert (tmp_path / "run" / "model.pth").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "MISSING"], "no such folder or file"),
        (["fit", "MISSING"], "no such folder or file"),
        (["fit", "EMPTY"], "no audio files"),
        (["fit", "DATA", "--id", "id_99"], "id_00"),
        (["fit", "DATA", "--preset", "huge"], "there are: instant, small, base, paper"),
        (["fit", "DATA", "--device", "tpu"], "choose one of auto, cpu, cuda"),
        (["fit", "DATA", "--set", "scoring.vews=1"], "known here: families, views"),
        (["fit", "DATA", "--channels", "some"], "channels"),
        (["fit", "DATA", "--channels", "7"], "has no channel 7"),
        (["fit", "DATA", "--layout", "mimi"], "choose auto, "),
        (["fit", "DATA", "--config", "MISSING"], "cannot read"),
        (["fit", "DATA", "--out", "FILE/run"], "choose another place"),
        (["score", "MISSING", "DATA"], "no such model file"),
        (["score", "FILE", "DATA"], "not a model file"),
        (["evaluate", "FILE", "DATA"], "not a model file"),
        (["info", "FILE"], "not a model file"),
        (["run-all", "--root", "MISSING"], "no such folder or file"),
        (["run-all", "--root", "DATA", "--engine", "slurm"], "serial, processes, ray"),
        (["synth", "FILE"], "FILE"),
        (["synth", "EMPTY", "--machines", "crane"], "machines"),
        (["fly"], "No such command"),
        (["fit"], "Missing argument"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    aad: Aad, tmp_path: Path, data_root: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FILE").write_text("text")
    places = {"DATA": data_root}
    for name in ("MISSING", "EMPTY", "FILE", "FILE/run"):
        places[name] = tmp_path / name
    extra = ["-q"] if arguments[0] == "fit" and len(arguments) > 1 else []
    result = aad(*(places.get(argument, argument) for argument in arguments), *extra)
    assert result.code == 2
    assert message in result.err.replace("\n", " ")
    assert "Traceback" not in result.err


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


def test_run_all_goes_on_past_an_id_that_fails(aad: Aad, tmp_path: Path) -> None:
    data, save = tmp_path / "data", tmp_path / "best"
    write_machine(data / "0_dB_fan" / "fan" / "id_00")
    write_machine(data / "0_dB_fan" / "fan" / "id_02", normal=2, abnormal=1)
    arguments = ("run-all", "--root", data, "--save", save, *QUICK, "-q")
    result = aad(*arguments)
    assert result.code == 1
    assert (save / "best_0_dB_fan_fan_id_00.pth").exists()
    with (save / "summary.csv").open() as file:
        rows = {row["machine_id"]: row for row in csv.DictReader(file)}
    assert rows["id_00"]["status"] == "done"
    assert rows["id_02"]["status"] == "failed"
    assert "too little normal sound" in rows["id_02"]["error"]
    before = (save / "best_0_dB_fan_fan_id_00.pth").stat().st_mtime_ns
    assert aad(*arguments).code == 1
    assert (save / "best_0_dB_fan_fan_id_00.pth").stat().st_mtime_ns == before


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


def test_killed_and_started_again_it_ends_with_the_same_model(
    data_root: Path, tmp_path: Path
) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def command(out: Path) -> list[object]:
        program = [sys.executable, "-m", "audio_anomaly_detector", "fit", data_root]
        return [*program, "--out", out, *SMALL, "-q"]

    whole, cut = tmp_path / "whole", tmp_path / "cut"
    subprocess.run(command(whole), check=True, env=environment)
    for checkpoint in ("fold-1-transformer.pt", "final-vqvae.pt"):
        process = subprocess.Popen(command(cut), env=environment)
        deadline = time.monotonic() + 120
        while not (cut / ".work" / checkpoint).exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (cut / "model.pth").exists()
    subprocess.run(command(cut), check=True, env=environment)
    assert (cut / "model.pth").read_bytes() == (whole / "model.pth").read_bytes()
    assert (cut / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()
    assert not (cut / ".work").exists()
