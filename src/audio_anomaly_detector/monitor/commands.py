"""What people ask of a watch: files in its folder, so that a running one takes them up.

A command is a file that appears whole; its answer is a file beside it, written by the watch.
"""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.files import write_json

Verb = Literal["normal", "fault", "undo", "maintained", "version"]

_FOLDER = "commands"
_POLL_S = 0.2
# Whoever asked has gone long before.
_STALE_S = 3600.0


@dataclass(frozen=True)
class Command:
    """Something that is asked.

    Args:
        verb: ``normal`` and ``fault``: what an event was; ``undo``: take the last ``normal`` back;
            ``maintained``: learn the machine anew; ``version``: judge it by another model.
        machine: its name.
        event: its id, of ``normal`` and ``fault``.
        version: number of a model, of ``version``.
        try_only: only say what would change, of ``normal``.
        note: words of the person.
    """

    verb: Verb
    machine: str
    event: str | None = None
    version: int | None = None
    try_only: bool = False
    note: str = ""


@dataclass(frozen=True)
class Answer:
    """What became of a command.

    Args:
        words: what changed, a sentence each; of a command that failed why.
        done: it was carried out.
    """

    words: tuple[str, ...]
    done: bool


def ask(data: Path, command: Command, timeout_s: float) -> Answer:
    """Have a running watch carry out a command.

    Args:
        data: folder of the plant.
        command: what to do.
        timeout_s: how long to wait for the answer.

    Raises:
        UserError: it cannot be written, or no answer came; it is then withdrawn.
    """
    path = data / _FOLDER / f"{uuid.uuid4().hex}.json"
    answer = path.with_suffix(".answer")
    write_json(path, asdict(command))
    until = time.monotonic() + timeout_s
    try:
        while time.monotonic() < until:
            if answer.exists():
                content = json.loads(answer.read_text(encoding="utf-8"))
                return Answer(tuple(content["words"]), content["done"])
            time.sleep(_POLL_S)
    finally:
        path.unlink(missing_ok=True)
        answer.unlink(missing_ok=True)
    raise UserError(
        f"the watch has not answered within {timeout_s:.0f} s, and nothing was changed; see "
        "'aad watch PLANT --status'"
    )


def waiting(data: Path) -> Iterator[tuple[Path, Command]]:
    """Commands that wait for an answer, the oldest first; what is none is removed."""
    folder = data / _FOLDER
    paths = [path for path in folder.glob("*.json") if not path.name.startswith(".")]
    for path in sorted(paths, key=_age, reverse=True):
        if _age(path) > _STALE_S:
            path.unlink(missing_ok=True)
        elif not path.with_suffix(".answer").exists():
            try:
                content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                yield path, Command(**content)
            except FileNotFoundError:  # withdrawn
                continue
            except (OSError, ValueError, TypeError) as error:
                reply(path, Answer((f"no command of this version ({one_line(error)})",), False))


def reply(path: Path, answer: Answer) -> None:
    """Write the answer to a command, if somebody still waits for it.

    Raises:
        UserError: it cannot be written.
    """
    if path.exists():
        write_json(path.with_suffix(".answer"), asdict(answer))


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
