"""What a signal leads to where a library catches its exception."""

import os
import signal
import sys

import pytest
import typer

from audio_anomaly_detector import cli

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals to oneself")

program = typer.Typer()


@program.command()
def swallow() -> None:
    """Send this process a signal, and turn its exception into another, as PyTorch's tracing can."""
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
