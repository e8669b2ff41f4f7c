"""Where a model comes from and what its file holds."""

import hashlib
import json
import platform
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip, content_hash
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.files import make_folder, write_text
from audio_anomaly_detector.learning.fitting import Fitted
from audio_anomaly_detector.models.networks import Networks

FORMAT = 4  # of the model file; raised whenever an older program could not read it
PACKAGE = "audio-anomaly-detector"


def provenance(
    clips: Sequence[Clip], failures: list[ClipError], fitted: Fitted, pool: list[str]
) -> dict[str, Any]:
    """Plain data on where a model comes from; no times and no paths of this machine."""
    hashes: dict[Path, str] = {}
    for clip in clips:
        if clip.path not in hashes:
            hashes[clip.path] = content_hash(clip.path)
    packages = ("torch", "numpy", "scipy", "scikit-learn", "soundfile", "soxr")
    return {
        "machine": list(clips[0].machine),
        "clips": [{"name": clip.name, "sha256": hashes[clip.path]} for clip in clips],
        "calibration_clips": [clips[i].name for i in fitted.calibration_clips],
        "outliers": [clips[i].name for i in fitted.odd],
        "unusable": [f"{error.path.name}: {error.problem}" for error in failures],
        "pool": pool,
        "codebook_perplexity": fitted.perplexity,
        "history": [list(epoch) for epoch in fitted.history],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def fingerprint(config: Config, clips: Sequence[Clip]) -> str:
    """Sum up what a model depends on: settings, program and clips."""
    states = [
        (clip.name, clip.label, clip.split, clip.start, clip.duration, *_size_and_time(clip.path))
        for clip in sorted(clips, key=lambda clip: clip.name)
    ]
    content = [version(PACKAGE), FORMAT, config.model_dump(mode="json"), states]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def claim_work_folder(work: Path, config: Config, clips: Sequence[Clip]) -> None:
    """Make the folder this fit's own: what another config or other clips left there goes.

    Raises:
        UserError: the folder holds files that no fit has put there, or cannot be written.
    """
    identity = fingerprint(config, clips)
    mark = work / "fingerprint"
    if mark.exists():
        if mark.read_text() == identity:
            return
        shutil.rmtree(work)
    # A temporary mark is what a kill in the first moment leaves behind.
    elif work.is_dir() and any(not p.name.startswith(".fingerprint") for p in work.iterdir()):
        raise UserError(f"{work}: holds files of others; give a new or empty folder to work in")
    make_folder(work)
    write_text(mark, identity)


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:  # told where the clip is read
        return 0, 0
    return status.st_size, status.st_mtime_ns


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


def read_model_file(path: Path) -> dict[str, Any]:
    """The content of a model file, of which nothing is executed.

    Raises:
        UserError: no such file, not a model file, or one of another format.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such model file; 'aad fit' or run_all.py makes one")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
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
