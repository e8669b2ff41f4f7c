"""Help, version, wrong usage."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from audio_anomaly_detector import cli
from audio_anomaly_detector.errors import UserError
from command_line import Aad


def test_help_names_every_verb(aad: Aad) -> None:
    result = aad("--help")
    assert result.code == 0
    for verb in ("inspect", "synth", "fit", "score", "explain", "evaluate", "info", "run-all"):
        assert verb in result.out
        assert aad(verb, "--help").code == 0


def test_version(aad: Aad) -> None:
    assert aad("--version").out.strip() == version("audio-anomaly-detector")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspect", "MISSING"], "no such folder or file"),
        (["fit", "MISSING"], "no such folder or file"),
        (["fit", "EMPTY"], "no audio files"),
        (["fit", "DATA", "--id", "id_99"], "id_00"),
        (["fit", "DATA", "--preset", "huge"], "'instant', 'small', 'base', 'paper'"),
        (["fit", "DATA", "--device", "tpu"], "'auto', 'cpu', 'cuda'"),
        (["fit", "DATA", "--set", "scoring.vews=1"], "known here: families, views"),
        (["fit", "DATA", "--channels", "some"], "channels"),
        (["fit", "DATA", "--channels", "7"], "has no channel 7"),
        (["fit", "DATA", "--layout", "mimi"], "is not one of 'auto', 'mimii', "),
        (["fit", "DATA", "--config", "MISSING"], "cannot read"),
        (["fit", "DATA", "--out", "FILE/run"], "choose another place"),
        (["score", "MISSING", "DATA"], "no such model file"),
        (["score", "FILE", "DATA"], "not a model file"),
        (["evaluate", "FILE", "DATA"], "not a model file"),
        (["info", "FILE"], "not a model file"),
        (["run-all", "--root", "MISSING"], "no such folder or file"),
        (["run-all", "--root", "DATA", "--engine", "slurm"], "'serial', 'processes', 'ray'"),
        (["run-all", "DATA", "--pool", "some"], "'none', 'machine', 'all'"),
        (["score", "FILE", "DATA", "--on-error", "retry"], "'skip', 'stop'"),
        (["score", "FILE", "DATA", "--runtime", "tpu"], "'auto', 'torch', 'onnx'"),
        (["score", "FILE", "DATA", "--threshold-method", "x"], "'auto', 'gamma', 'conformal'"),
        (["export", "FILE", "--format", "tflite"], "onnx"),
        (["export", "FILE", "--quantize", "int4"], "int8"),
        (["benchmark", "DATA", "--protocol", "all"], "'folds', 'split'"),
        (["benchmark", "DATA", "--level", "x"], "'equalised', 'recorded', 'both'"),
        (["benchmark", "DATA", "--detectors", "x"], "choose one of "),
        (["fit", "DATA", "--set", "audio=3"], "it holds: sample_rate, length, channels, level"),
        (["fit", "DATA", "--set", "logmel=5"], "it holds: "),
        (["fit", "DATA", "--set", "stages=1"], "it holds: despawn, "),
        (["fit", "DATA", "--config", "SECTION"], "setting 'logmel' = 5: this is a section"),
        (["info", "EMPTY"], "looked for model.pth, final_audio_anomaly_model.pth, "),
        (["synth", "FILE"], "FILE"),
        (["synth", "EMPTY", "--faults", "x"], "'tuning', 'held_out'"),
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
    (tmp_path / "SECTION").write_text("logmel: 5")
    places = {"DATA": data_root}
    for name in ("MISSING", "EMPTY", "FILE", "FILE/run", "SECTION"):
        places[name] = tmp_path / name
    extra = ["-q"] if arguments[0] == "fit" and len(arguments) > 1 else []
    result = aad(*(places.get(argument, argument) for argument in arguments), *extra)
    assert result.code == 2
    assert message in result.err
    assert result.err.startswith("error: ") and result.err.count("\n") == 1
    assert "fault of the program" not in result.err


def test_alone_it_prints_the_help(aad: Aad) -> None:
    result = aad()
    assert result.code == 2
    assert "Usage: " in result.out
    assert result.err == ""


def test_debug_stands_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for arguments in (["--debug", "info", tmp_path], ["info", tmp_path, "--debug"]):
        monkeypatch.setattr(sys, "argv", ["aad", *map(str, arguments)])
        with pytest.raises(UserError):
            cli.main()


def test_common_options_come_first_and_the_others_in_groups(aad: Aad) -> None:
    for verb in ("fit", "run-all"):
        lines = aad(verb, "--help").out.splitlines()
        panels = [line.split()[1] for line in lines if line.startswith("╭")]
        assert panels[:2] == ["Arguments", "Options"]
        assert {"Recordings", "Settings", "Computing", "Test"} <= set(panels)
        assert max(map(len, lines)) <= 80


def test_the_help_imports_nothing_heavy() -> None:
    program = """
import sys
from audio_anomaly_detector import cli
sys.argv = ["aad", *sys.argv[1:]]
try:
    cli.main()
except SystemExit as end:
    assert end.code == 0
heavy = {"torch", "numpy", "scipy", "sklearn", "matplotlib", "ray", "yaml"}
print("imported:", sorted(heavy & set(sys.modules)))
"""
    for verb in ([], ["fit"], ["run-all"], ["benchmark"]):
        command = [sys.executable, "-c", program, *verb, "--help"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "imported: []"


def test_shell_completion(aad: Aad) -> None:
    assert "--install-completion" in aad("--help").out
    for words, expected in (
        ("aad ru", "run-all"),
        ("aad fit --preset ", "instant"),
        ("aad fit --layout ", "mimii"),
    ):
        environment = {
            **os.environ,
            "_AAD_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        program = (
            "import sys; from audio_anomaly_detector.cli import main; sys.argv[0] = 'aad'; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert expected in done.stdout.splitlines()
