"""The container of models and pool priors: a format number, tensors and plain data."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.provenance import PACKAGE
from audio_anomaly_detector.tensor_files import load_tensors, save_tensors

FORMAT = 5  # raised whenever an older program could not read the file
# What stood in the program of version 0.2.0, by section of today's settings.
_CONSTANTS_OF_FORMAT_4: dict[str, dict[str, Any]] = {
    "audio": {"equalised_rms": 0.05, "scale": 1.0, "window_slack": 0.01},
    "logmel": {"power_floor": 1e-10},
    "despawn": {"slope": 10.0, "silence": 1e-6, "attention_floor": 1e-6},
    "transformer": {"log_variance_bound": 6.0, "scoring_masks": 2, "scoring_seed": 0},
    "vqvae": {"log_variance_bound": 6.0},
}


def write_model_file(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain data under today's format; the same content gives the same bytes.

    Raises:
        UserError: the place cannot be written or the disk is full.
    """
    save_tensors(path, {"format": FORMAT, "version": version(PACKAGE), **content})


def read_model_file(path: Path | str) -> dict[str, Any]:
    """The content of a model file, of which nothing is executed.

    Raises:
        UserError: no such file, not a model file, or one of a later format.
    """
    path = Path(path)
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
    if content["format"] == 4:
        return _from_format_4(content)
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


def _from_format_4(content: dict[str, Any]) -> dict[str, Any]:
    """A model of version 0.2.0, whose scoring constants stood in the program, in today's format.

    Raises:
        UserError: the prior of a pool, which is only a cache and is learned again.
    """
    if "banks" not in content:
        raise UserError("a pool of version 0.2.0 cannot be used any more; it is learned again")
    threshold = {"conformal_from": 20, "gamma_shape": 16.0, "student_factor": 0.66}
    config = json.loads(content["config"])
    config["signals"] = _signals_of_format_4(config["audio"]["sample_rate"])
    for section, constants in _CONSTANTS_OF_FORMAT_4.items():
        config[section] |= constants
    config["scoring"]["threshold"] = json.loads(content["threshold"]) | threshold
    if config["scoring"]["threshold"]["method"] != "value":  # a value was ignored then
        config["scoring"]["threshold"]["value"] = None
    provenance = json.loads(content["provenance"])
    provenance["outliers"] = provenance.pop("odd_normals")
    provenance["version"] = content["version"]
    return {
        **{name: content[name] for name in ("microphones", "networks", "banks", "normal_scores")},
        "format": FORMAT,
        "version": content["version"],
        "config": json.dumps(config),
        "calibration": {
            "centre": content["centre"],
            "spread": content["spread"],
            "component_weight": content["weight"],
            "family_weight": content["votes"],
            "steepness": 5.0 * content["trust"] ** 2,
        },
        "provenance": json.dumps(provenance),
    }


def _signals_of_format_4(sample_rate: int) -> dict[str, Any]:
    """Resolution that was fixed in samples, whatever the sample rate."""
    return {
        "envelope_frame_s": 64 / sample_rate,
        "envelope_hop_s": 32 / sample_rate,
        "envelope_band_hz": sample_rate / 32,
        "envelope_peak_shares": [0.01, 0.001],
        "packet_band_hz": sample_rate / 64,
        "packet_peak_share": 0.001,
        "narrow_frame_s": 4096 / sample_rate,
        "narrow_band_hz": sample_rate / 2048,
        "narrow_up_to_hz": sample_rate / 16,
        "narrow_bands_per_octave": 64.0,
        "modulation_s": 32_768 / sample_rate,
        "modulation_bands": 17,
        "power_floor": 1e-10,
        "level_tolerance_db": 1.0,
    }
