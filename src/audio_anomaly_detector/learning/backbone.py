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
        UserError: as `check_backbone`.
    """
    content = _checked(config)
    try:
        state = {
            name: value.float() if value.is_floating_point() else value
            for name, value in content["networks"].items()
        }
        return restore_networks(config, state, device)
    except (DamagedError, AttributeError, RuntimeError) as error:
        path = _file(config)
        raise UserError(f"{path}: the backbone is damaged or altered; {_remedy(path)}") from error


def check_backbone(config: Config) -> None:
    """Refuse a config whose backbone a fit could not take, before any clip is read.

    Raises:
        UserError: no such file, no backbone, or one of other networks than the config's.
    """
    if config.takes_pretrained:
        _checked(config)


def backbone_recipe(path: Path) -> dict[str, Any] | None:
    """How a backbone was trained, as `write_backbone` was told; None for a file that is none."""
    try:
        recipe: dict[str, Any] = _read(path)["recipe"]
    except UserError:
        return None
    return recipe


def with_content(settings: dict[str, Any], config: Config) -> dict[str, Any]:
    """Settings that hold the SHA-256 of the networks that a fit takes in place of their file.

    Args:
        settings: of the config, as plain data.
        config: names the file.

    Raises:
        UserError: no such file.
    """
    if not config.takes_pretrained:
        return settings
    path = _file(config)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path}: no such backbone; {_remedy(path)}") from error
    return settings | {"networks": settings["networks"] | {"start": digest}}


def _checked(config: Config) -> dict[str, Any]:
    """Content of the file, whose networks are those of the config."""
    path = _file(config)
    content = _read(path)
    stored, expected = content["backbone"], _shape(config)
    for key in expected:
        if stored.get(key) != expected[key]:
            raise UserError(
                f"{path}: the backbone was trained with other settings of {key}, those of the "
                f"preset {content['recipe'].get('preset')}; leave these as they are, or train "
                "networks on your own clips alone: --set networks.start=scratch"
            )
    return content


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path}: no such backbone; {_remedy(path)}")
    try:
        content = read_model_file(path)
    except UserError as error:
        raise UserError(f"{path}: no backbone, or a damaged one; {_remedy(path)}") from error
    if not {"backbone", "recipe"} <= content.keys():
        raise UserError(f"{path}: holds no backbone; {_remedy(path)}")
    return content


def _remedy(path: Path) -> str:
    if path == SHIPPED:
        return "install the package again"
    return (
        "'aad pretrain' makes one; or take the one that comes with the package, --set "
        "networks.start=backbone, or train on your own clips alone, --set networks.start=scratch"
    )


def _file(config: Config) -> Path:
    return SHIPPED if config.networks.start == "backbone" else Path(config.networks.start)


def _shape(config: Config) -> dict[str, Any]:
    plain = config.model_dump(mode="json", include=set(_PARTS))
    rate = config.audio.sample_rate
    return {**plain, "audio.sample_rate": rate}
