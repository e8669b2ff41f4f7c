"""Raw component scores to common units, and their join into one score, without labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Raw = dict[str, NDArray[np.float64]]  # component -> (n, C)

# Half of each microphone's spread is taken from all microphones together.
_SPREAD_SHRINKAGE = 0.5
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Calibration:
    """Where each component's raw scores lie on normal clips the detector was not fitted on.

    Args:
        centre: median by component, shape ``(C,)`` each.
        spread: robust standard deviation by component, shape ``(C,)`` each.
    """

    centre: Raw
    spread: Raw

    @classmethod
    def fit(cls, raw: Raw, resolution: dict[str, float]) -> "Calibration":
        """Median and MAD of cross-fitted normal scores.

        Args:
            raw: by component, shape ``(n, C)``.
            resolution: by component, the smallest difference of raw scores that means something;
                no spread falls below it.
        """
        centre, spread = {}, {}
        for name, values in raw.items():
            median = np.median(values, axis=0)
            mad = _MAD_TO_SIGMA * np.median(np.abs(values - median), axis=0)
            pooled = np.median(mad)
            shrunk = np.sqrt((1 - _SPREAD_SHRINKAGE) * mad**2 + _SPREAD_SHRINKAGE * pooled**2)
            centre[name] = median
            spread[name] = np.maximum(shrunk, resolution[name])
        return cls(centre, spread)

    def components(self, raw: Raw) -> dict[str, NDArray[np.float64]]:
        """Each component in standard units, averaged over microphones: ``(n, C) -> (n,)``."""
        return {
            name: ((raw[name] - self.centre[name]) / self.spread[name]).mean(-1)
            for name in self.centre
        }


def join(
    components: dict[str, NDArray[np.float64]], families: dict[str, str]
) -> NDArray[np.float64]:
    """The anomaly score: families' means, compressed and averaged.

    Components of a family measure the same thing and are averaged as they are. Across families
    ``asinh`` keeps small deviations as they are and large ones logarithmic, so that one family
    that is wild on this machine cannot silence the others.

    Args:
        components: standard units, shape ``(n,)`` each.
        families: the family of each component.

    Returns:
        Scores, shape ``(n,)``; higher = more anomalous.
    """
    by_family: dict[str, list[NDArray[np.float64]]] = {}
    for name, values in components.items():
        by_family.setdefault(families[name], []).append(values)
    compressed = [np.arcsinh(np.mean(group, axis=0)) for group in by_family.values()]
    return np.asarray(np.mean(compressed, axis=0))


def jackknife_scores(
    raw: Raw, resolution: dict[str, float], families: dict[str, str]
) -> NDArray[np.float64]:
    """Joined score of every calibration clip under the calibration of all the others.

    A clip that helps to set the median looks more normal than a fresh one; with eight clips that
    alone would double the false alarms.

    Args:
        raw: cross-fitted normal scores by component, shape ``(n, C)``.
        resolution: see `Calibration.fit`.
        families: the family of each component.

    Returns:
        Scores, shape ``(n,)``.
    """
    n = len(next(iter(raw.values())))
    scores = np.empty(n)
    for clip in range(n):
        others = {name: np.delete(values, clip, axis=0) for name, values in raw.items()}
        alone = {name: values[clip : clip + 1] for name, values in raw.items()}
        calibration = Calibration.fit(others, resolution)
        scores[clip] = join(calibration.components(alone), families)[0]
    return scores
