"""A program that writes sound to its standard output, ended together with all that it started."""

import atexit
import contextlib
import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from typing import IO

from audio_anomaly_detector.errors import one_line, without_passwords
from audio_anomaly_detector.monitor.sources.pipes import Pipe
from audio_anomaly_detector.monitor.sources.source import SourceError

# What is kept of its messages: a program that complains for months must not fill the memory.
_LINES, _LINE = 20, 500
# ffmpeg's parts, with where they lie in memory: "[tcp @ 0x55babbd79900] ".
_PART = re.compile(r"^(?:\[[^\]]* @ 0x[0-9a-f]+\] *)+")
_REAP_S = 2.0
# Those that were not closed: a source that is just being opened is no connection yet.
_running: "set[Child]" = set()


class Child:
    """A running program.

    It leads a process group of its own, so that what it started ends with it.

    Args:
        command: program and arguments, no shell.
        missing: what to do if the program is not there.

    Attributes:
        output: what it writes.

    Raises:
        SourceError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], missing: str) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise SourceError(
                f"{command[0]} cannot be started ({error.strerror}); {missing}"
            ) from error
        assert self._process.stdout is not None and self._process.stderr is not None
        # The pipe has its own copy of the descriptor, which it closes.
        self.output = Pipe(os.dup(self._process.stdout.fileno()))
        self._process.stdout.close()
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._closing, self._killed = threading.Lock(), False
        self._drain = threading.Thread(
            target=self._keep_messages, args=(self._process.stderr,), name="stderr", daemon=True
        )
        self._drain.start()
        _running.add(self)

    @property
    def said(self) -> str:
        """The last of its messages, on one line, without passwords; empty: it said nothing.

        With the one before, as the last often says only that it failed, and that one why.
        """
        last = list(self._lines)[-2:]
        if len(last) == 2 and last[0].endswith(last[1].rpartition(": ")[2]):
            del last[1]  # the same again
        return "; ".join(last)

    def ended(self) -> str:
        """How it ended, with what it said last."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_S)
        self._drain.join(_REAP_S)
        code = self._process.poll()
        how = f"exit status {code}" if code is None or code >= 0 else f"signal {-code}"
        return f"{how}: {self.said}" if self.said else how

    def close(self) -> None:
        """End it and all that it started; from any thread and more than once."""
        self.output.close()  # first, so that a read that waits knows why the program ended
        with self._closing:
            _running.discard(self)
            if not self._killed:
                self._killed = True
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_REAP_S)

    def _keep_messages(self, stream: IO[bytes]) -> None:
        """Read all that it says; lines that are long or many are cut and forgotten."""
        rest = b""
        with stream, contextlib.suppress(OSError, ValueError):
            while piece := os.read(stream.fileno(), 4096):
                *lines, rest = (rest + piece).replace(b"\r", b"\n").split(b"\n")
                rest = rest[-_LINE:]
                for line in lines:
                    self._note(line)
        self._note(rest)

    def _note(self, line: bytes) -> None:
        text = without_passwords(one_line(_PART.sub("", line.decode(errors="replace"))))
        if text:
            self._lines.append(text[:_LINE])


@atexit.register
def _close_all() -> None:
    """Leave none behind when the program ends: one that gets no sound would never notice."""
    for child in list(_running):
        child.close()
