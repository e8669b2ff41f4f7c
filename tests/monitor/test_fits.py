"""Fits in a process of their own, and what they refuse."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audio_anomaly_detector.benchmark.conditions import speech
from audio_anomaly_detector.monitor.fits import FitsInChild
from audio_anomaly_detector.monitor.fitting import Job, Outcome, learn
from audio_anomaly_detector.monitor.machine_config import MachineConfig
from audio_anomaly_detector.monitor.normals import Normals
from audio_anomaly_detector.monitor.versions import Versions
from monitored_machines import BEGAN, SECONDS, SETTINGS, humming, knocking, still
from synthetic_data import SAMPLE_RATE

JOB = Job("pump-3", SETTINGS, BEGAN + 600, full=False)


def with_normals(folder: Path, sounds: list[np.ndarray]) -> Path:
    normals = Normals(folder / "normals", 500)
    for number, sound in enumerate(sounds):
        normals.add(sound, SAMPLE_RATE, BEGAN + SECONDS * number)
    return folder


def awaited(fits: FitsInChild, folder: Path) -> Outcome:
    for _ in range(1200):
        outcome = fits.outcome(folder)
        if outcome is not None:
            return outcome
        time.sleep(0.1)
    raise AssertionError("the fit does not end")


class OfAPlant(MachineConfig, frozen=True, extra="forbid"):
    """With more settings than a fit knows."""

    source: str = "hall"


def test_a_child_fits_and_only_one_at_a_time(tmp_path: Path) -> None:
    folder = with_normals(tmp_path / "one", [humming(seed) for seed in range(5)])
    fits = FitsInChild()
    assert fits.begin(folder, replace(JOB, settings=OfAPlant(**SETTINGS.model_dump())))
    assert not fits.begin(tmp_path / "two", JOB)
    assert fits.outcome(tmp_path / "two") is None
    outcome = awaited(fits, folder)
    assert outcome.version is None
    assert "too little variety" in outcome.words[0]
    assert fits.outcome(folder) is None  # once
    assert fits.begin(tmp_path / "two", JOB)
    fits.close()


def test_a_child_that_breaks_off_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    fits = FitsInChild()
    assert fits.begin(tmp_path, JOB)
    outcome = awaited(fits, tmp_path)
    assert outcome.version is None
    assert "broke off with code 1" in outcome.words[0]


def test_speech_and_standstill_are_not_learned_from(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    voices = [speech(rng, round(SECONDS * SAMPLE_RATE), SAMPLE_RATE) for _ in range(4)]
    spoken = [
        (humming(100 + number) + 0.05 * voice).astype(np.float32)
        for number, voice in enumerate(voices)
    ]
    sounds = [humming(seed) for seed in range(40)]
    sounds[10:10] = spoken
    sounds += [still(seed) for seed in range(8)]
    folder = with_normals(tmp_path, sounds)
    names = Normals(folder / "normals", 500).names
    outcome = learn(folder, JOB)
    assert outcome.version == 1
    assert set(names[10:14]) <= set(outcome.refused["speech"])
    assert len(outcome.refused["speech"]) <= 5
    assert any("off in 8 pieces" in words for words in outcome.words)
    learned = Versions(folder / "models").load(1)
    assert learned.states.names == ("off", "running")
    used = {record.name for record in learned.detectors["running"].provenance.clips}
    assert not used & set(names[10:14])
    assert not used & set(names[44:])


def test_pieces_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    folder = with_normals(tmp_path, [humming(seed) for seed in range(3)])
    for path in (folder / "normals").iterdir():
        path.write_bytes(b"no sound")
    assert learn(folder, JOB).words == ("there is no normal sound that can be read",)


def test_a_model_that_fails_on_held_out_normals_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are held out are another sound."""
    sounds = [humming(seed) for seed in range(48)]
    folder = with_normals(tmp_path, sounds)
    names = Normals(folder / "normals", 500).names
    held = set(names[-8:])
    monkeypatch.setattr("audio_anomaly_detector.monitor.fitting.held_out", held.__contains__)
    normals = Normals(folder / "normals", 500)
    for number in range(40, 48):
        normals.add(knocking(number), SAMPLE_RATE, BEGAN + SECONDS * number)
    outcome = learn(folder, JOB)
    assert outcome.version is None
    assert "8 of 8 held-out ones called anomalous" in outcome.words[0]
    assert Versions(folder / "models").numbers() == []
