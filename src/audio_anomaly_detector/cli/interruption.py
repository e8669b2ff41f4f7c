"""How the program ends early: a signal, a reader of its results who has left, a full disk."""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from audio_anomaly_detector.errors import Interrupted, UserError

_ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
_READER_LEFT = 13  # SIGPIPE, which Windows does not have
_arrived: list[int] = []  # numbers of the signals that raised `Interrupted`
GO_ON = "start the same command again to go on: finished work is kept"
NOTHING_KEPT = "nothing of it is kept: start the same command again"


def end_on_signals() -> None:
    """From now on Ctrl-C and a request to end raise `Interrupted`; a second one ends at once.

    While PyTorch is imported the first one does, too: its C++ code aborts the process where a
    function of Python that it calls raises an exception.
    """
    if threading.current_thread() is not threading.main_thread():
        return  # where signals are none of this program's business
    _arrived.clear()

    def interrupt(number: int, frame: FrameType | None) -> None:
        if _imports_torch(frame):
            _end_at_once(number, GO_ON)
        for ending in _ENDING:
            signal.signal(ending, signal.SIG_DFL)
        _arrived.append(number)
        raise Interrupted(number)

    _answer_by(interrupt)


@contextmanager
def signals_prevail() -> Iterator[None]:
    """Raise `Interrupted` in place of an error that a signal has led to.

    The exception of a signal is raised wherever the program is, and a library that catches every
    exception there makes another error of it.
    """
    try:
        yield
    except Exception as error:
        if _arrived:
            raise Interrupted(_arrived[0]) from error
        raise


@contextmanager
def signals_end_at_once(note: str) -> Iterator[None]:
    """Answer a signal and end without an exception, which has nowhere to go.

    Where PyTorch traces a graph, its C++ code aborts the process when one is raised, or catches it
    and goes on. What is left of temporary files is removed by the next run.

    Args:
        note: how to go on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: FrameType | None) -> None:
        _end_at_once(number, note)

    before = {ending: signal.getsignal(ending) for ending in _ENDING}
    _answer_by(end)
    try:
        yield
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)


def _imports_torch(frame: FrameType | None) -> bool:
    """Whether the main module of PyTorch is being run."""
    while frame is not None:
        if (frame.f_code.co_name, frame.f_globals.get("__name__")) == ("<module>", "torch"):
            return True
        frame = frame.f_back
    return False


def _end_at_once(number: int, note: str) -> NoReturn:
    os.write(2, f"interrupted: {note}\n".encode())
    os._exit(128 + number)


def end_as_usual() -> None:
    """From now on signals end the program at once: all is done, and all is said."""
    if threading.current_thread() is threading.main_thread():
        _answer_by(signal.SIG_DFL)


def _answer_by(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for ending in _ENDING:
        if signal.getsignal(ending) is not signal.SIG_IGN:  # as after nohup
            signal.signal(ending, handler)


def guard_streams() -> None:
    """Send lines of results on at once, and say in one line what is wrong with the streams.

    What an encoding lacks is written with escapes.
    """
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout is sys.__stdout__:
        sys.stdout.flush()
        sys.stdout = _Results(
            sys.stdout.buffer,
            encoding=sys.stdout.encoding,
            errors="backslashreplace",
            line_buffering=True,
        )


def finish_results() -> None:
    """Send on what is left; raises like every print of a result."""
    if sys.stdout is not None:
        sys.stdout.flush()


def answer(interruption: Interrupted) -> int:
    """Say what was interrupted and how to go on; the exit code by convention.

    A reader who has seen enough, such as ``head``, is no failure.
    """
    if interruption.signal_number == _READER_LEFT:
        return 0
    notes = getattr(interruption, "__notes__", [GO_ON])
    print(f"interrupted: {'; '.join(notes)}", file=sys.stderr)
    return 128 + interruption.signal_number


class _Results(io.TextIOWrapper):
    """Standard output whose errors say what is wrong, once."""

    def write(self, text: str) -> int:
        with self._named_errors():
            return super().write(text)

    def flush(self) -> None:
        with self._named_errors():
            super().flush()

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # Python tries again to send the rest when it ends, and would complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if isinstance(error, BrokenPipeError):
                raise Interrupted(_READER_LEFT) from error
            raise UserError(
                f"the results cannot be written to standard output ({error.strerror}); free some "
                "space or send them elsewhere"
            ) from error
