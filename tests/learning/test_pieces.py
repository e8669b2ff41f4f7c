"""Shorter and longer clips made of the training clips."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.cache import build_store
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.datasets import cut_long_recordings
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.learning import pieces
from audio_anomaly_detector.learning.pieces import make_pieces, usual_seconds
from audio_anomaly_detector.learning.training_data import TrainingData
from audio_anomaly_detector.models.logmel import LogMel
from audio_anomaly_detector.progress import SILENT
from synthetic_data import SAMPLE_RATE

CONFIG = load_config("instant", overrides=["audio.length=64000"])  # 4 s
KEY = MachineKey("c", "m", "i")


def recordings(folder: Path, lengths: list[float], seed: int = 0) -> list[Clip]:
    """Noise whose level and colour differ between recordings, and a little within them."""
    rng, clips = np.random.default_rng(seed), []
    for number, seconds in enumerate(lengths):
        noise = rng.standard_normal(round(seconds * SAMPLE_RATE) + 1)
        own, level = 0.9 * rng.random(), 0.05 * 2 ** rng.standard_normal()
        path = folder / f"{number:02d}.wav"
        soundfile.write(path, level * (noise[1:] + own * noise[:-1]), SAMPLE_RATE, "FLOAT")
        clips.append(Clip(path, path.name, 0, KEY))
    return clips


def data_of(clips: list[Clip], folder: Path) -> TrainingData:
    cuts = cut_long_recordings(clips, CONFIG.audio)
    store = build_store(cuts, CONFIG.audio, folder / "windows")
    return TrainingData(store, CONFIG, LogMel(CONFIG.logmel), folder, torch.device("cpu"), SILENT)


def test_pieces_are_of_lengths_from_a_second_to_whole_recordings(tmp_path: Path) -> None:
    data = data_of(recordings(tmp_path, [20.0] * 5 + [4.0]), tmp_path)
    assert usual_seconds(data) == 4.0
    everyone = list(range(len(data.store.clips)))
    made = make_pieces(data, everyone)
    assert [one.seconds for one in made] == pytest.approx([1, 2, 8, 20])
    for one in made[:2]:
        assert len(one.clips) == len(one.windows) == len(everyone)
        assert {len(of) for of in one.clips} == {1}
        assert all(windows.shape == (1, 1, 64_000) for windows in one.windows)
    for one, count in zip(made[2:], (2, 5), strict=True):
        assert {len(run) for run in one.clips} == {count} and not one.windows
        for run in one.clips:
            paths = {data.store.clips[clip].path for clip in run}
            starts = [data.store.clips[clip].start for clip in run]
            assert len(paths) == 1 and np.allclose(np.diff(starts), 4)
    assert make_pieces(data, everyone[:10])[0].held_out([0, 1]) != []


def test_clips_of_a_second_have_no_other_length(tmp_path: Path) -> None:
    data = data_of(recordings(tmp_path, [1.0] * 6), tmp_path)
    assert make_pieces(data, range(6)) == []


def test_a_length_of_one_group_is_not_calibrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most clips are of one group, so that the few pieces are of it by chance."""
    monkeypatch.setattr(pieces, "_PIECES", 2)
    clips = recordings(tmp_path, [4.0] * 12)
    clips = [*(replace(clip, group="a") for clip in clips[:10]), *clips[10:]]
    assert make_pieces(data_of(clips, tmp_path), range(10)) == []
    detector = Detector.fit(clips, CONFIG, device="cpu").detector
    assert detector.normal_scores.of_usual.n_groups == 3


def test_false_alarms_hold_for_other_recordings_and_lengths(tmp_path: Path) -> None:
    """Cuts of few recordings, and clips of any length, as far as nine recordings can tell."""
    alarms: dict[float, list[bool]] = {1.0: [], 2.5: [], 4.0: [], 12.0: []}
    for seed in range(3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        clips = recordings(folder, [12.0] * 24, seed)
        detector = Detector.fit(clips[:9], CONFIG, device="cpu").detector
        assert detector.normal_scores.of_usual.n_groups == 9
        for seconds, found in alarms.items():
            shorter = [clip.cut(0.0, seconds) for clip in clips[9:]]
            found += [detector.score_clip(clip).is_anomalous for clip in shorter]
    for seconds, found in alarms.items():
        assert np.mean(found) < 0.3, seconds
