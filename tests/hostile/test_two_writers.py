"""Two commands in one folder: the second is told who is at work there, and nothing is lost."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from hostile.commands import Commands, Running, wait_for_the_end_of
from hostile.results import assert_whole, left_over, said
from synthetic_data import TINY

pytestmark = [
    pytest.mark.xdist_group("commands"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are watched by /proc"),
]

_TINY = [f"--set={setting}" for setting in TINY]
_SIGNALS = "--set=scoring.families=[logmel,level]"
_FIT = ["fit", "DATA", "--id=id_00", "--out=OUT", *_TINY, "--preset=small"]
_RUN_ALL = ["run-all", "DATA", "--save=OUT", *_TINY, _SIGNALS, "--plots=none"]
_BENCHMARK = [
    *("benchmark", "DATA", "--out=OUT", "--detectors=knn", "--seeds=1"),
    *("--level=equalised", "--channels=0"),
]
_EVALUATE = ["evaluate", "MODEL", "DATA", "--id=id_00", "--out=OUT", "--plots=none"]


class Places:
    """A folder for two writers, and what they use."""

    def __init__(self, commands: Commands, data: Path, model: Path, out: Path) -> None:
        self.commands, self.out = commands, out
        self._names = {"DATA": str(data), "MODEL": str(model), "OUT": str(out)}

    def arguments(self, words: list[str], out: Path | None = None) -> list[str]:
        folder = str(out or self.out)
        words = [self._names.get(word, word).replace("=OUT", f"={folder}") for word in words]
        return [*words, "-q"]

    def at_work(self, words: list[str]) -> Running:
        """Start a command and wait until it holds its folder."""
        running = self.commands.start(*self.arguments(words))
        while not list(self.out.rglob(".lock.json")):
            assert not running.is_over(), running.wait().err
            time.sleep(0.01)
        return running


@pytest.fixture
def places(commands: Commands, two_machines: Path, fitted: Path, tmp_path: Path) -> Places:
    return Places(commands, two_machines, fitted, tmp_path / "out")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(_FIT, _FIT, id="two fits"),
        pytest.param(_FIT, _EVALUATE, id="fit and evaluate", marks=pytest.mark.slow),
        pytest.param(_RUN_ALL, _RUN_ALL, id="two run-alls", marks=pytest.mark.slow),
        pytest.param(_BENCHMARK, _BENCHMARK, id="two benchmarks", marks=pytest.mark.slow),
    ],
)
def test_the_second_is_told_and_the_first_loses_nothing(
    places: Places, first: list[str], second: list[str], tmp_path: Path
) -> None:
    one = places.at_work(first)
    one.send_group(signal.SIGSTOP)  # a fast machine would be done with it
    two = places.commands.run(*places.arguments(second))
    assert two.code == 2, two
    [line] = [line for line in two.err.splitlines() if line.startswith("error: ")]
    assert f"another run (process {one.pid} on {os.uname().nodename}, since 2" in line
    assert f": aad {first[0]} " in line and "choose another folder" in line
    one.send_group(signal.SIGCONT)
    ended = one.wait()
    assert ended.code == 0, ended.err
    assert_whole(places.out)
    assert left_over(places.out) == []
    alone = tmp_path / "alone"
    assert places.commands.run(*places.arguments(first, alone)).code == 0
    assert said(places.out) == said(alone)


def test_the_lock_of_a_killed_run_stops_nobody(places: Places) -> None:
    killed = places.at_work(_FIT)
    killed.send(signal.SIGKILL)
    assert killed.wait().code == -signal.SIGKILL
    wait_for_the_end_of(killed.pid)
    assert (places.out / ".lock.json").exists()
    began = time.monotonic()
    ended = places.commands.run(*places.arguments(_EVALUATE))
    assert ended.code == 0, ended.err
    assert time.monotonic() - began < 30
    assert not (places.out / ".lock.json").exists()
