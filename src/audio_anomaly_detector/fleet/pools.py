"""Pools: machines that learn together, once, before their own jobs run."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.layouts import machines
from audio_anomaly_detector.devices import DeviceName, resolve_device
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.fleet.names import file_names
from audio_anomaly_detector.learning.identity import fit_identity
from audio_anomaly_detector.learning.pool import fit_pool, pool_members
from audio_anomaly_detector.model_file import read_model_file
from audio_anomaly_detector.progress import SILENT
from audio_anomaly_detector.runs.machine import prepare_split

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pool:
    """Learn from several machines together.

    Args:
        machines: of the pool.
        clips: normal training clips of all of them.
        config: all settings.
        path: of the file with what was learned.
        device: where to train.
        on_error: leave out clips that cannot be used, or fail at the first.
        threads: of PyTorch.
    """

    machines: tuple[MachineKey, ...]
    clips: tuple[Clip, ...]
    config: Config
    path: Path
    device: DeviceName
    on_error: Literal["skip", "stop"]
    threads: int


def make_pools(
    clips: Sequence[Clip],
    config: Config,
    save: Path,
    *,
    device: DeviceName = "auto",
    on_error: Literal["skip", "stop"] = "skip",
    threads: int = 1,
) -> list[Pool]:
    """The pools that the config asks for.

    Args:
        clips: of any machines; of each only those that it would be fitted on count.
        config: `pool` says which machines go together.
        save: folder for ``pool_<name>.pth``.
        device: see `Pool`, as for the rest.
        on_error: see `Pool`.
        threads: see `Pool`.
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
            tuple(clip for key in keys for clip in prepare_split(groups[key], config).train),
            config,
            save / f"pool_{names[name]}.pth",
            device,
            on_error,
            threads,
        )
        for name, keys in members.items()
    ]


def is_trained(pool: Pool) -> bool:
    """Whether what these clips and settings teach is there."""
    if not pool.path.is_file():
        return False
    try:
        return bool(read_model_file(pool.path)["fingerprint"] == _identity(pool))
    except (UserError, KeyError) as error:
        log.warning("%s: cannot be used (%s); it is trained again", pool.path, error)
        return False


def train_pool(pool: Pool) -> str:
    """Learn and write; a run that was killed goes on from its checkpoints.

    Returns:
        Why it failed, in one line; empty if it did not.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(pool.threads)
    work = pool.path.with_suffix(".work")
    try:
        device = resolve_device(pool.device)
        fit_pool(pool.clips, pool.config, work, device, SILENT, pool.on_error).save(pool.path)
        shutil.rmtree(work)
    except UserError as error:
        return " ".join(str(error).split())
    finally:
        torch.set_num_threads(threads)
    return ""


def _identity(pool: Pool) -> str:
    return fit_identity(pool.config, pool.clips)
