"""Raw component scores to common units, and their join into one score, without labels."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Raw = dict[str, NDArray[np.float64]]  # component -> (n, C)

# Half of each microphone's spread is taken from all microphones together.
_SPREAD_SHRINKAGE = 0.5
MAD_TO_SIGMA = 1.4826
# Clips are left out in as many groups at most: with more, a group is no great part of the rest.
_GROUPS = 50
# A family of a network with less than this mean weight is left out.
_UNSTABLE = 0.2
# With as many clips, half of what one family says alone, or what a network has learned, counts.
_PRIOR_CLIPS = 20.0
# Divided by the number of clips: evidence of surrogates, in standard units, that every family is
# given beside its own, for with few clips a little more or less is chance.
_SURROGATE_PRIOR = 5.0
# How steep the soft maximum of the families is at full trust. From 24 made machines with faults of
# the generator's tuning kind: with 100 and 200 normal clips a steepness of 0.8 gave .004 to .008
# less AUROC than 3 to 5, with 20 clips all of these gave the same, and with fewer a steep one makes
# the false alarms too many. Hence the square of the trust.
_STEEPNESS = 5.0


@dataclass(frozen=True)
class Calibration:
    """Where each component's raw scores lie on normal clips the detector was not fitted on.

    Args:
        centre: median by component, shape ``(C,)`` each.
        spread: robust standard deviation by component, shape ``(C,)`` each.
        weight: by component, at most 1; less where fresh normal clips stray far from the centre
            or where they wander so far that a fault hardly shows.
        trust: 0 to 1, how far one family's evidence counts without the others'.
        votes: 0 to 1, by family, how much it counts in the score: the better it hears the machine
            (tells it from surrogates), the more; networks less while clips are few.
    """

    centre: dict[str, Tensor]
    spread: dict[str, Tensor]
    weight: dict[str, float]
    trust: float
    votes: dict[str, float]

    @classmethod
    def fit(
        cls,
        raw: Raw,
        resolution: dict[str, float],
        reliability: dict[str, float],
        family_of: dict[str, str],
        networks: tuple[str, ...] = (),
        surrogates: dict[str, Tensor] | None = None,
    ) -> "Calibration":
        """Median and MAD of cross-fitted normal scores, and how steady each component is.

        Args:
            raw: by component, shape ``(n, C)``, n >= 2; n may differ.
            resolution: by component, the smallest difference of raw scores that means something;
                no spread falls below it.
            reliability: by component, 0 to 1, how much of a fault shows (`Bank.reliability`).
            family_of: the family of each component.
            networks: families whose networks learned from the same clips. A handful of clips
                teaches them little, so that their vote is less than a whole one, and a family has
                none where fresh normal clips stray so far that nothing was learned.
            surrogates: raw scores of surrogates of normal clips, ``(m, C)``, of components that
                hear what those lack. A family that hardly tells them from the machine hardly hears
                the machine, and votes less than the one that does so best. Families without any
                such component keep their vote.
        """
        centre, spread = {}, {}
        for name, values in raw.items():
            scale = _centre_and_spread(values, resolution[name])
            centre[name], spread[name] = (torch.from_numpy(part) for part in scale)
        left_out = left_out_components(raw, resolution)
        steadiness = _steadiness(left_out)
        clips = max(len(values) for values in raw.values())
        trust = clips / (clips + _PRIOR_CLIPS)
        weight = {name: reliability[name] * steadiness[name] for name in raw}
        voteless = cls(centre, spread, weight, trust, {})
        evidence = voteless.families(voteless.components(surrogates or {}), family_of)
        hearing = _hearing(
            {family: float(values.mean()) for family, values in evidence.items()},
            networks,
            _SURROGATE_PRIOR / clips,
        )
        votes = {}
        for family in dict.fromkeys(family_of.values()):
            members = [steadiness[name] for name in raw if family_of[name] == family]
            votes[family] = hearing.get(family, 1.0)
            if family in networks:
                votes[family] *= 0.0 if np.mean(members) < _UNSTABLE else trust**2
        return replace(voteless, votes=votes)

    def single_precision(self) -> "Calibration":
        """The same for raw scores in float32, which is what an exported graph computes in."""
        return replace(
            self,
            centre={name: values.float() for name, values in self.centre.items()},
            spread={name: values.float() for name, values in self.spread.items()},
        )

    @property
    def unstable(self) -> list[str]:
        """Families left out of the score: fresh normal clips stray too far in them."""
        return [family for family, vote in self.votes.items() if vote == 0]

    @property
    def notes(self) -> list[str]:
        """What a user should know of it, a sentence each."""
        if not self.unstable:
            return []
        return [f"left out of the score, unstable on held-out normals: {', '.join(self.unstable)}"]

    def components(self, raw: dict[str, Tensor]) -> dict[str, Tensor]:
        """Each component in standard units, averaged over microphones: ``(n, C) -> (n,)``."""
        return {
            name: ((values - self.centre[name]) / self.spread[name]).mean(-1)
            for name, values in raw.items()
        }

    def families(
        self, components: dict[str, Tensor], family_of: dict[str, str]
    ) -> dict[str, Tensor]:
        """The evidence of each family: its components compressed, weighted and averaged.

        ``asinh`` keeps small deviations as they are and large ones logarithmic, so that what is
        wild on one clip cannot silence the rest; the weight keeps out what is wild on normal clips.

        Args:
            components: standard units, shape ``(n,)`` each.
            family_of: the family of each component.

        Returns:
            By family, shape ``(n,)``.
        """
        grouped: dict[str, list[Tensor]] = {}
        for name, values in components.items():
            grouped.setdefault(family_of[name], []).append(self.weight[name] * values.asinh())
        return {family: torch.stack(group).mean(0) for family, group in grouped.items()}

    def join(self, families: dict[str, Tensor]) -> Tensor:
        """The anomaly score, ``(n,)``; higher = more anomalous.

        A soft maximum of the families' evidence, ``log(sum(v exp(t e)) / sum(v)) / t``, t five
        times the trust squared: near their mean with a handful of clips, and drawn towards the one
        family that hears the fault where its scale is known well. If none of the families has a
        vote v, all count alike.
        """
        evidence = torch.stack(list(families.values()), -1)  # (n, families)
        votes = [self.votes[name] for name in families]
        if not any(votes):
            votes = [1.0] * len(votes)
        share = evidence.new_tensor(votes) / sum(votes)
        largest = evidence.amax(-1)
        steepness = _STEEPNESS * self.trust**2
        powers = torch.exp(steepness * (evidence - largest.unsqueeze(-1)))
        return largest + torch.log(powers @ share) / steepness


def _hearing(
    evidence: dict[str, float], networks: tuple[str, ...], prior: float
) -> dict[str, float]:
    """How well each family tells surrogates from the machine, 0 to 1, against the best of them.

    The best of those without a network: networks learned from the very clips that the surrogates
    are made of, and find them stranger than they would others. The banks hold these clips, too, so
    that a family that hears nothing comes out below 0.
    """
    heard = {family: max(0.0, mean) for family, mean in evidence.items()}
    most = max([heard[f] for f in heard if f not in networks] or heard.values(), default=0.0)
    return {family: min(1.0, (mean + prior) / (most + prior)) for family, mean in heard.items()}


def left_out_components(raw: Raw, resolution: dict[str, float]) -> dict[str, NDArray[np.float64]]:
    """Each clip's components by the centre and spread of the others, shape ``(n,)`` each.

    Args:
        raw: cross-fitted normal scores by component, shape ``(n, C)``.
        resolution: see `Calibration.fit`.
    """
    result = {}
    for name, values in raw.items():
        clips = np.arange(len(values))
        result[name] = np.empty(len(values))
        for group in range(min(len(values), _GROUPS)):
            left_out = clips % _GROUPS == group
            centre, spread = _centre_and_spread(values[~left_out], resolution[name])
            result[name][left_out] = ((values[left_out] - centre) / spread).mean(-1)
    return result


def _centre_and_spread(
    values: NDArray[np.float64], resolution: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and robust standard deviation of every microphone, ``(n, C) -> (C,)`` each."""
    median = np.median(values, axis=0)
    mad = MAD_TO_SIGMA * np.median(np.abs(values - median), axis=0)
    pooled = np.median(mad)
    shrunk = np.sqrt((1 - _SPREAD_SHRINKAGE) * mad**2 + _SPREAD_SHRINKAGE * pooled**2)
    return median, np.maximum(shrunk, resolution)


def _steadiness(left_out: dict[str, NDArray[np.float64]]) -> dict[str, float]:
    """One over the root mean square of the left-out normals' deviations, at most 1."""
    return {
        name: float(1 / max(1.0, np.sqrt(np.mean(np.square(values)))))
        for name, values in left_out.items()
    }
