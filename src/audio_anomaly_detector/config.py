"""Every setting in one place: the parts' configs, composed; presets; files and overrides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, Field, field_validator, model_validator

from audio_anomaly_detector.choices import PoolScope, Preset
from audio_anomaly_detector.data.audio import AudioConfig
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.models.despawn import DespawnConfig
from audio_anomaly_detector.models.logmel import LogMelConfig
from audio_anomaly_detector.models.masked_transformer import MaskedTransformerConfig
from audio_anomaly_detector.models.vqvae import VQVAEConfig
from audio_anomaly_detector.scoring.components import FAMILIES, NETWORK_FAMILIES, SIGNAL_FAMILIES
from audio_anomaly_detector.scoring.signals import SignalConfig, envelope_frame, packet_levels
from audio_anomaly_detector.scoring.threshold import ThresholdConfig
from audio_anomaly_detector.settings import merged, parse_override, read_yaml, validated

# Ranks as well as `small` for a tenth of the cost; docs/results.md has the figures.
DEFAULT_PRESET: Preset = "instant"


# Beyond these a setting is a slip of the pen, or of a file somebody altered: float32 values of one
# microphone's spectrogram of a window, depth of the wavelet packets, samples of a frame whose
# transform is a matrix product, weights of the transformer.
_LARGEST_SPECTROGRAM = 2**24
_MOST_PACKET_LEVELS = 12
_LARGEST_ENVELOPE_FRAME = 8192
_MOST_WEIGHTS = 1_000_000_000


class TrainingConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How one stage is trained."""

    epochs: int = Field(ge=0, le=100_000, description="epochs of the stage; 0: as initialised")
    steps_per_epoch: int | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="optimiser steps an epoch; none: once through the data",
    )
    batch_size: int = Field(16, gt=0, le=65_536, description="windows of one microphone a step")
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate")
    weight_decay: float = Field(0.01, ge=0, description="decoupled weight decay")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps with rising rate")
    clip_norm: float = Field(1.0, gt=0, description="largest gradient norm of a step")


class NetworksConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Where the three networks come from."""

    start: str = Field(
        "scratch",
        min_length=1,
        description="scratch: trained on the machine's own clips; backbone: trained beforehand on "
        "made machines and not changed by a fit, as shipped; or a file of `aad pretrain`",
    )

    @property
    def pretrained(self) -> bool:
        """Whether a fit takes them as they are."""
        return self.start != "scratch"


class StagesConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Training of the three stages."""

    despawn: TrainingConfig
    transformer: TrainingConfig
    vqvae: TrainingConfig
    despawn_crop: int = Field(
        32_768, gt=0, le=16_777_216, description="samples of the random crops DeSpaWN is trained on"
    )
    held_out_factor: int = Field(
        1,
        gt=0,
        le=1_000,
        description="times as many epochs where a held-out part of many clips saves the "
        "cross-fits, and in a pool",
    )
    oracle_epoch: bool = Field(
        False,
        description="keep each stage's epoch with the best AUROC on the labelled test clips; "
        "for comparison with papers that do, and marked as oracle in every result",
    )


class ScoringConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """From components to one score."""

    families: tuple[str, ...] = Field(
        default=FAMILIES, description="families that make up the score"
    )
    views: int = Field(
        default=0, ge=0, le=100, description="test-time views besides the clip itself (--tta)"
    )
    view_noise_db: float = Field(
        default=-30.0, lt=0, description="noise of the views, dB re clip level"
    )
    bank_capacity: int = Field(
        default=2000, gt=1, le=1_000_000, description="normal clips kept for distances"
    )
    folds: int = Field(
        default=4, ge=2, le=1_000, description="folds of the cross-fitted calibration"
    )
    hold_out_from: int = Field(
        default=400,
        ge=2,
        le=10_000_000,
        description="training clips from which a held-out part replaces cross-fitting",
    )
    threshold: ThresholdConfig = ThresholdConfig()

    @property
    def needs_networks(self) -> bool:
        """Whether some of the families are measured on networks."""
        return not set(self.families).isdisjoint(NETWORK_FAMILIES)

    @field_validator("families")
    @classmethod
    def _known_families(cls, families: tuple[str, ...]) -> tuple[str, ...]:
        unknown = set(families) - set(FAMILIES)
        if unknown or not families:
            raise ValueError(f"families must be some of {', '.join(FAMILIES)}")
        return families


