"""Versions appear whole, are chosen, and are forgotten in time."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.running import find_states
from audio_anomaly_detector.monitor.versions import Version, Versions
from monitored_machines import SETTINGS, humming
from synthetic_data import SAMPLE_RATE

STATES, _ = find_states(np.random.default_rng(0).standard_normal((12, 4, 24)))
VERSION = Version(0, 5.0, "learned", False, ("from nothing",), STATES.to_plain(), ())


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    folder = tmp_path_factory.mktemp("clips")
    clips = []
    for seed in range(12):
        path = folder / f"{seed}.wav"
        soundfile.write(path, humming(seed).T, SAMPLE_RATE)
        clips.append(Clip(path, path.name, 0, MachineKey("", "pump", "")))
    return Detector.fit(clips, SETTINGS.detector_config(), device="cpu").detector


@pytest.fixture
def versions(tmp_path: Path, detector: Detector) -> Versions:
    versions = Versions(tmp_path / "models")
    versions.add(VERSION, {"running": detector})
    return versions


def test_nothing_is_used_at_first(tmp_path: Path, versions: Versions) -> None:
    assert Versions(tmp_path / "nowhere").numbers() == []
    assert versions.numbers() == [1]
    assert versions.current is None
    assert versions.baseline is None


def test_a_version_comes_back_as_it_was(versions: Versions, detector: Detector) -> None:
    learned = versions.use(1)
    assert learned.version == replace(VERSION, number=1, models=("running",))
    assert learned.detectors["running"].score(humming(99)) == detector.score(humming(99))
    np.testing.assert_array_equal(learned.states.axis, STATES.axis)
    assert (versions.current, versions.baseline) == (1, 1)


def test_the_baseline_stays_until_it_is_set(versions: Versions, detector: Detector) -> None:
    versions.use(1)
    versions.add(VERSION, {"running": detector})
    versions.use(2)
    assert (versions.current, versions.baseline) == (2, 1)
    versions.use(2, as_baseline=True)
    assert (versions.current, versions.baseline) == (2, 2)
    versions.use(1)
    assert (versions.current, versions.baseline) == (1, 2)


def test_the_oldest_are_forgotten_but_for_the_baseline(
    versions: Versions, detector: Detector
) -> None:
    versions.use(1)
    for number in range(2, 16):
        versions.add(VERSION, {"running": detector})
        versions.use(number)
    assert versions.numbers() == [1, *range(5, 16)]
    models = sorted(path.name for path in versions.folder.glob("*.pth"))
    assert models == [f"{number:04d}-running.pth" for number in versions.numbers()]


def test_half_a_version_is_none(versions: Versions, detector: Detector) -> None:
    detector.save(versions.folder / "0002-running.pth")
    assert versions.numbers() == [1]
    assert versions.add(VERSION, {"running": detector}).number == 2


def test_unknown_and_damaged_versions_are_refused(versions: Versions) -> None:
    with pytest.raises(UserError, match="there is no version 7"):
        versions.use(7)
    (versions.folder / "0001.json").write_text(json.dumps({"number": 1}))
    with pytest.raises(UserError, match="damaged"):
        versions.read(1)


@pytest.mark.parametrize("content", ["{", "[]", '{"current": "one", "baseline": 1}'])
def test_a_damaged_choice_is_refused(versions: Versions, content: str) -> None:
    (versions.folder / "current.json").write_text(content)
    with pytest.raises(UserError, match="delete it"):
        _ = versions.current
