"""What is measured once for a whole fit."""

from pathlib import Path

import pytest
import torch

from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.data.cache import build_store
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.learning.measurements import Measurements
from audio_anomaly_detector.learning.training_data import TrainingData
from audio_anomaly_detector.pipeline import make_measure
from audio_anomaly_detector.progress import SILENT


def measurements_of(clips: list[Clip], config: Config, work: Path) -> Measurements:
    cpu = torch.device("cpu")
    store = build_store(clips, config.audio, work / "windows")
    measure = make_measure(config, store.windows.shape[1], cpu)
    return Measurements(TrainingData(store, config, measure.logmel, work, cpu, SILENT), measure)


def test_segments_deviate_from_the_mean_of_their_clip(
    normals: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    measured = measurements_of(normals, without_networks, tmp_path)
    segments = measured.segment_deviations(list(range(len(normals))))
    assert set(segments) == set(measured.measure.signal_components)
    count = 4  # whole seconds of a window
    for name, deviations in segments.items():
        assert deviations.clips == 0
        assert len(deviations.values) == count * len(normals)
        assert deviations.values.shape[1:] == measured.fixed[name].shape[1:]
        of_clips = deviations.values.unflatten(0, (-1, count))
        assert torch.allclose(of_clips.mean(1), torch.zeros(()), atol=1e-4)
        assert of_clips.abs().max() > 0, name


def test_segments_of_clips_left_out_are_not_used(
    normals: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    measured = measurements_of(normals, without_networks, tmp_path)
    both, first, second = (
        measured.segment_deviations(clips)["logmel_log"] for clips in ([0, 1], [0], [1])
    )
    rows = {tuple(row) for row in both.values.flatten(1).tolist()}
    assert {tuple(row) for row in first.values.flatten(1).tolist()} < rows
    assert rows == {tuple(row) for one in (first, second) for row in one.values.flatten(1).tolist()}


@pytest.mark.parametrize("seconds", [1, 1.9])
def test_a_window_of_less_than_two_seconds_has_no_segments(
    seconds: float, normals: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    audio = without_networks.audio.model_copy(update={"length": int(16_000 * seconds)})
    config = without_networks.model_copy(update={"audio": audio})
    assert measurements_of(normals, config, tmp_path).segment_deviations([0, 1]) == {}


def test_a_segment_too_short_for_the_bands_of_a_clip_is_not_compared_with_it(
    normals: list[Clip], tmp_path: Path
) -> None:
    # A second has fewer envelope frames at this hop than the rates of modulation need.
    audio = {"sample_rate": 8000, "length": 32_000}
    config = load_config("instant", audio=audio, signals={"envelope_hop_s": 0.03})
    measured = measurements_of(normals, config, tmp_path)
    kept = measured.segment_deviations([0, 1])
    assert set(measured.measure.signal_components) - set(kept) == {"modulation"}
    for name, deviations in kept.items():
        assert deviations.values.shape[1:] == measured.fixed[name].shape[1:]
    detector = Detector.fit(normals, config).detector
    assert [clip for clip, score in detector.score_clips(normals[:1])] == normals[:1]
