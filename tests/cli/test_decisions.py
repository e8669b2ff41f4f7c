"""`aad decisions`."""

from pathlib import Path

import pytest

from command_line import Aad
from synthetic_data import write_machine


def test_later_clips_of_real_machines_are_judged(aad: Aad, tmp_path: Path) -> None:
    real, out = tmp_path / "real", tmp_path / "out"
    write_machine(real / "press", normal=14, abnormal=2)
    result = aad("decisions", real, "--machines=0", "--workers=1", "--out", out, "-q")
    assert result.code == 0, result.err
    page = (out / "decisions.md").read_text()
    assert "aad decisions $FIELD --machines 0 " in page
    assert "| press | first 70% | later clips | 1 | " in page
    assert (out / "decisions.csv").exists() and (out / "images" / "decisions.png").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--scenarios=gain,wind"], "choose some of normals, recordings, "),
        (["--normals=3"], "--normals 3: give whole numbers from 4 up"),
        (["--normals=all"], "--normals all: give whole numbers"),
        (["--machines=0"], "no machine is left to ask"),
        (["nothing"], "holds no folder of a machine"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    aad: Aad, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    result = aad("decisions", *arguments, "--out", tmp_path / "out", "-q")
    assert result.code != 0 and reason in result.err and len(result.err.splitlines()) == 1
