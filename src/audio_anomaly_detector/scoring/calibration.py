"""Raw component scores to common units, and their join into one score, without labels."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audio_anomaly_detector.scoring.lengths import length_weights

Raw = dict[str, NDArray[np.float64]]  # component -> (n, C)

MAD_TO_SIGMA = 1.4826
# Half of each microphone's spread is taken from all microphones together.
_SPREAD_SHRINKAGE = 0.5
# Clips are left out in as many groups at most: with more, a group is no great part of the rest.
_GROUPS = 50
# A family of networks whose components weigh less than this on average is left out.
_UNSTABLE = 0.2
# With as many clips, families and the weights of networks are shrunk by half.
_PRIOR_CLIPS = 20.0
# Divided by the number of clips: evidence of surrogates, in standard units, that is added to every
# family's own, for with few clips a little more or less is chance.
_SURROGATE_PRIOR = 5.0
# Steepness of the soft maximum of the families without shrinkage. From 24 synthetic machines with
# faults of the generator's tuning kind: with 100 and 200 normal clips a steepness of 0.8 gave .004
# to .008 less AUROC than 3 to 5, with 20 clips all of these gave the same, and with fewer a steep
# one raises too many false alarms. Hence the square of the shrinkage factor.
_STEEPNESS = 5.0


class Evidence(NamedTuple):
    """The way from raw component scores to the anomaly score, for n clips.

    Attributes:
        components: by component, in robust standard deviations of the normals, mean over
            microphones, ``(n,)``.
        families: by family, components compressed, weighted and averaged, ``(n,)``.
        score: their soft maximum, ``(n,)``; higher = more anomalous.
    """

    components: dict[str, Tensor]
    families: dict[str, Tensor]
    score: Tensor


@dataclass(frozen=True)
class Calibration:
    """Where each component's raw scores lie on normal clips the detector was not fitted on.

    Distances of a short clip are larger and scatter more, so that every length of a clip has a
    centre and spread of its own; weights are those of the usual length.

    Args:
        seconds: lengths of clips that it is made for, ascending, ``(L,)``.
        centre: median by component, ``(L, C)`` each.
        spread: robust standard deviation by component, ``(L, C)`` each.
        component_weight: by component, at most 1; less where left-out normal clips lie far from
            the centre, or vary so much that a fault is hardly visible.
        family_weight: by family, 0 to 1: the better it separates the machine from surrogates, the
            more; networks less while clips are few.
        steepness: of the soft maximum of the families: near 0 it is their mean, large values
            approach their maximum.

    Raises:
        ValueError: a number that is not finite, a spread or steepness that is not above 0, a
            weight below 0.
    """

    seconds: Tensor
    centre: dict[str, Tensor]
    spread: dict[str, Tensor]
    component_weight: dict[str, float]
    family_weight: dict[str, float]
    steepness: float

    def __post_init__(self) -> None:
        for name, spread in self.spread.items():
            centre = self.centre[name]
            if not centre.dtype == spread.dtype == self.seconds.dtype:
                raise ValueError(f"the calibration of {name} has numbers of different kinds")
            if centre.ndim != 2 or centre.shape != spread.shape:
                raise ValueError(f"the calibration of {name} has parts of different shapes")
            if not (torch.isfinite(centre).all() and torch.isfinite(spread).all()):
                raise ValueError(f"the calibration of {name} is not finite")
            if not (spread > 0).all():
                raise ValueError(f"the calibration of {name} has a spread that is not above 0")
            if len(centre) != len(self.seconds):
                raise ValueError(f"the calibration of {name} is for other lengths of clips")
        lengths = self.seconds.tolist()
        if not lengths or lengths != sorted(set(lengths)) or not 0 < lengths[0] < math.inf:
            raise ValueError(f"the calibration is for clips of {lengths} s")
        weights = [*self.component_weight.values(), *self.family_weight.values()]
        if not all(0 <= weight < math.inf for weight in weights):
            raise ValueError("the calibration has a weight that is negative or not finite")
        if not 0 < self.steepness < math.inf:
            raise ValueError(f"the calibration has a steepness of {self.steepness}")

    @classmethod
    def fit(
        cls,
        raw: Raw,
        resolution: dict[str, float],
        reliability: dict[str, float],
        family_of: dict[str, str],
        networks: tuple[str, ...] = (),
        surrogates: dict[str, Tensor] | None = None,
        groups: dict[str, NDArray[np.int64]] | None = None,
        seconds: float = 1.0,
        weight_of_family: dict[str, float] | None = None,
    ) -> "Calibration":
        """Median and MAD of cross-fitted normal scores, and how steady each component is.

        Args:
            raw: by component, ``(n, C)``, n >= 2; n may differ.
            resolution: by component, the smallest difference of raw scores that means something;
                no spread falls below it.
            reliability: by component, 0 to 1, how visible a fault is (`Bank.reliability`).
            family_of: the family of each component.
            networks: families whose networks were trained on the same clips. A handful of clips
                is too few to train them, so that their weight is reduced, to 0 for a family whose
                left-out normal clips scatter so widely that nothing was learned.
            surrogates: raw scores of surrogates of normal clips, ``(m, C)``, of components that
                measure what surrogates lack. A family that hardly separates them from the machine
                responds to the hall more than to the machine, and weighs less than the one that
                separates best. Families without any such component keep their weight.
            groups: by component, which of the n clips vary together, ``(n,)``: their number is
                that of the independent clips, and each counts as one. None: every clip for itself.
            seconds: length of the clips.
            weight_of_family: what the weights of some families are multiplied by; None: of none.
        """
        groups = groups or {name: np.arange(len(values)) for name, values in raw.items()}
        centre, spread = _scales(raw, resolution, groups)
        steadiness = _steadiness(left_out_components(raw, resolution, groups), groups)
        clips = max(len(np.unique(of_clip)) for of_clip in groups.values())
        shrinkage = clips / (clips + _PRIOR_CLIPS)  # 0: all shrunk, 1: not at all
        weight = {name: reliability[name] * steadiness[name] for name in raw}
        length = torch.tensor([seconds], dtype=torch.float64)
        unweighted = cls(length, centre, spread, weight, {}, _STEEPNESS * shrinkage**2)
        evidence = unweighted.families(unweighted.components(surrogates or {}), family_of)
        contrast = _surrogate_contrast(
            {family: float(values.mean()) for family, values in evidence.items()},
            networks,
            _SURROGATE_PRIOR / clips,
        )
        family_weight = {}
        for family in dict.fromkeys(family_of.values()):
            members = [steadiness[name] for name in raw if family_of[name] == family]
            family_weight[family] = contrast.get(family, 1.0)
            family_weight[family] *= (weight_of_family or {}).get(family, 1.0)
            if family in networks:
                family_weight[family] *= 0.0 if np.mean(members) < _UNSTABLE else shrinkage**2
        return replace(unweighted, family_weight=family_weight)

    def with_length(
        self,
        seconds: float,
        raw: Raw,
        resolution: dict[str, float],
        groups: dict[str, NDArray[np.int64]],
    ) -> "Calibration":
        """The same with a centre and spread for clips of another length.

        Args:
            seconds: that length.
            raw: left-out normal scores of such clips, as for `fit`.
            resolution: as for `fit`.
            groups: as for `fit`.
        """
        centre, spread = _scales(raw, resolution, groups)
        lengths = torch.cat([self.seconds, self.seconds.new_tensor([seconds])])
        order = lengths.argsort()
        return replace(
            self,
            seconds=lengths[order],
            centre={n: torch.cat([own, centre[n]])[order] for n, own in self.centre.items()},
            spread={n: torch.cat([own, spread[n]])[order] for n, own in self.spread.items()},
        )

    def single_precision(self) -> "Calibration":
        """The same for raw scores in float32, which is what an exported graph computes in."""
        return replace(
            self,
            seconds=self.seconds.float(),
            centre={name: values.float() for name, values in self.centre.items()},
            spread={name: values.float() for name, values in self.spread.items()},
        )

    @property
    def unstable(self) -> list[str]:
        """Families left out of the score: left-out normal clips scatter too widely in them."""
        return [family for family, weight in self.family_weight.items() if weight == 0]

    @property
    def notes(self) -> list[str]:
        """What a user should know of it, a sentence each."""
        if not self.unstable:
            return []
        return [f"left out of the score, unstable on held-out normals: {', '.join(self.unstable)}"]

    def evidence(
        self, raw: dict[str, Tensor], family_of: dict[str, str], seconds: Tensor | None = None
    ) -> Evidence:
        """From raw component scores ``(n, C)`` to the anomaly score.

        Args:
            raw: by component.
            family_of: the family of each component.
            seconds: as for `components`.
        """
        components = self.components(raw, seconds)
        families = self.families(components, family_of)
        return Evidence(components, families, self.join(families))

    def components(
        self, raw: dict[str, Tensor], seconds: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Each component in standard units, averaged over microphones: ``(n, C) -> (n,)``.

        Args:
            raw: by component.
            seconds: lengths of the clips, ``(n,)``; None where it is made for one length.
        """
        weights = self.seconds.new_ones(1, 1)
        if seconds is not None:
            weights = length_weights(seconds.to(self.seconds), self.seconds)  # (n, L)
        return {
            name: ((values - weights @ self.centre[name]) / (weights @ self.spread[name])).mean(-1)
            for name, values in raw.items()
        }

    def families(
        self, components: dict[str, Tensor], family_of: dict[str, str]
    ) -> dict[str, Tensor]:
        """The evidence of each family: its components compressed, weighted and averaged.

        ``asinh`` keeps small deviations as they are and makes large ones logarithmic, so that one
        extreme component does not outweigh all others; the weight reduces components that scatter
        widely on normal clips.

        Args:
            components: in standard units, ``(n,)`` each.
            family_of: the family of each component.

        Returns:
            By family, ``(n,)``.
        """
        grouped: dict[str, list[Tensor]] = {}
        for name, values in components.items():
            grouped.setdefault(family_of[name], []).append(
                self.component_weight[name] * values.asinh()
            )
        return {family: torch.stack(group).mean(0) for family, group in grouped.items()}

    def join(self, families: dict[str, Tensor]) -> Tensor:
        """The anomaly score, ``(n,)``; higher = more anomalous.

        A soft maximum of the families' evidence e with weights w and steepness t,
        ``log(sum(w exp(t e)) / sum(w)) / t``: near their mean where few clips are known, near the
        largest where many are. If all weights are 0, all families count alike.

        Args:
            families: by family, ``(n,)``.
        """
        evidence = torch.stack(list(families.values()), -1)  # (n, families)
        weights = [self.family_weight[name] for name in families]
        if not any(weights):
            weights = [1.0] * len(weights)
        share = evidence.new_tensor(weights) / sum(weights)
        largest = evidence.amax(-1)
        powers = torch.exp(self.steepness * (evidence - largest.unsqueeze(-1)))
        return largest + torch.log(powers @ share) / self.steepness


