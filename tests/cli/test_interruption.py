"""What a signal leads to where a library catches its exception."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from audio_anomaly_detector import cli

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals to oneself")

program = typer.Typer()


@program.command()
def swallow() -> None:
    """Send this process a signal, and turn its exception into another, as libraries can."""
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException as error:
        raise TypeError("unsupported operand type(s)") from error


def test_an_error_that_a_signal_led_to_is_answered_as_the_signal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["program"])
    with pytest.raises(SystemExit) as ended:
        cli.execute(program)
    assert ended.value.code == 128 + signal.SIGTERM
    assert capsys.readouterr().err.startswith("interrupted: ")


_ENDS_AT_ONCE = """
import os, signal
from audio_anomaly_detector.cli.interruption import end_on_signals, signals_end_at_once
end_on_signals()
with signals_end_at_once("once more"):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:
        print("an exception was raised")
print("the program went on")
"""


def test_where_no_exception_may_be_raised_the_process_ends() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _ENDS_AT_ONCE], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 128 + signal.SIGTERM
    assert (ended.stdout, ended.stderr) == ("", "interrupted: once more\n")


def test_a_signal_while_pytorch_is_imported_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("import torch.inner")
    (tmp_path / "torch/inner.py").write_text(
        "import os, signal\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "except BaseException:\n"
        "    print('an exception was raised')\n"
    )
    script = (
        "from audio_anomaly_detector.cli.interruption import end_on_signals\n"
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "end_on_signals()\n"
        "import torch\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 128 + signal.SIGTERM
    assert ended.stdout == ""
    assert ended.stderr.startswith("interrupted: start the same command again")
