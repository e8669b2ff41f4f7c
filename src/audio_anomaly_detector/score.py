"""The verdict on a clip, and what gives one, whatever computes it; needs no PyTorch."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.scoring.threshold import ScoresByLength, ThresholdConfig


@dataclass(frozen=True)
class Score:
    """Verdict on one clip.

    Args:
        score: anomaly score; higher = more anomalous, normal clips lie around 0.
        p_value: share of normal clips expected to score at least as high.
        p_resolution: the smallest p-value that the normal clips carry; a lower one is
            extrapolated and only says that it is below.
        is_anomalous: ``score > threshold``.
        threshold: the decision threshold.
        components: every component in robust standard deviations of the normals.
        families: evidence of each family, compressed and weighted, which ``score`` joins.
        remarks: what is unusual about the recording itself, a sentence each.
        map: on request, ``(F, N)`` negative log-likelihood by mel bin and frame, mean over
            microphones; None without networks.
        latent: ``(L,)`` mean quantised latent; None without networks.
    """

    score: float
    p_value: float
    p_resolution: float
    is_anomalous: bool
    threshold: float
    components: dict[str, float]
    families: dict[str, float]
    remarks: list[str] = field(default_factory=list)
    map: NDArray[np.float32] | None = field(default=None, compare=False)
    latent: NDArray[np.float32] | None = field(default=None, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without map and latent."""
        plain = asdict(self)
        del plain["map"], plain["latent"]
        return plain


class Scorer(Protocol):
    """Whatever scores recordings of one machine: a `Detector`, or an exported graph."""

    @property
    def sample_rate(self) -> int:
        """Of the waveforms that it scores, Hz."""

    @property
    def microphones(self) -> int:
        """Channels of the waveforms that it scores."""

    @property
    def components(self) -> list[str]:
        """Names of the components of its scores."""

    @property
    def threshold(self) -> float:
        """Scores above it are decided anomalous, of clips as long as those it was fitted on."""

    @property
    def threshold_config(self) -> ThresholdConfig:
        """How the threshold is drawn."""

    @property
    def normal_scores(self) -> ScoresByLength:
        """Scores of normal clips that the scorer was not fitted on."""

    def with_threshold(self, config: ThresholdConfig) -> Self:
        """The same scorer with another decision threshold."""

    def score(self, waveform: ArrayLike) -> Score:
        """Score a waveform ``(C, T)`` in full scale ±1.

        Raises:
            UserError: it cannot be scored.
        """

    def score_waveforms(self, waveforms: Sequence[ArrayLike]) -> list[Score]:
        """Score several waveforms ``(C, T)`` together; raises `UserError` like `score`."""

    def score_clips(self, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Score | ClipError]]:
        """Score clips from their files, in order; one that fails yields its error."""

    def describe(self) -> dict[str, Any]:
        """What the scorer is, as plain data."""


def judged(
    scorer: Scorer,
    score: float,
    seconds: float,
    components: dict[str, float],
    families: dict[str, float],
) -> Score:
    """The verdict of a scorer on an anomaly score.

    Args:
        scorer: whose normal scores and threshold decide.
        score: anomaly score.
        seconds: length of the clip.
        components: see `Score`.
        families: see `Score`.

    Raises:
        UserError: a number is not finite, which no comparison with a threshold would notice.
    """
    if not all(map(math.isfinite, (score, *components.values(), *families.values()))):
        raise UserError(
            "its statistics are not finite, so it has no score; record it again at a usual level"
        )
    normal, config = scorer.normal_scores, scorer.threshold_config
    threshold = normal.threshold(seconds, config)
    return Score(
        score=score,
        p_value=normal.p_value(score, seconds, config),
        p_resolution=normal.resolution(seconds),
        is_anomalous=score > threshold,
        threshold=threshold,
        components=components,
        families=families,
    )
