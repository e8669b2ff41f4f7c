"""What verbs that learn do with names that they cannot read, and with odd names."""

import json
import shutil
from pathlib import Path

import pytest

from command_line import QUICK, Aad
from synthetic_data import write_machine


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with 9 normal and 3 faulty clips in `0_good` and `1_inner_race`."""
    made = write_machine(tmp_path / "made", normal=9, abnormal=3)
    root = tmp_path / "press"
    shutil.copytree(made / "normal", root / "0_good")
    shutil.copytree(made / "abnormal", root / "1_inner_race")
    return root


def test_what_is_unclear_is_asked_and_can_be_said(aad: Aad, machine: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    looked = aad("inspect", machine, "-q")
    assert looked.code == 1
    assert '"0_good" says normal, but what is "1_inner_race"?' in looked.err
    for verb in (["fit", machine, "--out", out], ["run-all", machine, "--save", out]):
        asked = aad(*verb, *QUICK, "-q")
        assert asked.code == 2 and asked.err.count("\n") == 1
        assert "unclear" in asked.err and "--normal PATTERN" in asked.err
    assert not out.exists()
    said = ("--normal=0_*", "--abnormal=*race")
    assert aad("inspect", machine, *said, "-q").code == 0
    assert aad("fit", machine, *said, "--out", out, *QUICK, "-q").code == 0
    assert aad("evaluate", out, machine, "-q").code == 2
    assert aad("evaluate", out, machine, *said, "-q").code == 0
    scored = aad("score", out, machine, "--json", "-q")  # labels are no matter
    assert scored.code == 0 and len(json.loads(scored.out)) == 12


def test_a_manifest_to_be_corrected(aad: Aad, machine: Path, tmp_path: Path) -> None:
    table = tmp_path / "list.csv"
    assert aad("inspect", machine, "--write-manifest", table, "-q").code == 1
    lines = table.read_text().splitlines()
    assert sum(",normal," in line for line in lines) == 9
    assert aad("inspect", table, "-q").code == 0
    corrected = [line.replace("wav,,", "wav,anomalous,") for line in lines]
    table.write_text("\n".join(corrected))
    [summary] = json.loads(aad("inspect", table, "--json", "-q").out)["machines"]
    assert (summary["normal"], summary["anomalous"], summary["unknown"]) == (9, 3, 0)


def test_a_folder_of_faults_is_not_learnt(aad: Aad, data_root: Path, tmp_path: Path) -> None:
    faults = data_root / "0_dB_fan" / "fan" / "id_00" / "abnormal"
    for verb in (["fit", faults, "--out"], ["run-all", faults, "--save"]):
        result = aad(*verb, tmp_path / "run", *QUICK, "-q")
        assert result.code == 2 and result.err.count("\n") == 1
        assert 'own name, "abnormal" → anomalous (3 clips)' in result.err


def test_what_was_left_out_is_named_by_every_verb(
    aad: Aad, model: Path, data_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    shutil.copytree(data_root, root)
    (root / "notes.doc").touch()
    problem = "problem: 1 file(s) are not audio and were passed over: 1 × .doc"
    assert problem in aad("inspect", root, "-q").err
    assert problem in aad("fit", root, "--out", tmp_path / "run", *QUICK, "-q").err
    assert problem in aad("evaluate", model, root, "--out", tmp_path / "evaluated", "-q").err
    assert problem in aad("run-all", root, "--save", tmp_path / "all", *QUICK, "-q").err


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", ""],
        ["inspect", ".", "--data="],
        ["fit", ".", "--out", ""],
        ["fit", ".", "--out="],
        ["score", "MODEL", ""],
    ],
)
def test_an_empty_argument_is_no_folder(aad: Aad, arguments: list[str]) -> None:
    result = aad(*arguments)
    assert result.code == 2 and result.err.count("\n") == 1
    assert "is empty" in result.err


def test_names_do_not_steer_the_terminal(aad: Aad, tmp_path: Path) -> None:
    for name in ("\x1b[2Ja", "\u202eb"):
        (tmp_path / f"{name}.wav").touch()
    result = aad("inspect", tmp_path, "-q")
    assert "\\x1b[2Ja.wav: is empty" in result.err and "\\u202eb.wav" in result.err
    missing = aad("inspect", tmp_path / "\x1b[2J")
    assert "\\x1b[2J: there is no such" in missing.err
    assert not {"\x1b", "\u202e"} & set(result.out + result.err + missing.err)
