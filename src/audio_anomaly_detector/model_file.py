"""The container of models and pool priors: a format number, tensors and plain data."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.provenance import PACKAGE
from audio_anomaly_detector.tensor_files import load_tensors, save_tensors

FORMAT = 4  # raised whenever an older program could not read the file


def write_model_file(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain data under today's format; the same content gives the same bytes.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    save_tensors(path, {"format": FORMAT, "version": version(PACKAGE), **content})


def read_model_file(path: Path) -> dict[str, Any]:
    """The content of a model file, of which nothing is executed.

    Raises:
        UserError: no such file, not a model file, or one of another format.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such model file; 'aad fit' or run_all.py makes one")
    try:
        content = load_tensors(path)
    except Exception as error:  # torch raises anything on garbage, from KeyError to EOFError
        raise UserError(
            f"{path}: not a model file of this program, or damaged; fit the detector again"
        ) from error
    if not isinstance(content, dict) or "format" not in content:
        raise UserError(f"{path}: holds no detector; give a file written by 'aad fit'")
    if content["format"] != FORMAT:
        raise UserError(
            f"{path}: written by version {content.get('version')} in format {content['format']}, "
            f"this program reads format {FORMAT}; install that version or fit again"
        )
    return content


def network_weights(networks: Networks) -> dict[str, torch.Tensor]:
    """What a file keeps of trained networks."""
    return {name: value.cpu() for name, value in networks.state_dict().items()}


def restore_networks(
    config: Config, state: dict[str, torch.Tensor], device: torch.device
) -> Networks:
    """Trained networks from their weights, ready to score."""
    n_codes = len(state["vqvae.code_variance"])
    networks = Networks(config.despawn, config.transformer, config.vqvae, n_codes)
    networks.load_state_dict(state)
    return networks.to(device).eval()
