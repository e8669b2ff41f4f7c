"""What an evaluation has to show: the scored clips of one detector, as plain arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.metrics.classification import Metrics, evaluate_scores, missing_class
from audio_anomaly_detector.plotting.canvas import ANOMALOUS, NORMAL, UNKNOWN
from audio_anomaly_detector.plotting.latent_map import LatentMap, tsne
from audio_anomaly_detector.plotting.training_curves import HistoryRow

Floats = NDArray[np.float64]


class Group(NamedTuple):
    """Clips that are drawn in one colour."""

    name: str
    colour: str
    scores: Floats


@dataclass(frozen=True)
class EvaluationData:
    """Scored clips of one detector: all that the plots and the report show.

    Args:
        title: what was evaluated, such as "valve id_00, -6 dB".
        names: ``(n,)`` name of each clip.
        scores: ``(n,)`` joined anomaly score, higher = more anomalous.
        p_values: ``(n,)`` share of normal clips expected to score at least as high.
        p_resolution: ``(n,)`` the smallest p-value that the normal clips carry.
        decisions: ``(n,)`` whether the clip was decided anomalous.
        threshold: in units of the score; may be infinite.
        labels: ``(n,)`` of 0 normal, 1 anomalous; None if they are not known.
        components: by name, ``(n,)`` calibrated score of each component (comparable: z).
        latents: ``(n, D)`` quantised latent of each clip; None without networks.
        history: one row an epoch, as for `draw_training_curves`; empty without networks.

    Raises:
        ValueError: lengths that do not fit, or no clips.
    """

    title: str
    names: Sequence[str]
    scores: Floats
    p_values: Floats
    p_resolution: Floats
    decisions: NDArray[np.bool_]
    threshold: float
    labels: NDArray[np.int64] | None = None
    components: Mapping[str, Floats] = field(default_factory=dict)
    latents: Floats | None = None
    history: Sequence[HistoryRow] = ()

    def __post_init__(self) -> None:
        """Hold one entry a clip everywhere."""
        columns = {
            "scores": self.scores,
            "p_values": self.p_values,
            "p_resolution": self.p_resolution,
            "decisions": self.decisions,
            **self.components,
        }
        columns |= {} if self.labels is None else {"labels": self.labels}
        columns |= {} if self.latents is None else {"latents": self.latents}
        if not len(self.names):
            raise ValueError("no scored clips")
        for name, column in columns.items():
            if len(column) != len(self.names):
                raise ValueError(f"{name}: {len(column)} entries for {len(self.names)} clips")
            if not np.isfinite(column).all():
                raise ValueError(f"{name}: some values are not finite")

    @cached_property
    def metrics(self) -> Metrics | None:
        """Every metric with its interval; None without labels."""
        if self.labels is None:
            return None
        return evaluate_scores(self.labels, self.scores, self.threshold)

    @cached_property
    def latent_map(self) -> LatentMap:
        """The t-SNE of the latents, which have to be there."""
        assert self.latents is not None
        return tsne(self.latents)

    @property
    def groups(self) -> list[Group]:
        """The scores by label."""
        if self.labels is None:
            return [Group("clips, labels unknown", UNKNOWN, self.scores)]
        groups = [
            Group("normal", NORMAL, self.scores[self.labels == 0]),
            Group("anomalous", ANOMALOUS, self.scores[self.labels == 1]),
        ]
        return [group for group in groups if len(group.scores)]

    @property
    def unlabelled(self) -> str | None:
        """Why nothing that needs both classes can be drawn, or None."""
        if self.labels is None:
            return "needs labels: it is not known\nwhich clips are normal"
        missing = missing_class(self.labels)
        return missing and f"needs both classes:\n{missing} among {len(self.labels)}"
