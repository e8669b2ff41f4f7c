import csv
import errno
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import (
    claim_folder,
    hold_folder,
    is_claimed,
    is_held,
    make_folder,
    temporary_folder,
    write_atomically,
    write_csv,
    write_json,
    write_text,
)
from audio_anomaly_detector.tensor_files import save_tensors


def test_text_is_written_with_its_folders(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "hé")
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "hé"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "old")

    def fail(file) -> None:  # type: ignore[no-untyped-def]
        file.write(b"half")
        raise RuntimeError("on the way")

    with pytest.raises(RuntimeError):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_places_are_one_line_for_root_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for attempt in (
        lambda: make_folder(tmp_path / "file" / "folder"),
        lambda: write_text(tmp_path / "file" / "x.txt", ""),
        lambda: write_text(Path("/proc/nowhere/x.txt"), ""),
    ):
        with pytest.raises(UserError, match="choose another place") as caught:
            attempt()
        assert "\n" not in str(caught.value)


def test_the_same_tensors_give_the_same_bytes_under_any_name(tmp_path: Path) -> None:
    content = {"weights": torch.arange(5.0), "name": "x"}
    save_tensors(tmp_path / "a.pth", content)
    save_tensors(tmp_path / "other.pth", content)
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "other.pth").read_bytes()
    assert torch.equal(
        torch.load(tmp_path / "a.pth", weights_only=True)["weights"], torch.arange(5.0)
    )


def test_tables_hold_any_value_and_name(tmp_path: Path) -> None:
    rows = [['a,"b"\n', 0.1 + 0.2], ["\udcff", None]]
    write_csv(tmp_path / "t.csv", ["name", "value"], rows)
    assert (tmp_path / "t.csv").read_text() == (
        'name,value\n"a,""b""\n",0.30000000000000004\n\\udcff,\n'
    )


def test_plain_data_is_indented_json(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": [1, None]})
    text = (tmp_path / "x.json").read_text()
    assert text == '{\n  "a": [\n    1,\n    null\n  ]\n}\n'


def test_json_holds_no_number_that_is_not_finite(tmp_path: Path) -> None:
    for value in (float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(tmp_path / "x.json", {"a": [1, value]})
    assert not any(tmp_path.iterdir())


def test_a_work_folder_belongs_to_one_piece_of_work(tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert not is_claimed(work, "first")
    claim_folder(work, "first")
    (work / "checkpoint").touch()
    claim_folder(work, "first")
    assert is_claimed(work, "first") and (work / "checkpoint").exists()
    claim_folder(work, "second")
    assert is_claimed(work, "second") and not is_claimed(work, "first")
    assert not (work / "checkpoint").exists()
    with pytest.raises(UserError, match="holds files of others"):
        claim_folder(tmp_path, "first")
    with hold_folder(work):
        claim_folder(work, "third")
        assert (work / ".lock").exists()


# --- folders that are held ------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from audio_anomaly_detector.files import hold_folder
with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_whether_a_folder_of_another_user_is_held_cannot_be_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / ".lock").touch()
    monkeypatch.setattr("filelock.FileLock.acquire", refused)
    with pytest.raises(UserError, match=r"\(Permission denied\); be the user to whom it belongs"):
        is_held(tmp_path)


def test_a_folder_is_held_until_its_process_ends(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        with (
            pytest.raises(
                UserError,
                match=rf"run \(process {other.pid} on .+, since 2.+: -c .+\) is .+another folder",
            ) as told,
            hold_folder(folder),
        ):
            pass
        assert "\n" not in str(told.value)
        claim_folder(folder, "what locks a folder is no file of others")
        other.kill()
    host = socket.gethostname()
    (folder / f".writing-{host}-{other.pid}-abc").touch()  # what else the kill left
    living = folder / f".writing-{host}-{os.getpid()}-abc"
    living.touch()
    with hold_folder(folder), hold_folder(folder):
        assert f'"process": {os.getpid()}' in (folder / ".lock.json").read_text()
    living.unlink()  # of a writer that is still at work
    assert [path.name for path in folder.iterdir()] == ["fingerprint"]


TEMPORARY = """
import os
from audio_anomaly_detector.files import temporary_folder
with temporary_folder() as folder:
    print(folder, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_temporary_folders_of_killed_processes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    environment = {**os.environ, "TMPDIR": str(place)}
    command = [sys.executable, "-c", TEMPORARY]
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    left = Path(killed.stdout.strip())
    assert left.parent == place and left.is_dir()
    with temporary_folder() as living:
        with hold_folder(tmp_path / "run"):
            assert list(place.iterdir()) == [living]
        assert living.is_dir()
    assert not list(place.iterdir())


WRITER = """
import os, sys
from pathlib import Path
from audio_anomaly_detector.files import write_atomically
write_atomically(Path(sys.argv[1]), lambda file: os.kill(os.getpid(), int(sys.argv[2])))
"""


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, tmp_path / "file"]
    assert subprocess.run([*command, "9"], check=False).returncode == -9
    [left] = tmp_path.iterdir()
    assert left.name.startswith(".writing-")
    assert subprocess.run([*command, "0"], check=False).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_long_command_is_named_in_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/aad", "fit", "a b", *["--set=x"] * 30])
    with hold_folder(tmp_path):
        command = json.loads((tmp_path / ".lock.json").read_text())["command"]
    assert command.startswith("aad fit 'a b' --set=x ") and command.endswith("…")
    assert len(command) == 61


def test_of_two_threads_one_holds_a_folder(tmp_path: Path) -> None:
    told: list[str] = []

    def hold() -> None:
        try:
            with hold_folder(tmp_path):
                told.append("held")
        except UserError as error:
            told.append(str(error))

    with hold_folder(tmp_path):
        thread = threading.Thread(target=hold)
        thread.start()
        thread.join()
    assert len(told) == 1 and f"another run (process {os.getpid()}" in told[0]


def test_a_work_folder_whose_clearing_was_killed_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim_folder(tmp_path, "first")
    (tmp_path / "windows").mkdir()

    def killed(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            claim_folder(tmp_path, "second")
    assert not is_claimed(tmp_path, "first")
    claim_folder(tmp_path, "first")
    assert [path.name for path in tmp_path.iterdir()] == ["fingerprint"]


@pytest.mark.parametrize(
    ("column", "text", "written"),
    [
        ("path", "=cmd()|x.wav", "./=cmd()|x.wav"),
        ("path", "+1.wav", "./+1.wav"),
        ("path", "-2.wav", "./-2.wav"),
        ("path", "@x/a.wav", "./@x/a.wav"),
        ("path", "-6_dB_fan/fan/id_00/a.wav#t=0,10", "-6_dB_fan/fan/id_00/a.wav#t=0,10"),
        ("path", "-6_dB_fan/=x|y.wav", "./-6_dB_fan/=x|y.wav"),
        ("machine", "=1+1", "'=1+1"),
        ("machine", "\t=1+1", "'\t=1+1"),
        ("condition", "-6_dB_fan", "-6_dB_fan"),
        ("score", "-0.25", "-0.25"),
        ("score", "-inf", "-inf"),
        ("score", "-", "-"),
        ("label", "a=b", "a=b"),
    ],
)
def test_no_text_opens_a_cell_as_a_formula(tmp_path, column, text, written):
    write_csv(tmp_path / "t.csv", ["n", column], [[1, text], [-2, text]])
    with (tmp_path / "t.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["n", column], ["1", written], ["-2", written]]
