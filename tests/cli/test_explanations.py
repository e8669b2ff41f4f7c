"""`aad explanations`."""

from pathlib import Path

import pytest

from command_line import Aad
from synthetic_data import write_machine


def test_altered_recordings_become_a_page(aad: Aad, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_machine(data / "press", normal=7, abnormal=0)
    result = aad("explanations", data, "--machines=0", "--workers=1", "--out", out, "-q")
    assert result.code == 0, result.err
    page = (out / "explanations.md").read_text()
    assert "aad explanations $DATA --machines 0 --snr 0,6 --faults held_out " in page
    assert "| dead microphone | 7 | 100% " in page
    assert (out / "explanations.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--snr=0,loud"], "--snr 0,loud: give whole numbers from -40 to 40"),
        (["--snr=50"], "--snr 50: give whole numbers"),
        (["--machines=0"], "no machine is left to measure"),
        (["nothing"], "nothing"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    aad: Aad, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    result = aad("explanations", *arguments, "--out", tmp_path / "out", "-q")
    assert result.code != 0 and reason in result.err and len(result.err.splitlines()) == 1
