"""The container of models and pool priors: a format number, tensors and plain data."""

import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.errors import DamagedError, UserError
from audio_anomaly_detector.files import write_bytes
from audio_anomaly_detector.model_container import HEAD, all_finite, is_container, pack, unpack
from audio_anomaly_detector.models.networks import Networks
from audio_anomaly_detector.provenance import PACKAGE
from audio_anomaly_detector.scoring.conditions import Conditions
from audio_anomaly_detector.scoring.threshold import NormalScores, ScoresByLength
from audio_anomaly_detector.tensor_files import load_tensors

_ARCHIVE = b"PK"  # begins files of formats 4 and 5
_LARGEST = 2**31  # bytes; a pool of the preset `paper` has nearly as many
FORMAT = 6  # raised whenever an older program could not read the file
# What stood in the program of version 0.2.0, by section of today's settings.
_CONSTANTS_OF_FORMAT_4: dict[str, dict[str, Any]] = {
    "audio": {"equalised_rms": 0.05, "scale": 1.0, "window_slack": 0.01, "group": "recording"},
    "logmel": {"power_floor": 1e-10},
    "despawn": {"slope": 10.0, "silence": 1e-6, "attention_floor": 1e-6},
    "transformer": {"log_variance_bound": 6.0, "scoring_masks": 2, "scoring_seed": 0},
    "vqvae": {"log_variance_bound": 6.0},
}
# No network was trained beforehand.
_NETWORKS_BEFORE_FORMAT_6 = {"start": "scratch"}
# Alarms beside the warnings came with format 6.
_ALARMS_BEFORE_FORMAT_6: dict[str, Any] = {
    "false_alarms": None,
    "clips_per_day": None,
    "tail_share": 0.1,
    "reach": 10.0,
}


