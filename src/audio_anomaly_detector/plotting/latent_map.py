"""A map of the quantised latents in the plane: clips with similar latents lie together."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from audio_anomaly_detector.plotting.canvas import (
    INK,
    MUTED,
    SMALL,
    UNKNOWN,
    add_legend,
    start_panel,
)

FEWEST = 5
MOST = 1000  # t-SNE of 10 000 clips takes minutes and shows no more
TITLE = "Quantised latents (t-SNE)"


class LatentMap(NamedTuple):
    """Where each clip lies.

    Attributes:
        coordinates: (M, 2), no unit; None if there is no map.
        indices: (M,) which clips these are.
        note: why there is no map, or what was left out; "" otherwise.
    """

    coordinates: NDArray[np.float64] | None
    indices: NDArray[np.intp]
    note: str


def tsne(latents: NDArray[np.float64], seed: int = 0) -> LatentMap:
    """Map latents to the plane (van der Maaten & Hinton 2008), by scikit-learn.

    Args:
        latents: ``(n, D)``, one vector a clip.
        seed: seed of the map, and of the choice of `MOST` clips where there are more.

    Raises:
        ValueError: latents that are not finite or not ``(n, D)``.
    """
    latents = np.asarray(latents, dtype=np.float64)
    if latents.ndim != 2 or not np.isfinite(latents).all():
        raise ValueError(f"latents {latents.shape} have to be finite and (clips, dimensions)")
    n = len(latents)
    indices = np.arange(n)
    if n < FEWEST:
        return LatentMap(None, indices, f"a map needs at least {FEWEST} clips,\nthere are {n}")
    if np.ptp(latents, axis=0).max() == 0:
        return LatentMap(None, indices, "all clips have the same latent:\nthe codebook collapsed")
    note = ""
    if n > MOST:
        indices = np.sort(np.random.default_rng(seed).choice(n, MOST, replace=False))
        note = f"{MOST} of {n} clips, drawn at random"
    chosen = latents[indices]
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    method = TSNE(perplexity=perplexity, random_state=seed, init="pca", n_jobs=1)
    return LatentMap(method.fit_transform(chosen).astype(np.float64), indices, note)


def draw_latent_map(
    ax: Axes,
    coordinates: NDArray[np.float64],
    scores: NDArray[np.float64],
    labels: NDArray[np.int64] | None = None,
    note: str = "",
) -> None:
    """Draw clips at coordinates ``(n, 2)``, coloured by score, shaped by label, ``(n,)`` each."""
    start_panel(ax, TITLE, "t-SNE 1 (no unit)", "t-SNE 2 (no unit)")
    low, high = np.percentile(scores, [2, 98])  # one outlier must not grey out all others
    shades = Normalize(low, high if high > low else low + 1)
    size = float(np.clip(6000 / len(scores), 12, 55))
    kinds = [("clip", np.ones(len(scores), bool), "o")]
    if labels is not None:
        kinds = [("normal", labels == 0, "o"), ("anomalous", labels == 1, "^")]
    for name, members, marker in kinds:
        points = ax.scatter(
            coordinates[members, 0],
            coordinates[members, 1],
            c=scores[members],
            norm=shades,
            cmap="cividis",
            marker=marker,
            s=size * (1.4 if marker == "^" else 1),
            edgecolors=INK if marker == "^" else "white",
            linewidths=0.4,
        )
        ax.scatter([], [], marker=marker, color=UNKNOWN, label=f"{name} ({members.sum()})")
    bar = ax.figure.colorbar(points, ax=ax, extend="both", extendfrac=0.03, pad=0.02)
    bar.set_label("anomaly score", fontsize=9.5, color=INK)
    bar.ax.tick_params(labelsize=SMALL, colors=INK)
    bar.outline.set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.margins(0.08)
    if note:
        ax.text(0.99, 0.01, note, transform=ax.transAxes, ha="right", fontsize=8, color=MUTED)
    add_legend(ax)
