"""Sound on its way from a source to a score."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Chunk:
    """Consecutive samples of a source.

    Args:
        samples: ``(C, T)``, full scale ±1.
        sample_rate: Hz.
        stretch: number of the unbroken stretch of sound that they belong to. A gap, a reconnection
            and another format begin a new one, and no window reaches over its edge.
        at: when the first sample was heard, s since 1970 UTC. Within a stretch it is counted by
            samples, so that setting the clock does not move it.
    """

    samples: Samples
    sample_rate: int
    stretch: int
    at: float

    @property
    def end(self) -> float:
        """When the sample after the last one is heard, s since 1970 UTC."""
        return self.at + self.samples.shape[1] / self.sample_rate


class Window(Chunk):
    """A piece of sound that is scored."""
