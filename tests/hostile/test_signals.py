"""A request to end is answered within seconds: one line of what is done and how to go on."""

import signal
import sys
import time
from pathlib import Path

import pytest

from hostile.commands import Commands, Ended, wait_for_the_end_of
from synthetic_data import TINY, write_machine

pytestmark = [
    pytest.mark.xdist_group("commands"),
    pytest.mark.skipif(sys.platform != "linux", reason="processes are watched by /proc"),
]

_SECONDS = 10.0  # in which it ends, on a busy machine
_ATTEMPTS = 5
_TINY = [f"--set={setting}" for setting in TINY]
# What the line says; what is kept and how to go on.
_KEPT, _NOTHING = "start the same command again to go on", "nothing of it is kept"
_COMMANDS = {
    "fit": (["fit", "DATA", "--id=id_00", "--out=OUT", *_TINY, "--preset=small"], _KEPT),
    "synth": (["synth", "OUT", "--machines=fan", "--ids=1"], _KEPT),
    "inspect": (["inspect", "MANY"], _NOTHING),
    "evaluate": (["evaluate", "MODEL", "DATA", "--id=id_00", "--out=OUT"], _NOTHING),
    "export": (["export", "MODEL", "--out=OUT"], _NOTHING),
    "serial": (["run-all", "DATA", "--save=OUT", *_TINY, "--engine=serial"], _KEPT),
    "processes": (["run-all", "DATA", "--save=OUT", *_TINY, "--engine=processes"], _KEPT),
    "ray": (["run-all", "DATA", "--save=OUT", *_TINY, "--engine=ray"], _KEPT),
    "pretrain": (["pretrain", "--out=OUT/backbone.safetensors"], _KEPT),
    "benchmark": (["benchmark", "DATA", "--out=OUT", "--detectors=instant", "--seeds=1"], _KEPT),
}


class Places:
    """Data, a model, and the commands that use them."""

    def __init__(self, folder: Path, commands: Commands, data: Path, model: Path) -> None:
        self.commands = commands
        many = write_machine(folder / "many" / "0_dB_fan" / "fan" / "id_00", normal=1)
        for number in range(400):
            (many / "normal" / f"{number}.wav").hardlink_to(many / "normal" / "00000000.wav")
        self._names = {"DATA": data, "MANY": folder / "many", "MODEL": model}

    def arguments(self, command: str, out: Path) -> list[object]:
        words = [self._names.get(word, word) for word in _COMMANDS[command][0]]
        return [out if word == "OUT" else str(word).replace("OUT", str(out)) for word in words]


@pytest.fixture(scope="module")
def places(
    tmp_path_factory: pytest.TempPathFactory, commands: Commands, two_machines: Path, fitted: Path
) -> Places:
    return Places(tmp_path_factory.mktemp("signals"), commands, two_machines, fitted)


def _interrupted(
    places: Places, command: str, out: Path, number: int, after: float, *, group: bool = False
) -> Ended:
    """Send a signal some seconds after the command has begun its work.

    Earlier, and anew, where a fast machine was done with it by then.
    """
    for attempt in range(_ATTEMPTS):
        running = places.commands.start(*places.arguments(command, out / str(attempt)))
        time.sleep(after / 2**attempt)
        began = time.monotonic()
        (running.send_group if group else running.send)(number)
        ended = running.wait()
        assert time.monotonic() - began < _SECONDS
        wait_for_the_end_of(running.pid)
        done = ended.code in (0, -number) and "interrupted" not in ended.err
        if not done:  # -number: in Python's own exit, when all is written
            return ended
    raise AssertionError(f"{command} is too short to be interrupted")


def _assert_one_line(places: Places, command: str, number: int, ended: Ended) -> None:
    assert ended.code == 128 + number, ended.err
    # Ray's daemons log their own end, in lines that begin with the date in brackets.
    lines = [line for line in ended.err.splitlines() if not line.startswith("[2")]
    said = [line for line in lines if line.startswith("interrupted: ")]
    assert len(said) == 1 and lines[-1] == said[0], ended.err
    assert not any("Traceback" in line or "rror" in line for line in lines), ended.err
    assert _COMMANDS[command][1] in said[0]
    assert places.commands.left_behind() == []


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("fit", signal.SIGHUP),
        ("synth", signal.SIGINT),
        ("inspect", signal.SIGTERM),
        ("evaluate", signal.SIGINT),
    ],
)
def test_a_signal_is_answered(
    places: Places, command: str, number: signal.Signals, tmp_path: Path
) -> None:
    ended = _interrupted(places, command, tmp_path / "out", number, 0.8)
    _assert_one_line(places, command, number, ended)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "number", "after"),
    [
        ("export", signal.SIGINT, 3.0),
        ("export", signal.SIGTERM, 6.0),
        ("serial", signal.SIGHUP, 1.0),
        ("processes", signal.SIGINT, 1.0),  # before its workers are there
        ("processes", signal.SIGINT, 6.0),
        ("processes", signal.SIGTERM, 6.0),
        ("benchmark", signal.SIGINT, 6.0),
    ],
)
def test_a_signal_to_all_processes_is_answered(
    places: Places, command: str, number: signal.Signals, after: float, tmp_path: Path
) -> None:
    """As Ctrl-C in a terminal reaches all of them."""
    ended = _interrupted(places, command, tmp_path / "out", number, after, group=True)
    _assert_one_line(places, command, number, ended)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_a_run_on_ray_is_answered(
    places: Places, number: signal.Signals, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="the extra 'dist' is not installed")
    running = places.commands.start(*places.arguments("ray", tmp_path / "out"))
    while not _is_at_work_on_ray(running.pid):
        assert not running.is_over(), running.wait().err
        time.sleep(0.01)
    running.send(number)
    ended = running.wait()
    wait_for_the_end_of(running.pid)
    _assert_one_line(places, "ray", number, ended)


def _is_at_work_on_ray(session: int) -> bool:
    """Whether a worker of Ray runs a job: Ray names its processes by what they do."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            name = (process / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == session and name.startswith("ray::_attempt"):
            return True
    return False
