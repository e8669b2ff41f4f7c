"""Runs cases in child processes and ends those that take too much time or memory."""

import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SECONDS = 20.0  # of processor time, which does not depend on what else runs
WAITING = 60.0  # of time on the clock: something waits for what never comes
MEGABYTES = 3 * 1024
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = resource.getpagesize()


class Task(NamedTuple):
    """A case as the child gets it.

    Attributes:
        name: ``kind:seed``.
        model: file of the model.
        path: file or folder to be scored.
        reference: model and path whose verdict is the right one, if that is known.
    """

    name: str
    model: Path
    path: Path
    reference: tuple[Path, Path] | None = None


class _Usage(NamedTuple):
    seconds: float
    megabytes: float


def answers(tasks: Sequence[Task]) -> Iterator[tuple[Task, dict[str, Any]]]:
    """What came of every task; a child that had to be ended is replaced by the next.

    Yields:
        The task with the child's answer, or with ``{"ended": reason}``.
    """
    remaining = list(tasks)
    while remaining:
        done = 0
        for answer in _of_one_child(remaining):
            yield remaining[done], answer
            done += 1
        if not done:
            raise RuntimeError("the child process does not start")
        del remaining[:done]


def _of_one_child(tasks: Sequence[Task]) -> Iterator[dict[str, Any]]:
    """The answers of one child, the last of which may be why it was ended."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile("w+") as lines:
        lines.writelines(f"{json.dumps(task._asdict(), default=str)}\n" for task in tasks)
        lines.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-m", "hostile.child", str(writing)],
            stdin=lines,
            pass_fds=[writing],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    os.close(writing)
    try:
        with os.fdopen(reading) as answered:
            yield from _watched(child, answered.fileno())
    finally:
        child.kill()
        child.wait()


def _watched(child: subprocess.Popen[bytes], answered: int) -> Iterator[dict[str, Any]]:
    base = began = None  # usage and time at the start of the case in hand
    rest = b""
    while True:
        ready, _, _ = select.select([answered], [], [], 0.05)
        if ready:
            read = os.read(answered, 2**20)
            if not read:
                code = child.wait()
                if began is not None:
                    yield {"ended": f"crash: exit code {code}"}
                return
            *whole, rest = (rest + read).split(b"\n")
            for message in map(json.loads, whole):
                if "started" in message:
                    base, began = _usage(child.pid), time.monotonic()
                else:
                    base = began = None
                    yield message
        if base is None or began is None:
            continue
        now = _usage(child.pid)
        if now is None:
            continue
        reason = _excess(base, now, time.monotonic() - began)
        if reason:
            yield {"ended": reason}
            return


def _excess(base: _Usage, now: _Usage, waited: float) -> str:
    if now.seconds - base.seconds > SECONDS:
        return f"slow: more than {SECONDS:g} s of processor time"
    if waited > WAITING:
        return f"slow: more than {WAITING:g} s without an answer"
    if now.megabytes - base.megabytes > MEGABYTES:
        return f"memory: more than {MEGABYTES / 1024:g} GB"
    return ""


def _usage(process: int) -> _Usage | None:
    """Processor time and memory in use; None if the process has gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return _Usage((int(fields[11]) + int(fields[12])) / _TICKS, int(fields[21]) * _PAGE / 2**20)
