"""Raw component scores to common units, and their join into one score, without labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Raw = dict[str, NDArray[np.float64]]  # component -> (n, C)
Components = dict[str, NDArray[np.float64]]  # component or family -> (n,)

# Half of each microphone's spread is taken from all microphones together.
_SPREAD_SHRINKAGE = 0.5
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Calibration:
    """Where each component's raw scores lie on normal clips the detector was not fitted on.

    Args:
        centre: median by component, shape ``(C,)`` each.
        spread: robust standard deviation by component, shape ``(C,)`` each.
        weight: by component, at most 1; less where fresh normal clips stray far from the centre.
    """

    centre: Raw
    spread: Raw
    weight: dict[str, float]

    @classmethod
    def fit(cls, raw: Raw, resolution: dict[str, float]) -> "Calibration":
        """Median and MAD of cross-fitted normal scores, and how steady each component is.

        Args:
            raw: by component, shape ``(n, C)``, n >= 2.
            resolution: by component, the smallest difference of raw scores that means something;
                no spread falls below it.
        """
        centre, spread = _centre_and_spread(raw, resolution)
        return cls(centre, spread, _weights(_left_out_components(raw, resolution)))

    def components(self, raw: Raw) -> Components:
        """Each component in standard units, averaged over microphones: ``(n, C) -> (n,)``."""
        return _standardise(raw, self.centre, self.spread)

    def families(self, components: Components, family_of: dict[str, str]) -> Components:
        """The evidence of each family: its components compressed, weighted and averaged.

        ``asinh`` keeps small deviations as they are and large ones logarithmic, so that what is
        wild on one clip cannot silence the rest; the weight keeps out what is wild on normal clips.

        Args:
            components: standard units, shape ``(n,)`` each.
            family_of: the family of each component.

        Returns:
            By family, shape ``(n,)``.
        """
        return _families(components, self.weight, family_of)


def join(families: Components) -> NDArray[np.float64]:
    """The anomaly score: the mean of the families' evidence, ``(n,)``; higher = more anomalous."""
    return np.asarray(np.mean(list(families.values()), axis=0))


def oddness(raw: Raw, resolution: dict[str, float]) -> NDArray[np.float64]:
    """How far each normal clip lies from all the others, compressed and averaged, ``(n,)``.

    Args:
        raw: cross-fitted normal scores by component, shape ``(n, C)``.
        resolution: see `Calibration.fit`.
    """
    left_out = _left_out_components(raw, resolution)
    return np.asarray(np.mean([np.arcsinh(values) for values in left_out.values()], axis=0))


def _centre_and_spread(raw: Raw, resolution: dict[str, float]) -> tuple[Raw, Raw]:
    centre, spread = {}, {}
    for name, values in raw.items():
        median = np.median(values, axis=0)
        mad = _MAD_TO_SIGMA * np.median(np.abs(values - median), axis=0)
        pooled = np.median(mad)
        shrunk = np.sqrt((1 - _SPREAD_SHRINKAGE) * mad**2 + _SPREAD_SHRINKAGE * pooled**2)
        centre[name] = median
        spread[name] = np.maximum(shrunk, resolution[name])
    return centre, spread


def _standardise(raw: Raw, centre: Raw, spread: Raw) -> Components:
    return {name: ((raw[name] - centre[name]) / spread[name]).mean(-1) for name in centre}


def _left_out_components(raw: Raw, resolution: dict[str, float]) -> Components:
    """Each clip's components by the centre and spread of all the others, shape ``(n,)`` each."""
    n = len(next(iter(raw.values())))
    parts = []
    for clip in range(n):
        others = {name: np.delete(values, clip, axis=0) for name, values in raw.items()}
        alone = {name: values[clip : clip + 1] for name, values in raw.items()}
        parts.append(_standardise(alone, *_centre_and_spread(others, resolution)))
    return {name: np.concatenate([part[name] for part in parts]) for name in raw}


def _weights(left_out: Components) -> dict[str, float]:
    """One over the root mean square of the left-out normals' deviations, at most 1."""
    return {
        name: float(1 / max(1.0, np.sqrt(np.mean(np.square(values)))))
        for name, values in left_out.items()
    }


def _families(
    components: Components, weight: dict[str, float], family_of: dict[str, str]
) -> Components:
    grouped: dict[str, list[NDArray[np.float64]]] = {}
    for name, values in components.items():
        grouped.setdefault(family_of[name], []).append(weight[name] * np.arcsinh(values))
    return {family: np.asarray(np.mean(group, axis=0)) for family, group in grouped.items()}