def _surrogate_contrast(
    evidence: dict[str, float], networks: tuple[str, ...], prior: float
) -> dict[str, float]:
    """How well each family separates surrogates from the machine, 0 to 1, relative to the best.

    The best of those without a network: networks were trained on the very clips that the
    surrogates are made of, and give them larger scores than other surrogates. The banks hold these
    clips, too, so that a family without any contrast comes out below 0.
    """
    contrast = {family: max(0.0, mean) for family, mean in evidence.items()}
    best = max([contrast[f] for f in contrast if f not in networks] or contrast.values(), default=0)
    return {family: min(1.0, (mean + prior) / (best + prior)) for family, mean in contrast.items()}


def left_out_components(
    raw: Raw, resolution: dict[str, float], groups: dict[str, NDArray[np.int64]]
) -> dict[str, NDArray[np.float64]]:
    """Each clip's components by the centre and spread of the other groups, ``(n,)`` each.

    Args:
        raw: cross-fitted normal scores by component, ``(n, C)``.
        resolution: see `Calibration.fit`.
        groups: likewise.
    """
    result = {}
    for name, values in raw.items():
        of_clip = np.unique(groups[name], return_inverse=True)[1]
        result[name] = np.empty(len(values))
        for group in range(min(of_clip.max() + 1, _GROUPS)):
            left_out = of_clip % _GROUPS == group
            rest = _balanced(of_clip[~left_out])
            centre, spread = _centre_and_spread(values[~left_out][rest], resolution[name])
            result[name][left_out] = ((values[left_out] - centre) / spread).mean(-1)
    return result


