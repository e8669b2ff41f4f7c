"""A full disk costs nothing that is finished: one line, whole files, and it goes on with room."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile.commands import Commands, Ended
from hostile.results import assert_whole, left_over, said
from small_disks import small_disk_at
from synthetic_data import TINY

pytestmark = [
    pytest.mark.xdist_group("commands"),
    pytest.mark.skipif(sys.platform != "linux", reason="sizes of files are limited as on Linux"),
]

_TINY = [f"--set={setting}" for setting in TINY]
_SIGNALS = "--set=scoring.families=[logmel,level]"
_BENCHMARK = ["--detectors=knn", "--seeds=1", "--level=equalised", "--channels=0"]
COMMANDS = {
    "fit": ["fit", "DATA", "--id=id_00", "--out=OUT", *_TINY, "--preset=instant"],
    "networks": ["fit", "DATA", "--id=id_00", "--out=OUT", *_TINY, "--preset=small"],
    "score": ["score", "MODEL", "DATA", "--out=OUT/scores.csv"],
    "manifest": ["inspect", "DATA", "--write-manifest=OUT/manifest.csv"],
    "evaluate": ["evaluate", "MODEL", "DATA", "--id=id_00", "--out=OUT", "--plots=sheet"],
    "export": ["export", "MODEL", "--out=OUT"],
    "serial": ["run-all", "DATA", "--save=OUT", *_TINY, _SIGNALS, "--engine=serial"],
    "processes": ["run-all", "DATA", "--save=OUT", *_TINY, _SIGNALS, "--engine=processes"],
    "benchmark": ["benchmark", "DATA", "--out=OUT", *_BENCHMARK],
}


class Places:
    """The data and the model that the commands use."""

    def __init__(self, data: Path, model: Path) -> None:
        self._names = {"DATA": str(data), "MODEL": str(model)}

    def arguments(self, command: str, out: Path) -> list[str]:
        words = [self._names.get(word, word) for word in COMMANDS[command]]
        quiet = [] if command == "export" else ["-q"]
        return [*(word.replace("=OUT", f"={out}") for word in words), *quiet]


@pytest.fixture
def places(two_machines: Path, fitted: Path) -> Places:
    return Places(two_machines, fitted)


def _assert_named_in_one_line(command: str, ended: Ended) -> None:
    assert ended.code in (1, 2), ended
    assert "Traceback" not in ended.err and "fault of the program" not in ended.err
    if command in ("serial", "processes"):  # a job that fails stands in the summary
        return
    errors = [line for line in ended.err.splitlines() if line.startswith(("error: ", "failed: "))]
    assert len(errors) >= 1, ended.err
    assert all("; " in line for line in errors), ended.err
    assert any("too large" in line or "No space" in line for line in errors), ended.err


@pytest.mark.parametrize(
    ("command", "largest"),
    [
        ("fit", 4096),
        ("score", 2048),
        ("manifest", 700),
        pytest.param("evaluate", 3000, marks=pytest.mark.slow),
        pytest.param("networks", 100_000, marks=pytest.mark.slow),
        pytest.param("evaluate", 20_000, marks=pytest.mark.slow),
        pytest.param("export", 50_000, marks=pytest.mark.slow),
        pytest.param("serial", 100_000, marks=pytest.mark.slow),
        pytest.param("processes", 100_000, marks=pytest.mark.slow),
        pytest.param("benchmark", 2000, marks=pytest.mark.slow),
    ],
)
def test_files_that_cannot_grow(
    commands: Commands, places: Places, command: str, largest: int, tmp_path: Path
) -> None:
    arguments = places.arguments(command, tmp_path / "out")
    ended = commands.run(*arguments, largest_file=largest)
    _assert_named_in_one_line(command, ended)
    assert_whole(tmp_path / "out")
    assert commands.left_behind() == []
    # With room it goes on.
    ended = commands.run(*arguments)
    assert ended.code == 0, ended.err
    assert_whole(tmp_path / "out")
    assert left_over(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("command", "file"), [("score", "scores.csv"), ("manifest", "manifest.csv")]
)
def test_the_old_file_stays(
    commands: Commands, places: Places, command: str, file: str, tmp_path: Path
) -> None:
    old = tmp_path / "out" / file
    old.parent.mkdir()
    old.write_text("old\n")
    ended = commands.run(*places.arguments(command, tmp_path / "out"), largest_file=700)
    assert ended.code == 2 and old.read_text() == "old\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, to be filled."""
    place = tmp_path / "disk"
    with small_disk_at(place, "64k"):
        yield place


def _resize(disk: Path, kilobytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", disk], check=True)


@pytest.mark.parametrize(
    ("command", "sizes"),
    [
        ("fit", [64, 5400]),
        pytest.param("networks", [64, 5400, 5800, 6400], marks=pytest.mark.slow),
        pytest.param("evaluate", [4, 8, 16, 32, 64], marks=pytest.mark.slow),
        pytest.param("serial", [64, 5300, 6000], marks=pytest.mark.slow),
        pytest.param("benchmark", [4, 16], marks=pytest.mark.slow),
    ],
)
def test_a_disk_that_is_full_and_gets_room(
    commands: Commands,
    places: Places,
    command: str,
    sizes: list[int],
    small_disk: Path,
    tmp_path: Path,
) -> None:
    elsewhere, out = tmp_path / "out", small_disk / "out"
    assert commands.run(*places.arguments(command, elsewhere)).code == 0
    for kilobytes in sizes:
        _resize(small_disk, kilobytes)
        ended = commands.run(*places.arguments(command, out))
        if ended.code:
            _assert_named_in_one_line(command, ended)
        assert_whole(small_disk)
    _resize(small_disk, 50_000)
    ended = commands.run(*places.arguments(command, out))
    assert ended.code == 0, ended.err
    assert said(out) == said(elsewhere)
    assert left_over(out) == []
