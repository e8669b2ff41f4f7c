"""95 % intervals: exact ones of proportions, and the central part of bootstrap samples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


def exact_interval(successes: int, trials: int) -> Interval:
    """Interval of a proportion that covers the true one in at least 95 % of samples.

    Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial" (1934). Unlike a bootstrap it has a width also where all trials have the same result.

    Args:
        successes: how many of the trials.
        trials: at least one.
    """
    low, high = binomtest(successes, trials).proportion_ci(0.95, method="exact")
    return Interval(float(low), float(high))


def percentile_interval(samples: ArrayLike) -> Interval:
    """Return the central 95 % of bootstrap samples (B,), undefined (nan) ones left out."""
    low, high = np.nanpercentile(np.asarray(samples, dtype=float), [2.5, 97.5])
    return Interval(float(low), float(high))
