"""The file of a backbone: networks that were trained on made machines, before any real one."""

import hashlib
from pathlib import Path
from typing import Any

import torch

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.errors import DamagedError, UserError
from audio_anomaly_detector.model_file import (
    network_weights,
    read_model_file,
    restore_networks,
    write_model_file,
)
from audio_anomaly_detector.models.networks import Networks

SHIPPED = Path(__file__).parents[1] / "weights/small.safetensors"
# Settings that the weights depend on.
_PARTS = ("logmel", "despawn", "transformer", "vqvae")
# Smaller tensors are kept in single precision: units, spreads, statistics.
_HALF_PRECISION_FROM = 4096


def write_backbone(path: Path, config: Config, networks: Networks, recipe: dict[str, Any]) -> None:
    """Write networks, large tensors in half precision; the same networks give the same bytes.

    Args:
        path: the file.
        config: of the networks.
        networks: trained.
        recipe: how, as plain data.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    weights = network_weights(networks)
    halved = {
        name: value.half() if value.numel() > _HALF_PRECISION_FROM else value
        for name, value in weights.items()
    }
    write_model_file(path, {"backbone": _shape(config), "recipe": recipe, "networks": halved})


def load_backbone(config: Config, device: torch.device) -> Networks:
    """The networks that a fit starts from, ready to measure with.

    Args:
        config: names the file in ``networks.start``.
        device: of the networks.

    Raises:
        UserError: no such file, no backbone, or one of other networks than the config's.
    """
    path = _file(config)
    content = read_model_file(path)
    if "backbone" not in content:
        raise UserError(f"{path}: holds no backbone; 'aad pretrain' makes one")
    heard, wanted = content["backbone"], _shape(config)
    for key in wanted:
        if heard.get(key) != wanted[key]:
            raise UserError(
                f"{path}: the backbone was trained with other settings of {key}; leave these as "
                "they are, or train networks on your own clips alone: --set networks.start=scratch"
            )
    try:
        state = {
            name: value.float() if value.is_floating_point() else value
            for name, value in content["networks"].items()
        }
        return restore_networks(config, state, device)
    except (DamagedError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"{path}: the backbone is damaged or altered; install or make it again"
        ) from error


def backbone_digest(config: Config) -> str:
    """SHA-256 of the file whose networks a fit takes; empty where it takes none."""
    if not config.takes_pretrained:
        return ""
    path = _file(config)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: no such backbone ({error.strerror})") from error


def _file(config: Config) -> Path:
    return SHIPPED if config.networks.start == "backbone" else Path(config.networks.start)


def _shape(config: Config) -> dict[str, Any]:
    plain = config.model_dump(mode="json", include=set(_PARTS))
    rate = config.audio.sample_rate
    return {**plain, "audio.sample_rate": rate}
