"""Independent pieces of work at the same time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def each_on_one_thread(work: Callable[[Piece], Result], pieces: Sequence[Piece]) -> list[Result]:
    """Do the work to every piece, as many at a time as torch has threads; results in order.

    Each piece is computed by one thread alone. Sharing out every single operation instead leaves
    cores waiting for each other hundreds of times, and for milliseconds each time where another
    program wants one of them.
    """
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)  # new threads start with it
        if len(pieces) <= 1 or threads == 1:
            return [work(piece) for piece in pieces]
        with ThreadPoolExecutor(min(threads, len(pieces))) as pool:
            return list(pool.map(work, pieces))
    finally:
        torch.set_num_threads(threads)
