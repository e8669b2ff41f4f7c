"""Where fits run: in a process of its own, one at a time, so that listening goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import make_folder
from audio_anomaly_detector.monitor.fitting import OUTCOME, Job, Outcome, learn
from audio_anomaly_detector.monitor.machine_config import MachineConfig

_LOG = "fit.log"
_LONGEST_S = 3600.0  # some minutes are usual, also for hundreds of pieces on a slow computer
_LAST_OF_LOG = 2000  # bytes


class Fits(Protocol):
    """What fits the models of all machines."""

    def begin(self, folder: Path, job: Job) -> bool:
        """Fit to the normals in a machine's folder; False: another fit is running, ask again."""

    def outcome(self, folder: Path) -> Outcome | None:
        """What became of the fit of a machine, once; None: it is running, or there is none."""

    def close(self) -> None:
        """End what is being fitted."""


class FitsAtOnce:
    """Fits where it is called, for simulations."""

    def __init__(self) -> None:
        self._outcomes: dict[Path, Outcome] = {}

    def begin(self, folder: Path, job: Job) -> bool:
        """See `Fits`."""
        self._outcomes[folder] = learn(folder, job)
        return True

    def outcome(self, folder: Path) -> Outcome | None:
        """See `Fits`."""
        return self._outcomes.pop(folder, None)

    def close(self) -> None:
        """See `Fits`."""


class FitsInChild:
    """Fits in a child process of low priority."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        self._began = 0.0

    def begin(self, folder: Path, job: Job) -> bool:
        """See `Fits`."""
        if self._child is not None:
            return False
        make_folder(folder)
        (folder / OUTCOME).unlink(missing_ok=True)
        # No fit needs the further settings that a plant's machine has, nor a file that was given.
        fields = set(MachineConfig.model_fields) - {"model"}
        settings = job.settings.model_dump(mode="json", include=fields)
        plain = json.dumps({**asdict(job), "settings": settings})
        command = [sys.executable, "-m", learn.__module__, str(folder), plain]
        try:
            with (folder / _LOG).open("wb") as log:
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
        except OSError as error:
            raise UserError(f"{folder}: no fit can be started ({error.strerror})") from error
        self._folder, self._began = folder, time.monotonic()
        return True

    def outcome(self, folder: Path) -> Outcome | None:
        """See `Fits`."""
        if self._child is None or folder != self._folder:
            return None
        code = self._child.poll()
        if code is None:
            if time.monotonic() - self._began < _LONGEST_S:
                return None
            self.close()
            return Outcome(None, (f"the fit took more than {_LONGEST_S / 60:.0f} minutes",))
        self._child = None
        try:
            return _read(json.loads((folder / OUTCOME).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError):
            return Outcome(None, (f"the fit broke off with code {code}: {_end_of(folder / _LOG)}",))

    def close(self) -> None:
        """End the fit that is running."""
        if self._child is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
            self._child = None


def _read(content: dict[str, Any]) -> Outcome:
    return Outcome(content["version"], tuple(content["words"]), content["refused"])


def _end_of(log: Path) -> str:
    """The last line of a log."""
    try:
        lines = log.read_bytes()[-_LAST_OF_LOG:].decode(errors="replace").split("\n")
    except OSError:
        return "no log"
    return next((line.strip() for line in reversed(lines) if line.strip()), "no message")
