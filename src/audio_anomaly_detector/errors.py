"""Errors that the user can correct, in one line each: what is wrong, with what, what to do."""

import re
import unicodedata
from pathlib import Path

_INVISIBLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, formats such as right-to-left, surrogates
_JOINERS = "\u200c\u200d"  # of scripts and emoji
# In addresses: what stands between user and host, and values of parameters that are named so. Where
# no port follows, it is a password, also if it holds /, ? or #, which should have been escaped. A
# colon behind a value is the sentence's.
_USER = re.compile(r"(?<=://)([^\s/?#@:]*):(?:[^\s/?#]*|(?!\d{1,5}[/?#])\S*)@")
_PARAMETER = re.compile(
    r"([?&;][\w.-]*(?:pass|pwd|secret|token|key|auth|sig)[\w.-]*=)[^\s&;#'\"]*[^\s&;#'\":]",
    re.IGNORECASE,
)


class UserError(Exception):
    """An error that the user can correct; its text is the whole message."""


class ClipError(UserError):
    """One clip cannot be used; batch work goes on with the others.

    Args:
        path: the file, as the user named it.
        problem: what is wrong with it.
        remedy: what to do about it.
    """

    def __init__(self, path: Path | str, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}; {remedy}")
        self.path = Path(path)
        self.problem = problem
        self.remedy = remedy

    @property
    def reason(self) -> str:
        """Problem and remedy, without the file."""
        return f"{self.problem}; {self.remedy}"

    def __reduce__(self) -> tuple[type["ClipError"], tuple[Path, str, str]]:
        """Rebuild from the three parts, so that the error crosses process borders."""
        return type(self), (self.path, self.problem, self.remedy)


class Interrupted(BaseException):
    """A signal asked the program to end; verbs add notes on what is done and how to go on.

    No `KeyboardInterrupt`, which the command line library answers itself.

    Args:
        signal_number: of the signal.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class DamagedError(ValueError):
    """Content of a file that this program did not write; the text says what is wrong with it."""


def one_line(error: object) -> str:
    """The text of an error, or of anything else that is shown, on one line and printable."""
    return printable(" ".join(str(error).split()))


def without_passwords(text: str) -> str:
    """Text with the passwords of the addresses in it replaced by ``***``."""
    return _PARAMETER.sub(r"\1***", _USER.sub(r"\1:***@", text))


def printable(text: str) -> str:
    r"""Text that may be sent to a terminal or a log, line breaks kept.

    File names can hold anything: what would steer a terminal, turn the direction of writing, or is
    no valid text is written as an escape (`\x1b`, `\u202e`, `\udcff`).
    """
    if text.isprintable():
        return text
    return "".join(_escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    if letter in "\n\t" or letter in _JOINERS or unicodedata.category(letter) not in _INVISIBLE:
        return letter
    return letter.encode("unicode-escape", "backslashreplace").decode("ascii")
