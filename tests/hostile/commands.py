"""The command `aad` in processes of its own, started quickly, watched and disturbed.

They are forked from one that has imported what the command needs and computed nothing: imports take
longer than the tiny runs of these tests.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"}


class Ended(NamedTuple):
    """How a command ended.

    Attributes:
        code: exit code; minus the number of the signal that killed it.
        out, err: what it printed.
        changes: of files in the folder that was watched, so far.
    """

    code: int
    out: str
    err: str
    changes: int


@dataclass(frozen=True)
class Running:
    """A command that is at work; it leads a group of processes of its own."""

    commands: "Commands"
    pid: int
    output: Path

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def send_group(self, number: int) -> None:
        os.killpg(self.pid, number)

    def is_over(self) -> bool:
        state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z"

    def wait(self, seconds: float = 120) -> Ended:
        """Wait for the end; a command that takes longer is killed."""
        killer = threading.Timer(seconds, self.send_group, [signal.SIGKILL])
        killer.start()
        try:
            status = self.commands.ask({"wait": self.pid})
        finally:
            killer.cancel()
        changes = self.output / "changes"
        return Ended(
            os.waitstatus_to_exitcode(status),
            (self.output / "out").read_text(),
            (self.output / "err").read_text(),
            int(changes.read_text() or 0) if changes.exists() else 0,
        )


class Commands:
    """Starts commands.

    Args:
        folder: for what they print, and for their temporary files, `temporary`.
    """

    def __init__(self, folder: Path) -> None:
        # Ray's sockets need a short path.
        self._short = tempfile.TemporaryDirectory(prefix="t")
        self.temporary = Path(self._short.name)
        self._folder, self._number = folder, 0
        paths = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), *sys.path]))
        self._server = subprocess.Popen(
            [sys.executable, "-m", "hostile.commands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stdin.close()  # type: ignore[union-attr]
        self._server.wait()
        self._short.cleanup()

    def ask(self, request: dict[str, Any]) -> Any:
        assert self._server.stdin is not None and self._server.stdout is not None
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return json.loads(self._server.stdout.readline())

    def start(
        self,
        *arguments: object,
        watch: Path | None = None,
        kill_at: int = 0,
        largest_file: int | None = None,
    ) -> Running:
        """Start `aad`.

        Args:
            arguments: of the command.
            watch: count changes of files in this folder.
            kill_at: the number of the change before which the process is killed; 0: none.
            largest_file: bytes; a longer one is an error, as on a full disk.
        """
        self._number += 1
        output = self._folder / str(self._number)
        output.mkdir()
        request = {
            "arguments": [str(argument) for argument in arguments],
            "output": str(output),
            "temporary": str(self.temporary),
            "watch": None if watch is None else str(watch),
            "kill_at": kill_at,
            "largest_file": largest_file,
        }
        return Running(self, self.ask(request), output)

    def run(self, *arguments: object, **options: Any) -> Ended:
        return self.start(*arguments, **options).wait()

    def left_behind(self) -> list[str]:
        """Temporary files; PyTorch's cache and Ray's logs have names that do not change."""
        found = {path.name for path in self.temporary.iterdir()}
        return sorted(name for name in found if not name.startswith(("torchinductor_", "ray")))


def processes_of(group: int) -> list[int]:
    """Processes of a session that are not over.

    But for Ray's own agents, which notice only after a minute that their node is gone.
    """
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            name = (stat.parent / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name.startswith("ray::"):
            continue
        if int(fields[3]) == group and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found


def wait_for_the_end_of(group: int, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while processes_of(group):
        assert time.monotonic() < end, f"still running: {processes_of(group)}"
        time.sleep(0.02)


def _watch(folder: str, kill_at: int, counter: Path) -> None:
    """Count what changes files, and kill this process before a certain change."""
    count = 0
    process = os.getpid()
    file = os.open(counter, os.O_CREAT | os.O_WRONLY)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            path, _, flags = arguments
            changes = bool(flags & (os.O_WRONLY | os.O_RDWR))
        elif event in _CHANGES:
            path, changes = arguments[0], True
        else:
            return
        if changes and str(path).startswith(folder) and os.getpid() == process:
            count += 1
            if count == kill_at:
                os.kill(process, signal.SIGKILL)
            os.pwrite(file, str(count).encode(), 0)

    sys.addaudithook(hook)


def _become(request: dict[str, Any]) -> None:
    """Be the command from here on."""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored if the tests run under nohup
    output = Path(request["output"])
    for name, number in (("out", 1), ("err", 2)):
        file = os.open(output / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ["TMPDIR"] = request["temporary"]
    tempfile.tempdir = None
    if request["watch"]:
        _watch(request["watch"], request["kill_at"], output / "changes")
    if request["largest_file"] is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], hard))
    sys.argv[:] = ["aad", *request["arguments"]]
    from audio_anomaly_detector.cli import main

    main()


def _serve() -> None:
    import audio_anomaly_detector.benchmark.pages
    import audio_anomaly_detector.fleet.run
    import audio_anomaly_detector.learning.fitting  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            answer = os.waitpid(request["wait"], 0)[1]
        else:
            answer = os.fork()
            if not answer:
                _become(request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
