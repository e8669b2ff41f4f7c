"""What a kill leaves behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from command_line import SMALL


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
