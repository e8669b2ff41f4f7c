"""Synthetic recordings and a tiny configuration, so that whole runs take seconds."""

from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 16_000
SECONDS = 8
TINY = (
    "networks.start=scratch",
    "stages.held_out_factor=1",
    "audio.length=65536",
    "logmel.n_mels=32",
    "logmel.n_fft=512",
    "despawn.levels=4",
    "despawn.packet_levels=2",
    "despawn.attention_dim=8",
    "despawn.attention_heads=2",
    "transformer.patch_mels=8",
    "transformer.width=16",
    "transformer.depth=1",
    "transformer.heads=2",
    "transformer.decoder_width=16",
    "vqvae.fusion_width=16",
    "vqvae.latent_width=4",
    "vqvae.heads=2",
    "vqvae.codes=16",
    "stages.despawn_crop=8192",
    *(
        f"stages.{stage}.{key}={value}"
        for stage in ("despawn", "transformer", "vqvae")
        for key, value in (("epochs", 2), ("steps_per_epoch", 2), ("batch_size", 4))
    ),
    "scoring.folds=2",
)


def hum(seed: int, channels: int = 2, seconds: float = SECONDS) -> np.ndarray:
    """A humming machine in noise, ``(T, C)``: one source, a gain for each microphone."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    speed = 120 * (1 + 0.01 * rng.standard_normal())
    source = sum(np.sin(2 * np.pi * k * speed * time + rng.uniform(0, 6)) / k for k in (1, 2, 3))
    gains = np.linspace(0.03, 0.05, channels)
    noise = 0.01 * rng.standard_normal((len(time), channels))
    return (source[:, None] * gains + noise).astype(np.float32)


def knock(seed: int, channels: int = 2, seconds: float = SECONDS) -> np.ndarray:
    """The same machine with a knock twice a second, ``(T, C)``."""
    sound = hum(seed, channels, seconds)
    decay = np.exp(-np.arange(800) / 80) * np.sin(2 * np.pi * 3000 * np.arange(800) / SAMPLE_RATE)
    for start in range(4000, len(sound) - 800, SAMPLE_RATE // 2):
        sound[start : start + 800] += 0.3 * decay[:, None].astype(np.float32)
    return sound


def write_machine(
    folder: Path, normal: int = 8, abnormal: int = 3, channels: int = 2, first_seed: int = 0
) -> Path:
    """One machine id in MIMII layout."""
    for label, make, count in (("normal", hum, normal), ("abnormal", knock, abnormal)):
        (folder / label).mkdir(parents=True)
        for clip in range(count):
            seed = first_seed + clip + (1000 if label == "abnormal" else 0)
            sound = make(seed, channels)
            soundfile.write(folder / label / f"{clip:08d}.wav", sound, SAMPLE_RATE)
    return folder
