"""Every machine id below a folder."""

import csv
from pathlib import Path

from command_line import QUICK, Aad
from synthetic_data import write_machine


def test_run_all_goes_on_past_an_id_that_fails(aad: Aad, tmp_path: Path) -> None:
    data, save = tmp_path / "data", tmp_path / "best"
    write_machine(data / "0_dB_fan" / "fan" / "id_00")
    write_machine(data / "0_dB_fan" / "fan" / "id_02", normal=2, abnormal=1)
    arguments = ("run-all", "--root", data, "--save", save, *QUICK, "-q")
    result = aad(*arguments)
    assert result.code == 1
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert [row[1] for row in rows if row[0].endswith(("id_00", "id_02"))] == ["done", "failed"]
    assert "too little normal sound" in result.err
    assert (save / "best_0_dB_fan_fan_id_00.pth").exists()
    with (save / "summary.csv").open() as file:
        rows = {row["machine_id"]: row for row in csv.DictReader(file)}
    assert rows["id_00"]["status"] == "done"
    assert rows["id_02"]["status"] == "failed"
    assert "too little normal sound" in rows["id_02"]["error"]
    page = (save / "index.html").read_text()
    assert "0_dB_fan_fan_id_00/report.html" in page and "too little normal sound" in page
    before = (save / "best_0_dB_fan_fan_id_00.pth").stat().st_mtime_ns
    assert aad(*arguments).code == 1
    assert (save / "best_0_dB_fan_fan_id_00.pth").stat().st_mtime_ns == before


def test_places_by_all_their_names(aad: Aad, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_machine(data / "0_dB_fan" / "fan" / "id_00", abnormal=0)
    forms = ([data], ["--root", data], ["--data", data])
    for number, (form, name) in enumerate(zip(forms, ("--save", "--out", "--out"), strict=True)):
        save = tmp_path / str(number)
        result = aad("run-all", *form, name, save, *QUICK, "-q")
        assert result.code == 0, result.err
        assert (save / "summary.csv").exists()
    for arguments in (
        [data, "--root", tmp_path],
        ["--root", data, "--data", tmp_path],
        [data, "--save", tmp_path / "a", "--out", tmp_path / "b"],
    ):
        result = aad("run-all", *arguments, *QUICK, "-q")
        assert result.code == 2 and result.err.count("\n") == 1
        assert "give one" in result.err
    assert "give one" in aad("benchmark", data, "--root", tmp_path, "-q").err


def test_a_run_folder_of_run_all_stands_for_its_model(aad: Aad, tmp_path: Path) -> None:
    data, save = tmp_path / "data", tmp_path / "best"
    write_machine(data / "0_dB_fan" / "fan" / "id_00")
    assert aad("run-all", data, "--save", save, *QUICK, "-q", "--figures", "svg").code == 0
    folder = save / "0_dB_fan_fan_id_00"
    assert (folder / "figures/roc.svg").exists()
    by_folder, by_file = (
        aad("info", model, "--json").out for model in (folder, save / f"best_{folder.name}.pth")
    )
    assert by_folder == by_file
    (folder / "metrics.json").unlink()
    assert aad("evaluate", folder, data, "-q", "--figures", "pdf").code == 0
    assert not (folder / "figures/roc.svg").exists() and (folder / "figures/roc.pdf").exists()
    assert (folder / "metrics.json").exists()  # beside the rest of the run
