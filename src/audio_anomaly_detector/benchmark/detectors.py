"""Every detector of the benchmark. To add one, write a `Baseline` and a line here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from audio_anomaly_detector.benchmark import classical, pretrained_encoder
from audio_anomaly_detector.benchmark.baseline import Baseline, FoldScores, run_baseline
from audio_anomaly_detector.benchmark.classical import LevelOnly, LogMelStatistics, TwfrGmm
from audio_anomaly_detector.benchmark.frame_networks import DcaseAutoencoder, Idnn
from audio_anomaly_detector.benchmark.own_detector import JOINED, THREE_MODELS, run_detector
from audio_anomaly_detector.benchmark.plain_networks import (
    PlainDespawn,
    PlainMaskedTransformer,
    PlainVqvae,
)
from audio_anomaly_detector.benchmark.pretrained_encoder import PretrainedEncoder
from audio_anomaly_detector.choices import PoolScope
from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.learning.pool import PoolPrior


@dataclass(frozen=True)
class Row:
    """One line of the tables.

    Args:
        title: what it is called.
        columns: its scores; of several the one that wins on the test labels of each machine type,
            which makes it an oracle.
    """

    title: str
    columns: tuple[str, ...]

    @property
    def is_oracle(self) -> bool:
        """Whether test labels chose the score."""
        return len(self.columns) > 1


@dataclass(frozen=True)
class BenchmarkDetector:
    """A detector of the benchmark.

    Args:
        rows: what the tables show of it, the first is the method as such.
        run: from training clips, test clips, the config and the networks of a pool to scores.
        preset: of the config it is handed.
        settings: ``part.key=value`` changes to the preset.
        pool: machines whose networks are trained together.
        is_ours: our detector or a variant of it.
        missing: why it cannot run here, none if it can.
    """

    rows: tuple[Row, ...]
    run: Callable[[Sequence[Clip], Sequence[Clip], Config, PoolPrior | None], FoldScores]
    preset: str = "small"
    settings: tuple[str, ...] = ()
    pool: PoolScope = "none"
    is_ours: bool = False
    missing: Callable[[], str | None] = lambda: None


def _ours(
    title: str,
    preset: str,
    *settings: str,
    pool: PoolScope = "none",
) -> BenchmarkDetector:
    rows = [Row(title, (JOINED,))]
    if preset != "instant":
        rows.append(Row(f"{title}, three models alone", (THREE_MODELS,)))
    return BenchmarkDetector(tuple(rows), run_detector, preset, settings, pool, is_ours=True)


def _baseline(make: Callable[[], Baseline], *rows: Row) -> BenchmarkDetector:
    def run(
        train: Sequence[Clip], test: Sequence[Clip], config: Config, _: PoolPrior | None
    ) -> FoldScores:
        return run_baseline(make(), train, test, config)

    return BenchmarkDetector(rows, run)


def _statistics(title: str, back_end: classical.BackEnd) -> BenchmarkDetector:
    return _baseline(
        partial(LogMelStatistics, back_end),
        Row(f"log-mel statistics, {title}", ("score",)),
    )


_SCRATCH = "networks.start=scratch"
DETECTORS: dict[str, BenchmarkDetector] = {
    "small": _ours("ours (small)", "small"),
    "instant": _ours("ours (instant, no network)", "instant"),
    "instant_pooled": _ours("ours (instant, all ids pooled)", "instant", pool="all"),
    "pooled": _ours("ours (small, all ids pooled)", "small", pool="all"),
    "pooled_machine": _ours("ours (small, ids of a type pooled)", "small", pool="machine"),
    "scratch": _ours("ours (small, networks from scratch)", "small", _SCRATCH),
    "untrained": _ours(
        "ours (small, networks untrained)",
        "small",
        _SCRATCH,
        *(f"stages.{stage}.epochs=0" for stage in ("despawn", "transformer", "vqvae")),
    ),
    "fixed_filters": _ours(
        "ours (small, fixed db4 filters)", "small", _SCRATCH, "stages.despawn.epochs=0"
    ),
    "unquantised": _ours(
        "ours (small, latent not quantised)",
        "small",
        *(_SCRATCH, "vqvae.quantise=false", "vqvae.commitment=0"),
    ),
    "wavelet_fused": _ours(
        "ours (small, VQ-VAE of wavelets alone)", "small", _SCRATCH, "vqvae.sees=wavelet"
    ),
    "transformer_fused": _ours(
        "ours (small, VQ-VAE of the transformer alone)", "small", _SCRATCH, "vqvae.sees=transformer"
    ),
    "views": _ours("ours (small, four views)", "small", "scoring.views=4"),
    "level": _baseline(LevelOnly, Row("level-only control", ("score",))),
    "knn": _statistics("nearest neighbour", classical.nearest_neighbour),
    "mahalanobis": _statistics("Ledoit–Wolf Mahalanobis", classical.mahalanobis),
    "lof": _statistics("local outlier factor", classical.local_outlier_factor),
    "svm": _statistics("one-class SVM", classical.one_class_svm),
    "forest": _statistics("isolation forest", classical.isolation_forest),
    "twfr": _baseline(
        TwfrGmm,
        Row(
            f"TWFR-GMM, r = {classical.GWRP_FIXED:g}",
            (classical.gwrp_column(classical.GWRP_FIXED),),
        ),
        Row("TWFR-GMM, r by oracle", tuple(map(classical.gwrp_column, classical.GWRP_RATIOS))),
    ),
    "dcase": _baseline(
        DcaseAutoencoder,
        Row("DCASE autoencoder, squared error", ("mse",)),
        Row("DCASE autoencoder, selective Mahalanobis", ("mahalanobis",)),
    ),
    "idnn": _baseline(
        Idnn,
        Row("IDNN, mean error", ("mean",)),
        Row("IDNN, largest error", ("max",)),
    ),
    "despawn": _baseline(
        PlainDespawn,
        Row("plain DeSpaWN, residual + sparsity", ("residual_and_sparsity",)),
        Row("plain DeSpaWN, residual", ("residual",)),
        Row("plain DeSpaWN, sparsity", ("sparsity",)),
    ),
    "transformer": _baseline(
        PlainMaskedTransformer,
        Row("plain masked transformer", ("reconstruction",)),
    ),
    "vqvae": _baseline(PlainVqvae, Row("plain VQ-VAE", ("reconstruction",))),
    "encoder": replace(
        _baseline(PretrainedEncoder, Row("pretrained AST, sub-band nearest neighbour", ("score",))),
        missing=pretrained_encoder.missing,
    ),
}
LEVEL_ONLY = "level"