def _scales(
    raw: Raw, resolution: dict[str, float], groups: dict[str, NDArray[np.int64]]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Centre and spread by component, ``(1, C)`` each."""
    centre, spread = {}, {}
    for name, values in raw.items():
        scale = _centre_and_spread(values[_balanced(groups[name])], resolution[name])
        centre[name], spread[name] = (torch.from_numpy(part).unsqueeze(0) for part in scale)
    return centre, spread


def _balanced(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of clips such that every group occurs alike, those of a small one repeatedly."""
    _, of_clip, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if (sizes == sizes[0]).all():
        return np.arange(len(groups))
    members = [np.flatnonzero(of_clip == group) for group in range(len(sizes))]
    return np.concatenate([np.resize(positions, sizes.max()) for positions in members])


def _centre_and_spread(
    values: NDArray[np.float64], resolution: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and robust standard deviation of every microphone, ``(n, C) -> (C,)`` each."""
    median = np.median(values, axis=0)
    mad = MAD_TO_SIGMA * np.median(np.abs(values - median), axis=0)
    pooled = np.median(mad)
    shrunk = np.sqrt((1 - _SPREAD_SHRINKAGE) * mad**2 + _SPREAD_SHRINKAGE * pooled**2)
    return median, np.maximum(shrunk, resolution)


def _steadiness(
    left_out: dict[str, NDArray[np.float64]], groups: dict[str, NDArray[np.int64]]
) -> dict[str, float]:
    """One over the root mean square of the left-out normals' deviations, at most 1."""
    return {
        name: float(1 / max(1.0, np.sqrt(np.mean(np.square(values[_balanced(groups[name])])))))
        for name, values in left_out.items()
    }
