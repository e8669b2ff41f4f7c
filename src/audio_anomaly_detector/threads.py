"""CPU threads: independent pieces of work at the same time, each computed by one thread."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Barrier, Lock
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")

# Pieces a thread that are under way or done before the first of them is handed out.
_AHEAD = 2

_workers: dict[int, ThreadPoolExecutor] = {}
_starting = Lock()
os.register_at_fork(after_in_child=_workers.clear)  # threads do not survive a fork


def each_on_one_thread(work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> list[Result]:
    """Apply work to every piece, as many at a time as torch has threads; results in order.

    Each piece is computed by one thread alone. Sharing out every single operation instead leaves
    cores waiting for each other hundreds of times, and for milliseconds each time where another
    program uses one of them. Several Python threads may call this at the same time; the number of
    threads that each of them sees stays what it was.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return [work(piece) for piece in pieces]
    pool = _single_threaded_workers(threads)
    futures = [pool.submit(work, piece) for piece in pieces]
    try:
        return [future.result() for future in futures]
    finally:  # after an error, leave nothing behind that still computes
        for future in futures:
            future.cancel()
        wait(futures)


def each_in_turn(work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
    """As `each_on_one_thread`, results one after the other as soon as they are there.

    A few pieces are taken ahead, so that memory does not grow with their number.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield from map(work, pieces)
        return
    pool = _single_threaded_workers(threads)
    futures: deque[Future[Result]] = deque()
    try:
        for piece in pieces:
            futures.append(pool.submit(work, piece))
            if len(futures) == _AHEAD * threads:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:  # after an error, or when nobody wants the rest
        for future in futures:
            future.cancel()
        wait(futures)


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Set PyTorch's CPU threads for the calling thread, and set them back; None changes nothing."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if count is not None:
            torch.set_num_threads(before)


def _single_threaded_workers(count: int) -> ThreadPoolExecutor:
    """Threads that compute single-threaded, started once and kept.

    `torch.set_num_threads` sets the number of the thread that calls it, and of threads that use
    torch for the first time later on. So the workers set theirs, and the caller, who keeps its
    own, sets back that of later threads.
    """
    with _starting:
        if count not in _workers:
            pool = ThreadPoolExecutor(count, "aad", _compute_single_threaded)
            all_started = Barrier(count + 1)
            for _ in range(count):
                pool.submit(all_started.wait)
            all_started.wait()
            torch.set_num_threads(count)
            _workers[count] = pool
    return _workers[count]


def _compute_single_threaded() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # the first use of a thread takes the number of that moment
