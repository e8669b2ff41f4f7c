"""Fixtures on synthetic data."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.layouts import find_clips
from synthetic_data import TINY, write_machine

torch.set_num_threads(1)  # tests run side by side


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """A command with -q changes the level of the package's log for the whole process."""
    logger = logging.getLogger("audio_anomaly_detector")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture(scope="session")
def learned_plant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plant whose one machine was learned and has an open event; to be read, or copied."""
    from watched_plant import learn

    return learn(tmp_path_factory.mktemp("plant"))


@pytest.fixture
def tiny() -> Config:
    """All three networks, as small as they come."""
    return load_config("small", overrides=TINY)


@pytest.fixture
def without_networks() -> Config:
    """Only what needs no training."""
    families = "scoring.families=[logmel,difference,envelope,level]"
    return load_config("small", overrides=(*TINY, families))


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with one machine id; read only."""
    root = tmp_path_factory.mktemp("data")
    write_machine(root / "0_dB_fan" / "fan" / "id_00")
    return root


@pytest.fixture
def clips(data_root: Path) -> list[Clip]:
    """Its clips."""
    return find_clips(data_root).clips


@pytest.fixture
def normals(clips: list[Clip]) -> list[Clip]:
    """Its normal clips."""
    return [clip for clip in clips if clip.label == 0]
