"""A command that is run for each event."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from audio_anomaly_detector.errors import one_line
from audio_anomaly_detector.monitor.sinks.sink import SinkConfig, SinkError, Site, payload

_KEPT = 500  # bytes of its last error output that a message repeats
_PIPE = 65_536  # bytes that a pipe holds
_STEP_S = 0.05


class CommandConfig(SinkConfig):
    """A program that gets each event as JSON on its standard input; no shell reads it."""

    command: tuple[str, ...] = Field(
        min_length=1, description="the program and its arguments, as a list"
    )
    timeout_s: float = Field(
        default=20, gt=0, description="it and what it started are ended after so long"
    )

    def make(self, site: Site) -> "CommandSink":
        """The sink."""
        return CommandSink(self, site)


class CommandSink:
    """See `Sink`. A status other than 0 is a failure, and the command is run again later."""

    def __init__(self, config: CommandConfig, site: Site) -> None:
        self.name = config.name or "command"
        self.wants = config.wants
        self._config, self._site = config, site

    def send(self, event: Mapping[str, Any], key: str) -> None:
        """See `Sink`."""
        program = self._config.command[0]
        try:
            process = subprocess.Popen(
                self._config.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise SinkError(
                f"{self.name}: {one_line(program)} cannot be run ({reason}); "
                "give the path of a program that may be executed"
            ) from error
        try:
            said = _exchange(
                process, payload(event, key, self._site).encode(), self._config.timeout_s
            )
        finally:
            for pipe in (process.stdin, process.stderr):
                if pipe is not None:
                    pipe.close()
        if process.returncode is None:
            _kill_group(process)
            raise SinkError(
                f"{self.name}: {Path(program).name} took longer than {self._config.timeout_s:g} s "
                "and was ended; set a longer timeout_s"
            )
        if process.returncode:
            what = f": {one_line(said)}" if said else ""
            raise SinkError(
                f"{self.name}: {Path(program).name} ended with status {process.returncode}{what}; "
                "run it by hand with an event on its standard input"
            )

    def tend(self) -> None:
        """See `Sink`."""

    def close(self) -> None:
        """See `Sink`."""


def _exchange(process: "subprocess.Popen[bytes]", content: bytes, timeout_s: float) -> str:
    """Hand a process its input until it ends or the time is over; returns its last errors.

    Neither a process that does not read nor one that writes without end blocks this.
    """
    assert process.stdin is not None and process.stderr is not None
    until = time.monotonic() + timeout_s
    rest, said = memoryview(content), b""
    os.set_blocking(process.stdin.fileno(), False)
    os.set_blocking(process.stderr.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdin, selectors.EVENT_WRITE)
        selector.register(process.stderr, selectors.EVENT_READ)
        while (running := process.poll() is None) and time.monotonic() < until:
            for ready, _ in selector.select(_STEP_S) if selector.get_map() else ():
                if ready.fileobj is process.stdin:
                    try:
                        rest = rest[process.stdin.write(rest) or 0 :]
                    except BrokenPipeError:  # it needs no more
                        rest = rest[:0]
                    if not rest:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                else:
                    part = process.stderr.read(_PIPE)
                    said = (said + (part or b""))[-_KEPT:]
                    if part == b"":
                        selector.unregister(process.stderr)
            if not selector.get_map():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(until - time.monotonic(), 0))
    if not running:
        said = (said + (process.stderr.read(_PIPE) or b""))[-_KEPT:]
    return said.decode(errors="replace")


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
