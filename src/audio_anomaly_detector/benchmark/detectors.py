"""Every detector of the benchmark. To add one, write a `Baseline` and a line here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

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
from audio_anomaly_detector.learning.backbone import backbone_recipe
from audio_anomaly_detector.learning.pool import PoolPrior
from audio_anomaly_detector.pretraining.recipe import SHIPPED_RECIPE, read_recipe


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


def _backbone(name: str, title: str, *recipe: str) -> BenchmarkDetector:
    """The preset `small` with networks of another recipe than the shipped ones."""
    file = BACKBONES / f"{name}.safetensors"
    changes = " ".join(f"--set {change}" for change in recipe)

    def missing() -> str | None:
        make = f"make them: aad pretrain --out {file} {changes}"
        if not file.exists():
            return f"its networks are not on disk; {make}"
        wanted = read_recipe(SHIPPED_RECIPE, list(recipe)).model_dump(mode="json")
        if backbone_recipe(file) != wanted:
            return f"the networks of {file} are of another recipe; delete it and {make}"
        return None

    detector = _ours(f"ours (small, backbone {title})", "small", f"networks.start={file}")
    return replace(detector, missing=missing)


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


# Where `aad pretrain` puts the controls of the shipped backbone; of the folder one is in.
BACKBONES = Path("backbones")
_FEWER = ("steps=600", "code_steps=100")
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
    "backbone_random": _backbone(
        "random", "with random weights", "steps=0", "code_steps=0", "lessons.codes=false"
    ),
    "backbone_150": _backbone("150", "after 150 steps", "steps=150", "code_steps=40"),
    "backbone_600": _backbone("600", "after 600 steps", *_FEWER),
    "backbone_unheard": _backbone(
        "unheard", "600 without hear_the_machine", *_FEWER, "lessons.hear_the_machine=0"
    ),
    "backbone_unpaired": _backbone(
        "unpaired", "600 without same_machine", *_FEWER, "lessons.same_machine=0"
    ),
    "backbone_unkept": _backbone(
        "unkept", "600 without keep_the_machine", *_FEWER, "lessons.keep_the_machine=false"
    ),
    "backbone_uncoded": _backbone("uncoded", "600 without codes", *_FEWER, "lessons.codes=false"),
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
