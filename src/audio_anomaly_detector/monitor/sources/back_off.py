"""How long to wait before connecting again."""

import random
from dataclasses import dataclass

from pydantic import BaseModel, Field


class SupervisorConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """When a source counts as broken, and how it is connected again.

    The defaults find a frozen source within 7 s, and connect to one that was there before at most
    8 s after it has returned.
    """

    stale_after: float = Field(
        default=6.0, ge=1, le=3600, description="seconds without sound, after which it is broken"
    )
    first_pause: float = Field(
        default=0.5, gt=0, le=60, description="seconds from one attempt to connect to the next"
    )
    longest_pause: float = Field(
        default=8.0, gt=0, le=600, description="the same after many attempts, if it worked before"
    )
    longest_pause_unseen: float = Field(
        default=60.0, gt=0, le=3600, description="the same, if it never brought sound"
    )


@dataclass
class BackOff:
    """Pauses that double, from the start of one attempt to the start of the next.

    Counted so, an attempt that hangs does not add to the pause. Pauses are shortened by up to a
    quarter by chance, so that a thousand sources do not come back at the same moment.

    Args:
        settings: first and longest pause.
        chance: of this source.
    """

    settings: SupervisorConfig
    chance: random.Random
    failures: int = 0

    def pause(self, took: float, worked: bool, ever_worked: bool) -> float:
        """Seconds to wait after an attempt.

        Args:
            took: seconds since it started.
            worked: it brought sound for longer than the longest pause.
            ever_worked: it, or one before, brought sound.
        """
        self.failures = 0 if worked else self.failures + 1
        config = self.settings
        longest = config.longest_pause if ever_worked else config.longest_pause_unseen
        doublings = min(max(0, self.failures - 1), 32)
        spacing = min(config.first_pause * 2**doublings, longest)
        spacing *= self.chance.uniform(0.75, 1.0)
        return max(spacing - (0.0 if worked else took), 0.5 * config.first_pause)
