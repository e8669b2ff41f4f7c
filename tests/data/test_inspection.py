import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.data.inspection import inspect
from audio_anomaly_detector.errors import UserError
from recorded_progress import RecordedProgress


def make(path: Path, seed: int, seconds: float = 10, rate: int = 16_000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * rate), channels))
    soundfile.write(path, data, rate)


def test_a_sound_data_set_has_no_problems(tmp_path):
    for i in range(5):
        make(tmp_path / f"0_dB_fan/fan/id_00/normal/{i}.wav", i, channels=2)
        make(tmp_path / f"0_dB_fan/fan/id_02/normal/{i}.wav", 100 + i, channels=2)
    make(tmp_path / "0_dB_fan/fan/id_02/abnormal/0.wav", 7, seconds=5, channels=2)
    recorded = RecordedProgress()
    found = inspect(tmp_path, progress=recorded)
    assert found.problems == []
    assert found.layout == "mimii"
    assert recorded.steps == [("reading clips", i, 11) for i in range(1, 12)]
    first, second = found.machines
    assert (first.condition, first.machine_type, first.machine_id) == ("0_dB_fan", "fan", "id_00")
    assert (first.normal, first.anomalous, first.unknown, first.unusable) == (5, 0, 0, 0)
    assert (second.normal, second.anomalous, second.train, second.test) == (5, 1, 0, 0)
    assert (first.seconds, second.seconds) == (50.0, 55.0)
    assert (first.sample_rates, first.channels) == ({16_000: 5}, {2: 5})
    assert json.loads(json.dumps(dataclasses.asdict(found)))["machines"][1]["anomalous"] == 1


def test_counts_of_a_prescribed_split(tmp_path):
    for i in range(4):
        make(tmp_path / f"fan/train/section_00_source_train_normal_{i:04}.wav", i)
    make(tmp_path / "fan/test/section_00_source_test_anomaly_0000.wav", 8)
    make(tmp_path / "fan/test/section_00_0001.wav", 9)
    (machine,) = inspect(tmp_path).machines
    assert (machine.train, machine.test) == (4, 2)
    assert (machine.normal, machine.anomalous, machine.unknown) == (4, 1, 1)


def test_every_problem_is_named(tmp_path):
    for i in range(4):
        make(tmp_path / f"{i}.wav", i, channels=2)
    make(tmp_path / "copy.wav", 0, channels=2)
    make(tmp_path / "mono.wav", 5)
    make(tmp_path / "fast.wav", 6, rate=48_000, channels=2)
    make(tmp_path / "short.wav", 7, seconds=0.1, channels=2)
    dead = np.random.default_rng(8).uniform(-0.5, 0.5, (16_000, 2)) * [1, 0]
    soundfile.write(tmp_path / "dead.wav", dead, 16_000)
    (tmp_path / "empty.flac").touch()
    (tmp_path / "notes.doc").touch()
    found = inspect(tmp_path)
    key = "/".join([tmp_path.name] * 3)
    assert found.problems == [
        "1 file(s) are not audio and were passed over: 1 × .doc",
        f"{tmp_path}/dead.wav: channel 1 does not move; check that microphone",
        f"{tmp_path}/empty.flac: is empty; record or copy it again, or delete it",
        f"{tmp_path}/short.wav: is too short (1600 samples, 0.1 s); "
        "give at least 1 s of sound, or delete it",
        f"{key}: clips differ in their number of channels (7 with 2, 1 with 1); "
        "leave out those that differ, or use --channels mean or --channels 0",
        f"{key}: clips differ in sample rate (7 at 16000 Hz, 1 at 48000 Hz); all are resampled, "
        "but the slower ones lack the highest frequencies and may stand out by that alone",
        f"{key}: copy.wav repeat(s) the sound of 0.wav, a fit uses the sound once; keep one of "
        "them",
    ]
    (machine,) = found.machines
    assert (machine.normal, machine.unusable, machine.seconds) == (10, 2, 71.0)


def test_too_little_normal_sound_is_reported(tmp_path):
    for i in range(3):
        make(tmp_path / f"{i}.wav", i)
    (problem,) = inspect(tmp_path).problems
    assert "too little normal sound" in problem
    assert "3 clip(s), 30 s" in problem
    make(tmp_path / "long/a.wav", 1, seconds=50)
    assert inspect(tmp_path / "long").problems == []


def test_nothing_to_inspect(tmp_path):
    with pytest.raises(UserError, match="no audio files"):
        inspect(tmp_path)
