"""A run that is killed at any moment costs nothing: the same command again gives the same bytes."""

import random
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from hostile.commands import Commands, wait_for_the_end_of
from hostile.results import assert_whole, left_over, said
from synthetic_data import TINY

pytestmark = [
    pytest.mark.xdist_group("commands"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are watched by /proc"),
]

_TINY = [f"--set={setting}" for setting in TINY]
_INSTANT = [*_TINY, "--preset=instant"]
_SIGNALS = "--set=scoring.families=[logmel,level]"
_OUT = {"fit": "--out", "benchmark": "--out", "run-all": "--save"}
RUNS = {
    "instant": ["fit", "--id=id_00", *_INSTANT],
    "small": ["fit", "--id=id_00", *_TINY, "--preset=small"],
    "serial": ["run-all", *_INSTANT, _SIGNALS, "--engine=serial", "--plots=sheet"],
    "processes": ["run-all", *_INSTANT, _SIGNALS, "--engine=processes", "--plots=none"],
    "ray": ["run-all", *_INSTANT, _SIGNALS, "--engine=ray", "--plots=none"],
    "benchmark": [
        "benchmark",
        *("--detectors=knn", "--seeds=1", "--level=equalised", "--channels=0", "--workers=2"),
    ],
}


class Reference(NamedTuple):
    """An uninterrupted run.

    Attributes:
        said: its results.
        changes: of files, by its first process.
        seconds: that it took.
    """

    said: dict[str, object]
    changes: int
    seconds: float


class Runs:
    """Runs of the kinds in `RUNS` on one data set, each in its own folder."""

    def __init__(self, folder: Path, commands: Commands, data: Path) -> None:
        self.commands = commands
        self._folder, self._data = folder, data
        self._references: dict[str, Reference] = {}
        self._count = 0

    def new_folder(self) -> Path:
        self._count += 1
        return self._folder / str(self._count)

    def arguments(self, kind: str, out: Path) -> list[object]:
        verb, *options = RUNS[kind]
        return [verb, self._data, _OUT[verb], out, *options, "-q"]

    def reference(self, kind: str) -> Reference:
        if kind not in self._references:
            out = self.new_folder()
            began = time.monotonic()
            ended = self.commands.run(*self.arguments(kind, out), watch=out)
            assert ended.code == 0, ended.err
            seconds = time.monotonic() - began
            self._references[kind] = Reference(said(out), ended.changes, seconds)
            assert not left_over(out) and not self.commands.left_behind()
        return self._references[kind]

    def assert_ends_like_the_reference(self, kind: str, out: Path) -> None:
        ended = self.commands.run(*self.arguments(kind, out))
        assert ended.code == 0, ended.err
        assert said(out) == self.reference(kind).said
        assert left_over(out) == []
        assert self.commands.left_behind() == []


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, commands: Commands, two_machines: Path) -> Runs:
    return Runs(tmp_path_factory.mktemp("kills"), commands, two_machines)


def _killed_before_change(runs: Runs, kind: str, change: int) -> None:
    out = runs.new_folder()
    killed = runs.commands.start(*runs.arguments(kind, out), watch=out, kill_at=change)
    assert killed.wait().code == -signal.SIGKILL, change
    assert_whole(out)
    wait_for_the_end_of(killed.pid)
    runs.assert_ends_like_the_reference(kind, out)


def _killed_at(runs: Runs, kind: str, share: float, number: int) -> None:
    out = runs.new_folder()
    began = runs.commands.start(*runs.arguments(kind, out))
    time.sleep(share * runs.reference(kind).seconds)
    began.send(number)
    ended = began.wait()
    # On a busy machine a run may be over before the signal comes.
    assert ended.code in (0, -number, 128 + number), ended.err
    assert "Traceback" not in ended.err
    if out.exists():
        assert_whole(out)
    wait_for_the_end_of(began.pid)
    runs.assert_ends_like_the_reference(kind, out)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_fit_killed_between_two_changes_of_files(runs: Runs, share: float) -> None:
    _killed_before_change(runs, "instant", round(share * runs.reference("instant").changes))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "times"), [("small", 2), ("serial", 2), ("benchmark", 2)])
def test_runs_killed_between_two_changes_of_files(runs: Runs, kind: str, times: int) -> None:
    changes = random.Random(kind).sample(range(1, runs.reference(kind).changes + 1), times)
    for change in sorted(changes):
        _killed_before_change(runs, kind, change)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "share", "number"),
    [
        ("small", 0.6, signal.SIGTERM),
        ("processes", 0.55, signal.SIGKILL),
        ("processes", 0.7, signal.SIGTERM),
    ],
)
def test_runs_killed_at_any_time(runs: Runs, kind: str, share: float, number: int) -> None:
    _killed_at(runs, kind, share, number)


@pytest.mark.slow
def test_a_run_on_ray_that_is_killed(runs: Runs) -> None:
    pytest.importorskip("ray", reason="the extra 'dist' is not installed")
    _killed_at(runs, "ray", 0.6, signal.SIGKILL)
