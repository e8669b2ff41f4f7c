"""95 % intervals: exact ones of proportions, and the central part of bootstrap samples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta, binomtest, t


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


def clustered_interval(shares: ArrayLike, trials: int) -> Interval:
    """Interval of the mean share of successes over clusters whose trials are alike.

    Korn and Graubard, "Confidence intervals for proportions with small expected number of positive
    counts estimated from survey data" (1998): exact, of as many independent trials as would scatter
    like the clusters. Where all or none succeed, every cluster counts as one trial.

    Args:
        shares: of successes in each cluster, ``(m,)``, m >= 2.
        trials: in each cluster.
    """
    values = np.asarray(shares, dtype=float)
    clusters, mean = len(values), float(np.mean(values))
    total = float(clusters * trials)
    variance = float(np.var(values, ddof=1)) / clusters
    effective = total
    if variance > 0:
        student = t.ppf(0.975, max(total - 1, 1)) / t.ppf(0.975, clusters - 1)
        effective = min(total, mean * (1 - mean) / variance * student**2)
    elif mean in (0.0, 1.0):
        effective = float(clusters)
    successes = mean * effective
    low = 0.0 if successes == 0 else beta.ppf(0.025, successes, effective - successes + 1)
    failures = effective - successes
    high = 1.0 if failures == 0 else beta.ppf(0.975, successes + 1, failures)
    return Interval(float(low), float(high))


def percentile_interval(samples: ArrayLike) -> Interval:
    """Return the central 95 % of bootstrap samples (B,), undefined (nan) ones left out."""
    low, high = np.nanpercentile(np.asarray(samples, dtype=float), [2.5, 97.5])
    return Interval(float(low), float(high))