def write_model_file(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain data under today's format; the same content gives the same bytes.

    Raises:
        UserError: the place cannot be written or the disk is full; a number is not finite.
    """
    if not all_finite(content):
        raise UserError(f"{path}: the model holds numbers that are not finite; it was not written")
    write_bytes(path, pack({"format": FORMAT, "version": version(PACKAGE), **content}))


def read_model_file(path: Path | str) -> dict[str, Any]:
    """The content of a model file, of which nothing is executed.

    Raises:
        UserError: no such file, not a model file, a damaged one, or one of a later format.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(HEAD)
            known = is_container(start, size) or start.startswith(_ARCHIVE)
            # Nothing else is read whole, however large it is.
            data = start + file.read() if known and size <= _LARGEST else b""
    except OSError as error:
        raise UserError(
            f"{path}: no such model file ({error.strerror}); 'aad fit' or run_all.py makes one"
        ) from error
    try:
        if not data:
            raise DamagedError("it is not a container of this program")
        content = unpack(data) if is_container(start, size) else _before_format_6(data)
        return _in_todays_format(content)
    except DamagedError as error:
        raise UserError(
            f"{path}: not a model file of this program, or damaged: {error}; "
            "copy it again or fit the detector again"
        ) from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def conditions_content(conditions: Sequence[Conditions]) -> list[str]:
    """What a file keeps of how normal clips were recorded."""
    return [json.dumps(of.to_plain(), allow_nan=False) for of in conditions]


def scores_content(normal: ScoresByLength) -> dict[str, Any]:
    """What a file keeps of the scores of normal clips."""
    return {
        "normal_scores": [
            {
                "seconds": seconds,
                "scores": torch.from_numpy(of.scores),
                "groups": torch.from_numpy(of.groups),
                "domains": torch.from_numpy(of.domains),
            }
            for seconds, of in zip(normal.seconds, normal.scores, strict=True)
        ],
        "usual_seconds": normal.usual,
    }


def restore_scores(content: dict[str, Any]) -> ScoresByLength:
    """Scores of normal clips from what a file keeps; raises `ValueError` for what is none."""
    lengths = content["normal_scores"]
    scores = [
        NormalScores(
            of["scores"].numpy(),
            of["groups"].numpy(),
            # Files of earlier formats have one domain.
            of["domains"].numpy() if "domains" in of else np.zeros(0, np.int64),
        )
        for of in lengths
    ]
    seconds = tuple(float(of["seconds"]) for of in lengths)
    return ScoresByLength(seconds, tuple(scores), float(content["usual_seconds"]))


def network_weights(networks: Networks) -> dict[str, torch.Tensor]:
    """What a file keeps of trained networks."""
    return {name: value.cpu() for name, value in networks.state_dict().items()}


def restore_networks(
    config: Config, state: dict[str, torch.Tensor], device: torch.device
) -> Networks:
    """Trained networks from their weights, ready to score.

    Raises:
        DamagedError: the weights are not those of such networks.
    """
    if "vqvae.code_variance" not in state or state["vqvae.code_variance"].ndim != 1:
        raise DamagedError("weights of its networks are missing")
    n_codes = len(state["vqvae.code_variance"])
    sums = state.get("vqvae.quantiser.sums")
    if sums is None or sums.shape != (n_codes, config.vqvae.latent_width):
        raise DamagedError("its codes are not those of its settings")
    # Weights of other shapes are found before memory is taken for the config's.
    with torch.device("meta"):
        wanted = _networks(config, n_codes).state_dict()
    if {name: value.shape for name, value in wanted.items()} != {
        name: value.shape for name, value in state.items()
    }:
        raise DamagedError("its networks are not those of its settings")
    networks = _networks(config, n_codes)
    networks.load_state_dict(state)
    return networks.to(device).eval()


def _networks(config: Config, n_codes: int) -> Networks:
    pretrained = config.networks.pretrained
    return Networks(config.despawn, config.transformer, config.vqvae, n_codes, pretrained)


def _before_format_6(data: bytes) -> dict[str, Any]:
    """The content of a file of format 4 or 5; raises `DamagedError` like `load_tensors`."""
    content = load_tensors(data)
    if not isinstance(content, dict) or "format" not in content:
        raise DamagedError("it holds no detector")
    if content["format"] not in (4, 5):
        raise DamagedError(f"format {content['format']!r} in the container of formats 4 and 5")
    return dict(content)


def _in_todays_format(content: dict[str, Any]) -> dict[str, Any]:
    """Content of any format, in today's.

    Raises:
        DamagedError: it is not what such a file holds.
        UserError: of a later format.
    """
    number = content.get("format")
    if isinstance(number, bool) or not isinstance(number, int):
        raise DamagedError("it has no format number")
    if number > FORMAT:
        raise UserError(
            f"the model was written by version {content.get('version')} in format {number}, this "
            f"program reads formats 4 to {FORMAT}; install that version or fit again"
        )
    if not all_finite(content):
        raise DamagedError("it holds numbers that are not finite or not real")
    if number == FORMAT:
        return content
    try:
        if number == 4:
            return _of_one_length(_from_format_4(content))
        if number == 5:
            return _of_one_length(_from_format_5(content))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise DamagedError("parts of it are missing, or no numbers") from error
    raise DamagedError(f"there is no format {number}")


def _from_format_5(content: dict[str, Any]) -> dict[str, Any]:
    """Format 5 had another container, no unit of recordings and no groups of them."""
    config = json.loads(content["config"])
    config["audio"] |= {"scale": 1.0, "group": "recording"}
    config["scoring"]["threshold"] |= _ALARMS_BEFORE_FORMAT_6
    config["networks"] = _NETWORKS_BEFORE_FORMAT_6
    return {**content, "format": FORMAT, "config": json.dumps(config, allow_nan=False)}


def _of_one_length(content: dict[str, Any]) -> dict[str, Any]:
    """Before format 6 one calibration stood for all lengths, and every clip for itself.

    Nothing was said of how the clips were recorded.
    """
    if "banks" not in content:  # the prior of a pool
        return content
    audio = json.loads(content["config"])["audio"]
    seconds = audio["length"] / audio["sample_rate"]
    calibration, scores = dict(content["calibration"]), content["normal_scores"]
    calibration["seconds"] = torch.tensor([seconds], dtype=torch.float64)
    for part in ("centre", "spread"):
        calibration[part] = {name: of.unsqueeze(0) for name, of in calibration[part].items()}
    of_length = {"seconds": seconds, "scores": scores, "groups": torch.arange(len(scores))}
    return {
        **content,
        "calibration": calibration,
        "normal_scores": [of_length],
        "usual_seconds": seconds,
        "conditions": [],
    }


def _from_format_4(content: dict[str, Any]) -> dict[str, Any]:
    """A model of version 0.2.0, whose scoring constants stood in the program, in today's format.

    Raises:
        UserError: the prior of a pool, which is only a cache and is learned again.
    """
    if "banks" not in content:
        raise UserError("a pool of version 0.2.0 cannot be used any more; it is learned again")
    of_threshold = {"conformal_from": 20, "gamma_shape": 16.0, "student_factor": 0.66}
    threshold = of_threshold | _ALARMS_BEFORE_FORMAT_6
    config = json.loads(content["config"])
    config["signals"] = _signals_of_format_4(config["audio"]["sample_rate"])
    config["networks"] = _NETWORKS_BEFORE_FORMAT_6
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
        "config": json.dumps(config, allow_nan=False),
        "calibration": {
            "centre": content["centre"],
            "spread": content["spread"],
            "component_weight": content["weight"],
            "family_weight": content["votes"],
            "steepness": 5.0 * content["trust"] ** 2,
        },
        "provenance": json.dumps(provenance, allow_nan=False),
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
