"""What is measured once for a whole fit."""

from pathlib import Path

import pytest
import torch

from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.learning.training_data import Corpus, make_statistics, read_clips
from audio_anomaly_detector.progress import SILENT


def make_corpus(clips: list[Clip], config: Config, work: Path) -> Corpus:
    store = read_clips(clips, config, work, "stop", SILENT)
    measure = make_statistics(config, store.windows.shape[1]).eval()
    return Corpus(store, config, measure, work, torch.device("cpu"), SILENT)


def test_stretches_are_what_a_clip_does_beside_its_mean(
    normals: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    corpus = make_corpus(normals, without_networks, tmp_path)
    stretches = corpus.stretches(list(range(len(normals))))
    assert set(stretches) == set(corpus.measure.signal_components)
    count = 4  # whole seconds of a window
    for name, deviations in stretches.items():
        assert deviations.clips == 0
        assert len(deviations.values) == count * len(normals)
        assert deviations.values.shape[1:] == corpus.signal[name].shape[1:]
        of_clips = deviations.values.unflatten(0, (-1, count))
        assert torch.allclose(of_clips.mean(1), torch.zeros(()), atol=1e-4)
        assert of_clips.abs().max() > 0, name


def test_stretches_of_clips_left_out_are_not_looked_at(
    normals: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    corpus = make_corpus(normals, without_networks, tmp_path)
    both, first, second = (corpus.stretches(clips)["logmel_log"] for clips in ([0, 1], [0], [1]))
    rows = {tuple(row) for row in both.values.flatten(1).tolist()}
    assert {tuple(row) for row in first.values.flatten(1).tolist()} < rows
    assert rows == {tuple(row) for one in (first, second) for row in one.values.flatten(1).tolist()}


@pytest.mark.parametrize("seconds", [1, 1.9])
def test_a_window_of_less_than_two_seconds_has_no_stretches(
    seconds: float, normals: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    audio = without_networks.audio.model_copy(update={"length": int(16_000 * seconds)})
    config = without_networks.model_copy(update={"audio": audio})
    assert make_corpus(normals, config, tmp_path).stretches([0, 1]) == {}


def test_a_stretch_too_short_for_the_bands_of_a_clip_is_not_compared_with_it(
    normals: list[Clip], tmp_path: Path
) -> None:
    # A second at this rate has fewer envelope frames than the bands of modulation need.
    config = load_config("instant", audio={"sample_rate": 8000, "length": 32_000})
    corpus = make_corpus(normals, config, tmp_path)
    kept = corpus.stretches([0, 1])
    assert set(corpus.measure.signal_components) - set(kept) == {"modulation"}
    for name, deviations in kept.items():
        assert deviations.values.shape[1:] == corpus.signal[name].shape[1:]
    detector = Detector.fit(normals, config).detector
    assert [clip for clip, score in detector.score_clips(normals[:1])] == normals[:1]
