"""Where the file of a training clip is looked for."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.data.audio import AudioConfig, read_microphones
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.explaining.nearest import find_training_clip
from audio_anomaly_detector.provenance import clip_records
from synthetic_data import SAMPLE_RATE, hum

KEY = MachineKey("", "", "pump")
AUDIO = AudioConfig(sample_rate=SAMPLE_RATE, length=SAMPLE_RATE)


def test_cuts_of_a_recording_that_was_learned(tmp_path: Path) -> None:
    file = tmp_path / "learned" / "long.wav"
    file.parent.mkdir()
    sound = np.concatenate([hum(seed, 1, 1.0) for seed in range(3)])
    soundfile.write(file, sound, SAMPLE_RATE)
    learned = Clip(file, "learned/long.wav", 0, KEY)
    records = clip_records([learned])
    new = Clip(tmp_path / "new" / "a.wav", "a.wav", None, KEY)
    whole = find_training_clip("learned/long.wav", new, records)
    assert whole == learned
    cut = find_training_clip("learned/long.wav#t=1,2", new, records)
    assert cut is not None and cut == learned.cut(1.0, 1.0)
    heard = read_microphones(cut, AUDIO, 1).waveform[0]
    assert heard == pytest.approx(sound[SAMPLE_RATE : 2 * SAMPLE_RATE].ravel(), abs=1e-3)
    last = find_training_clip("learned/long.wav#t=2,", new, records)
    assert last == learned.cut(2.0, None)


def test_a_training_clip_in_the_folder_beside(tmp_path: Path) -> None:
    file = tmp_path / "train" / "a.wav"
    file.parent.mkdir()
    soundfile.write(file, hum(1), SAMPLE_RATE)
    learned = Clip(file, "a.wav", 0, KEY)
    new = Clip(tmp_path / "test" / "b.wav", "b.wav", None, KEY)
    new.path.parent.mkdir()
    assert find_training_clip("a.wav", new, clip_records([learned])) == learned


def test_another_file_of_that_name_is_none(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, hum(1), SAMPLE_RATE)
    records = clip_records([Clip(file, "a.wav", 0, KEY)])
    soundfile.write(file, hum(2), SAMPLE_RATE)
    assert find_training_clip("a.wav#t=0,1", Clip(tmp_path / "b.wav", "b", 0, KEY), records) is None
