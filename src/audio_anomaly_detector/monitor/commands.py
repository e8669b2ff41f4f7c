"""What people ask of a watch: files in its folder, so that a running one takes them up.

A command is a file that appears whole. The watch takes it up by giving it another name, which of
several programs only one can, carries it out, and writes the answer into a file beside it.
"""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.files import unwritten, write_json

Verb = Literal["normal", "fault", "undo", "maintained", "version"]

_FOLDER = "commands"
_WAITING, _TAKEN, _ANSWER = ".json", ".taken", ".answer"
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
        UserError: it cannot be written, or no answer came; it is withdrawn then, if it was not
            taken up.
    """
    path = data / _FOLDER / f"{uuid.uuid4().hex}{_WAITING}"
    answer, taken = path.with_suffix(_ANSWER), path.with_suffix(_TAKEN)
    write_json(path, asdict(command))
    until = time.monotonic() + timeout_s
    try:
        while time.monotonic() < until:
            if answer.exists():
                content = json.loads(answer.read_text(encoding="utf-8"))
                return Answer(tuple(content["words"]), content["done"])
            time.sleep(_POLL_S)
        try:
            path.unlink()
        except FileNotFoundError:
            raise UserError(
                f"the watch has taken this up, but has not answered within {timeout_s:.0f} s: it "
                "may have been done; see 'aad watch PLANT --status' before you ask again"
            ) from None
    finally:
        for one in (path, taken, answer):
            one.unlink(missing_ok=True)
    raise UserError(
        f"the watch has not answered within {timeout_s:.0f} s, and nothing was changed; see "
        "'aad watch PLANT --status'"
    )


def take_up(data: Path) -> Iterator[tuple[Path, Command | Answer]]:
    """Take up the commands that wait, the oldest first, each before it is carried out.

    No command is taken up twice, by this or another watch, whatever becomes of it: of one that a
    watch had taken up when it was killed nobody knows whether it was carried out.

    Returns:
        where each was taken to, and the command; of what is no command the answer.

    Raises:
        UserError: one cannot be taken up; it waits.
    """
    folder = data / _FOLDER
    for path in sorted(folder.glob("[!.]*"), key=_age, reverse=True):
        if _age(path) > _STALE_S:
            path.unlink(missing_ok=True)
        elif path.suffix == _WAITING:
            taken = path.with_suffix(_TAKEN)
            try:
                path.rename(taken)
                content: dict[str, Any] = json.loads(taken.read_text(encoding="utf-8"))
                command: Command | Answer = Command(**content)
            except FileNotFoundError:  # withdrawn
                continue
            except (ValueError, TypeError) as error:
                why = f"no command of this version ({one_line(error)}); use one version for both"
                command = Answer((why,), False)
            except OSError as error:
                raise unwritten(path, error) from error
            yield taken, command


def reply(taken: Path, answer: Answer) -> None:
    """Write the answer to a command, if somebody still waits for it.

    Args:
        taken: where the command was taken to.
        answer: to it.

    Raises:
        UserError: it cannot be written.
    """
    if taken.exists():
        write_json(taken.with_suffix(_ANSWER), asdict(answer))


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0
