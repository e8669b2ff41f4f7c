"""A command gets the event on its standard input, without a shell, and cannot hang the program."""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.sinks.command import CommandConfig, CommandSink
from audio_anomaly_detector.monitor.sinks.sink import SinkError, Site
from audio_anomaly_detector.settings import validated
from monitor.told_events import event

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="groups of processes")
SITE = Site("Plant", "UTC")


def _sink(*command: str, timeout_s: float = 20) -> CommandSink:
    config = validated(CommandConfig, {"command": command, "timeout_s": timeout_s})
    return config.make(SITE)


def _send(sink: CommandSink, name: str = "pump-3") -> None:
    sink.send(event(name=name).to_dict(), "event-0:0")


def test_it_gets_the_event(tmp_path: Path) -> None:
    name = "'; touch /tmp/evil; $(id) \n\udcff"
    out = tmp_path / "got"
    _send(_sink("dd", f"of={out}"), name)
    content = json.loads(out.read_text())
    assert content["name"] == name and content["key"] == "event-0:0"


def test_no_shell_reads_the_arguments(tmp_path: Path) -> None:
    _send(_sink("test", "-n", f"; touch {tmp_path / 'evil'}"))
    assert not (tmp_path / "evil").exists()


def test_it_may_ignore_a_long_input() -> None:
    long = replace(event(), words=("x" * 1_000_000,))
    _sink("true").send(long.to_dict(), "event-0:0")


def test_a_long_input_that_is_read(tmp_path: Path) -> None:
    long = replace(event(), words=("x" * 1_000_000,))
    _sink("dd", f"of={tmp_path / 'got'}", "bs=1k").send(long.to_dict(), "event-0:0")
    assert (tmp_path / "got").stat().st_size > 1_000_000


def test_a_failure_tells_the_last_words_of_the_command() -> None:
    with pytest.raises(SinkError, match=r"sh ended with status 3: .*the reason; run it by hand"):
        _send(_sink("sh", "-c", "yes x | head -n 200000 >&2; echo the reason >&2; exit 3"))


@pytest.mark.parametrize("program", ["/no/such/program", "/", "\0"])
def test_a_program_that_is_none(program: str) -> None:
    with pytest.raises(SinkError, match="cannot be run") as raised:
        _send(_sink(program))
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("script", ["sleep 100", "sleep 100 & wait", "exec 2>&- <&-; sleep 100"])
def test_one_that_hangs_is_ended_with_what_it_started(script: str, tmp_path: Path) -> None:
    note = tmp_path / "group"
    with pytest.raises(SinkError, match=r"took longer than 0\.3 s"):
        _send(_sink("sh", "-c", f"echo $$ > {note}; {script}", timeout_s=0.3))
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.killpg(int(note.read_text()), 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail("processes are left")


def test_what_it_leaves_running_does_not_hang_the_program() -> None:
    began = time.monotonic()
    _send(_sink("sh", "-c", "sleep 5 & exit 0"))
    assert time.monotonic() - began < 4


def test_a_command_is_a_list() -> None:
    with pytest.raises(UserError, match="command"):
        validated(CommandConfig, {"command": "rm -rf /"})
