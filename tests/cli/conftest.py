"""The command and a model made by it."""

import subprocess
import sys
from pathlib import Path

import pytest

from audio_anomaly_detector import cli
from command_line import QUICK, Aad, Result


@pytest.fixture
def aad(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Aad:
    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["aad", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        captured = capfd.readouterr()
        return Result(int(exit_.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """A run folder's model without networks, made by the command itself."""
    out = tmp_path_factory.mktemp("run")
    program = [sys.executable, "-m", "audio_anomaly_detector"]
    subprocess.run([*program, "fit", data_root, "--out", out, *QUICK, "-q"], check=True)
    return out / "model.pth"
