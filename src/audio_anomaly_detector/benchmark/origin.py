"""What a cell of the benchmark was made with: version of the program, settings and data."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import NamedTuple

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.content import recording_hashes
from audio_anomaly_detector.learning.backbone import with_content
from audio_anomaly_detector.provenance import PACKAGE

_DIGITS = 16  # of a hash, in hexadecimal


class Origin(NamedTuple):
    """What a cell was made with; a cell of another origin is not the same cell.

    Attributes:
        version: of the program.
        settings: `settings_hash` of the config.
        data: `data_hash` of the clips of its machine.
        pool_data: `combined` hashes of all machines that were learned together; empty without a
            pool.
    """

    version: str
    settings: str
    data: str
    pool_data: str


def make_origins(data: Mapping[MachineKey, str], config: Config) -> dict[MachineKey, Origin]:
    """Origins of the cells that this program makes now.

    Args:
        data: hash of the clips of every machine that the detector is run on or learns from.
        config: of the detector.
    """
    pool_data = "" if config.pool == "none" else combined(data.values())
    settings = settings_hash(config)
    return {
        key: Origin(version(PACKAGE), settings, of_machine, pool_data)
        for key, of_machine in data.items()
    }


def settings_hash(config: Config) -> str:
    """Sum up all settings but the seed, which names a cell, and the networks that a fit takes."""
    return _hash(with_content(config.model_dump(mode="json", exclude={"seed"}), config))


def data_hash(clips: Sequence[Clip]) -> str:
    """Sum up names, labels, parts and the files' content of the clips of one machine.

    Raises:
        ClipError: a file cannot be read.
    """
    contents = recording_hashes(clips)
    states = [
        (c.name, c.label, c.split, c.domain, c.start, c.duration, contents[c.path])
        for c in sorted(clips, key=lambda clip: clip.name)
    ]
    return f"sha256:{_hash(states)}"


def combined(hashes: Iterable[str]) -> str:
    """One hash of the data of several machines, in any order; the hash itself if all are equal."""
    different = sorted(set(hashes))
    return different[0] if len(different) == 1 else f"sha256:{_hash(different)}"


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, allow_nan=False).encode()).hexdigest()[:_DIGITS]
