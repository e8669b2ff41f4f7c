"""The time of day and the time that passes, which simulations replace."""

import time
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def wall(self) -> float:
        """Time of day, s since 1970 UTC; it may be set forwards and backwards at any time."""

    def monotonic(self) -> float:
        """Time that only passes, s; for durations."""


class SystemClock:
    """The clock of the computer."""

    def wall(self) -> float:
        """See `Clock`."""
        return time.time()

    def monotonic(self) -> float:
        """See `Clock`."""
        return time.monotonic()
