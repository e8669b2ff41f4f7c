"""The two streams: results go to stdout, all that goes on meanwhile to stderr."""

import logging
import sys
from typing import Any

from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from audio_anomaly_detector.errors import printable


class _Console(Console):
    """A console that lets no name of a file steer the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text), **options)


class _Formatter(logging.Formatter):
    """A printable message."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


out = _Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
err = _Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def in_terminal() -> bool:
    """Whether results are read by a person; else a pipe or a file takes them."""
    return sys.stdout.isatty()


def remark(text: str) -> None:
    """Say something beside a table; in a pipe stdout holds the table alone."""
    (out if in_terminal() else err).print(text)


def start_logging(verbose: int, quiet: bool) -> None:
    """Send the package's log to stderr: warnings, with 1 progress in words, with 2 everything."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    handler: logging.Handler
    if err.is_terminal:
        handler = RichHandler(console=err, show_time=False, show_path=False)
        handler.setFormatter(_Formatter("%(message)s"))
    else:  # what is logged is searched and counted by lines
        handler = logging.StreamHandler()
        handler.setFormatter(_Formatter("%(levelname)-8s %(message)s"))
    logger = logging.getLogger("audio_anomaly_detector")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.ERROR if quiet else level)
