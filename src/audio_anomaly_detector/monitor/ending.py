"""Ending many things that may each take seconds."""

import threading
from collections.abc import Callable, Iterable


def end_all(endings: Iterable[Callable[[], None]]) -> None:
    """Call all of them at once, so that many that hang take no longer than one; wait for them."""
    threads = [threading.Thread(target=ending, name="ending", daemon=True) for ending in endings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
