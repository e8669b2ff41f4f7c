"""What is measured once for a whole fit."""

from pathlib import Path

import pytest
import torch

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.corpus import Corpus, make_statistics, read_clips
from audio_anomaly_detector.data.clips import Clip


def silent(what: str, done: int, total: int) -> None:
    """Hear of progress and say nothing."""


def make_corpus(clips: list[Clip], config: Config, work: Path) -> Corpus:
    store = read_clips(clips, config, work, "stop", silent)
    measure = make_statistics(config, store.windows.shape[1]).eval()
    return Corpus(store, config, measure, work, torch.device("cpu"), silent)


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
