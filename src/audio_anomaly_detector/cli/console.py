"""The two streams: results go to stdout, all that goes on meanwhile to stderr."""

import logging
import sys

from rich.console import Console
from rich.logging import RichHandler

out = Console(highlight=False, soft_wrap=True, markup=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)


def in_terminal() -> bool:
    """Whether results are read by a person; else a pipe or a file takes them."""
    return sys.stdout.isatty()


def remark(text: str) -> None:
    """Say something beside a table; in a pipe stdout holds the table alone."""
    (out if in_terminal() else err).print(text)


def start_logging(verbose: int, quiet: bool) -> None:
    """Send the package's log to stderr: warnings, with 1 progress in words, with 2 everything."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    handler = RichHandler(console=err, show_time=False, show_path=False)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("audio_anomaly_detector")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.ERROR if quiet else level)