class Config(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Everything that decides what a fitted detector is."""

    preset: Preset = DEFAULT_PRESET
    seed: int = Field(default=0, ge=0, description="governs all randomness")
    pool: PoolScope = Field(
        default="none",
        description="learn from the normals of all ids of a machine type, or of all machines, "
        "together: networks, and how sounds vary; for run-all and the benchmark",
    )
    audio: AudioConfig = AudioConfig()
    logmel: LogMelConfig
    signals: SignalConfig = SignalConfig()
    networks: NetworksConfig = NetworksConfig()
    despawn: DespawnConfig
    transformer: MaskedTransformerConfig
    vqvae: VQVAEConfig
    stages: StagesConfig
    scoring: ScoringConfig = ScoringConfig()

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.logmel.sample_rate != self.audio.sample_rate:
            raise ValueError(
                "logmel.sample_rate and audio.sample_rate differ; give audio.sample_rate only"
            )
        if self.transformer.n_mels != self.logmel.n_mels:
            raise ValueError("transformer.n_mels and logmel.n_mels differ; give logmel.n_mels only")
        self._check_size()
        if self.pool != "none" and self.stages.oracle_epoch:
            raise ValueError("oracle epochs are chosen for one machine; leave the pool out")
        return self

    @property
    def trains_networks(self) -> bool:
        """Whether a fit trains networks."""
        return self.scoring.needs_networks and not self.networks.pretrained

    @property
    def takes_pretrained(self) -> bool:
        """Whether a fit takes networks as they are."""
        return self.scoring.needs_networks and self.networks.pretrained

    def _check_size(self) -> None:
        """Refuse settings whose intermediate results no computer holds, before any is made."""
        rate, length = self.audio.sample_rate, self.audio.length
        frame, hop = envelope_frame(self.signals, rate)
        for name, n_fft, step in (
            ("logmel.n_fft and logmel.hop_length", self.logmel.n_fft, self.logmel.hop_length),
            ("signals.envelope_frame_s and signals.envelope_hop_s", frame, hop),
        ):
            if n_fft // 2 * (length // step + 1) > _LARGEST_SPECTROGRAM:
                raise ValueError(
                    f"{name} make a spectrogram of more than {_LARGEST_SPECTROGRAM} values from "
                    f"a window of {length} samples; take a longer hop or a shorter window"
                )
        if packet_levels(self.signals, rate) > _MOST_PACKET_LEVELS:
            raise ValueError("signals.packet_band_hz is too narrow for the sample rate")
        if frame > _LARGEST_ENVELOPE_FRAME:
            raise ValueError("signals.envelope_frame_s is too long for the sample rate")
        width, inner = self.transformer.width, self.transformer.decoder_width
        weights = 12 * (
            self.transformer.depth * width**2 + self.transformer.decoder_depth * inner**2
        )
        if weights > _MOST_WEIGHTS:
            raise ValueError(
                f"transformer.width, depth, decoder_width and decoder_depth make more than "
                f"{_MOST_WEIGHTS} weights; take a smaller width"
            )


def _stage(epochs: int, steps: int | None, batch_size: int, rate: float) -> dict[str, Any]:
    return {
        "epochs": epochs,
        "steps_per_epoch": steps,
        "batch_size": batch_size,
        "learning_rate": rate,
    }


# Two cores and minutes of sound. Trained from scratch: a fixed budget of steps, whatever the amount
# of data.
_SMALL: dict[str, Any] = {
    "networks": {"start": "backbone"},
    "logmel": {"n_mels": 128, "n_fft": 1024, "hop_length": 512},
    "despawn": {"levels": 8, "packet_levels": 5},
    "transformer": {"width": 96, "depth": 4, "heads": 4},
    "vqvae": {"fusion_width": 64, "latent_width": 16, "codes": 64},
    "stages": {
        "despawn": _stage(2, 8, 16, 1e-3),
        "transformer": _stage(4, 8, 16, 2e-3),
        "vqvae": _stage(3, 8, 16, 2e-3),
        "held_out_factor": 5,  # four cross-fits and the final model
    },
}
PRESETS: dict[str, dict[str, Any]] = {
    # No network: fits in seconds, and is the floor that the networks have to beat.
    "instant": {**_SMALL, "scoring": {"families": SIGNAL_FAMILIES}},
    "small": _SMALL,
    "base": {
        "logmel": {"n_mels": 128, "n_fft": 1024, "hop_length": 512},
        "despawn": {"levels": 8, "packet_levels": 5},
        "transformer": {
            "width": 256,
            "depth": 8,
            "heads": 8,
            "decoder_width": 128,
            "decoder_depth": 2,
        },
        "vqvae": {"fusion_width": 128, "latent_width": 32, "codes": 256},
        "stages": {
            "despawn": _stage(20, 50, 32, 1e-3),
            "transformer": _stage(40, 50, 64, 5e-4),
            "vqvae": _stage(40, 50, 64, 1e-3),
        },
    },
    # The documented hyper-parameters of FusionWave; an epoch is once through the data.
    "paper": {
        "logmel": {"n_mels": 64, "n_fft": 2048, "hop_length": 512},
        "despawn": {"levels": 17},
        "transformer": {
            "patch_mels": 16,
            "patch_frames": 16,
            "width": 768,
            "depth": 12,
            "heads": 12,
            "decoder_width": 384,
            "decoder_depth": 2,
            "mask_ratio_low": 0.75,
            "mask_ratio_high": 0.75,
        },
        "vqvae": {"fusion_width": 256, "latent_width": 128, "codes": 512, "commitment": 0.25},
        "stages": {
            "despawn": _stage(100, None, 16, 1e-3),
            "transformer": _stage(50, None, 16, 1e-4),
            "vqvae": _stage(100, None, 16, 1e-3),
            "despawn_crop": 160_000,
        },
    },
}


def load_config(
    preset: str | None = None,
    file: Path | str | None = None,
    overrides: Sequence[str] = (),
    **values: Any,
) -> Config:
    """Compose a config: preset, then file, then ``values``, then ``part.key=value`` overrides.

    Args:
        preset: name in `PRESETS`; by default the file's, or `DEFAULT_PRESET`.
        file: YAML with any part of the config.
        overrides: ``part.key=value``, the value read as YAML.
        values: top-level parts, e.g. ``seed=1`` or ``audio={"channels": "mean"}``.

    Raises:
        UserError: unknown preset or key, a bad value, an unreadable file.
    """
    given: dict[str, Any] = {"preset": DEFAULT_PRESET}
    named = {} if preset is None else {"preset": preset}
    parts = [named, values, *map(parse_override, overrides)]
    for part in parts if file is None else [read_yaml(Path(file)), *parts]:
        given = merged(given, part)
    name = given["preset"]
    if not isinstance(name, str) or name not in PRESETS:
        raise UserError(f"unknown preset {name!r}; there are: {', '.join(get_args(Preset))}")
    tree = merged(PRESETS[name], given)
    audio, logmel, transformer = (tree.get(name, {}) for name in ("audio", "logmel", "transformer"))
    if all(isinstance(section, Mapping) for section in (audio, logmel, transformer)):
        # Said once, true everywhere. A value in place of a section is refused below.
        rate = audio.get("sample_rate", AudioConfig().sample_rate)
        tree["logmel"] = {"sample_rate": rate, **logmel}
        tree["transformer"] = {"n_mels": logmel["n_mels"], **transformer}
    networks = tree.get("networks")
    if isinstance(networks, Mapping):
        start = networks.get("start")
        if isinstance(start, str) and start not in ("", "scratch", "backbone"):
            # Workers and later fits with the same settings stand elsewhere.
            tree["networks"] = {**networks, "start": str(Path(start).expanduser().absolute())}
    return parse_config(tree)


def parse_config(tree: Mapping[str, Any]) -> Config:
    """A config from plain data; raises `UserError` like `validated`."""
    return validated(Config, tree)
