"""Errors that the user can correct, in one line each: what is wrong, with what, what to do."""

from pathlib import Path


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

    def __reduce__(self) -> tuple[type["ClipError"], tuple[Path, str, str]]:
        """Rebuild from the three parts, so that the error crosses process borders."""
        return type(self), (self.path, self.problem, self.remedy)


class DamagedError(ValueError):
    """Content of a file that this program did not write; the text says what is wrong with it."""


def one_line(error: Exception) -> str:
    """The text of an error on one line.

    File names that are no valid text hold lone surrogates, which no log or file takes: escaped.
    """
    return " ".join(str(error).split()).encode(errors="backslashreplace").decode()
