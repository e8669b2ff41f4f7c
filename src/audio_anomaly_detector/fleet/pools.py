"""Pools: machines that learn together, once, before their own jobs run."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.datasets import prepare_split
from audio_anomaly_detector.data.layouts import machines
from audio_anomaly_detector.devices import resolve_device
from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.fleet.names import file_names
from audio_anomaly_detector.learning.identity import fit_identity
from audio_anomaly_detector.learning.pool import fit_pool, pool_members
from audio_anomaly_detector.model_file import read_model_file
from audio_anomaly_detector.progress import SILENT
from audio_anomaly_detector.run_options import RunOptions
from audio_anomaly_detector.threads import torch_threads

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pool:
    """Learn from several machines together.

    Args:
        machines: of the pool.
        clips: normal training clips of all of them.
        config: all settings.
        path: of the file with the pool prior.
        options: how to run.
    """

    machines: tuple[MachineKey, ...]
    clips: tuple[Clip, ...]
    config: Config
    path: Path
    options: RunOptions


def make_pools(
    clips: Sequence[Clip], config: Config, save: Path, options: RunOptions = RunOptions()
) -> list[Pool]:
    """The pools that the config asks for.

    Args:
        clips: of any machines; of each only those that it would be fitted on count.
        config: `pool` says which machines go together.
        save: folder for ``pool_<name>.pth``.
        options: how to run each pool.
    """
    if config.pool == "none":
        return []
    save = save.expanduser().absolute()  # workers may stand elsewhere
    groups = machines(clips)
    members = pool_members(groups, config.pool)
    names = file_names(members)
    return [
        Pool(
            tuple(keys),
            tuple(
                clip
                for key in keys
                for clip in prepare_split(groups[key], config.audio, config.seed).train
            ),
            config,
            save / f"pool_{names[name]}.pth",
            options,
        )
        for name, keys in members.items()
    ]


def is_trained(pool: Pool) -> bool:
    """Whether the file is there, learned from these clips with these settings."""
    if not pool.path.is_file():
        return False
    try:
        return bool(read_model_file(pool.path)["fingerprint"] == _identity(pool))
    except (UserError, KeyError) as error:
        log.warning("%s: cannot be used (%s); it is trained again", pool.path, error)
        return False


def train_pool(pool: Pool) -> str:
    """Fit and write a pool prior; a run that was killed goes on from its checkpoints.

    Returns:
        Why it failed, in one line; empty if it did not.
    """
    work = pool.path.with_suffix(".work")
    options = pool.options
    try:
        with torch_threads(options.threads):
            device = resolve_device(options.device)
            prior = fit_pool(pool.clips, pool.config, work, device, SILENT, options.on_error)
            prior.save(pool.path)
        shutil.rmtree(work)
    except UserError as error:
        return one_line(error)
    return ""


def _identity(pool: Pool) -> str:
    return fit_identity(pool.config, pool.clips)
