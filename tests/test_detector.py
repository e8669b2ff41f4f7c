import dataclasses
import errno
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.data.audio import read_clip
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.model_container import pack
from audio_anomaly_detector.model_file import read_model_file
from audio_anomaly_detector.score import Score
from audio_anomaly_detector.scoring.components import COMPONENTS, FAMILIES, SIGNAL_FAMILIES
from audio_anomaly_detector.scoring.threshold import ThresholdConfig
from synthetic_data import SAMPLE_RATE, TINY, hum, knock


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Detector:
    """All three networks, fitted once."""
    clips = [clip for clip in find_clips(data_root).clips if clip.label == 0]
    return Detector.fit(clips, load_config("small", overrides=TINY)).detector


def test_surrogates_weight_bands_and_families(fitted: Detector) -> None:
    for name, bank in fitted.pipeline.banks.items():
        alike = bool((bank.weight == 1).all())
        assert alike != COMPONENTS[name].by_band
    weights = [fitted.pipeline.calibration.family_weight[family] for family in SIGNAL_FAMILIES[:4]]
    assert min(weights) < max(weights)


def test_what_differs_between_microphones_keeps_a_weight_of_its_own(fitted: Detector) -> None:
    weights = fitted.pipeline.calibration.family_weight
    kept = {family: weights[family] for family in ("difference", "coherence", "level")}
    assert kept == {"difference": 0.25, "coherence": 1.0, "level": 1.0}


def test_a_knock_scores_higher_than_the_hum(fitted: Detector) -> None:
    normal = [fitted.score(hum(seed).T).score for seed in range(500, 504)]
    knocking = [fitted.score(knock(seed).T).score for seed in range(500, 504)]
    assert min(knocking) > max(normal)


def test_a_score_is_complete_and_consistent(fitted: Detector) -> None:
    score = fitted.score(knock(1).T, with_map=True)
    assert score.is_anomalous == (score.score > score.threshold)
    assert 0 <= score.p_value <= 1
    assert all(math.isfinite(value) for value in score.components.values())
    assert set(score.families) == set(FAMILIES)
    assert score.map is not None and score.map.shape == (32, 251)  # 8 s, every moment once
    assert score.latent is not None and score.latent.shape == (4,)
    evidence = list(score.families.values())
    assert min(evidence) < score.score < max(evidence)


def test_saved_and_loaded_in_a_new_process_it_scores_the_same(
    fitted: Detector, clips: list[Clip], tmp_path: Path
) -> None:
    path = tmp_path / "model.pth"
    fitted.save(path)
    program = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from audio_anomaly_detector import Detector, find_clips\n"
        "detector = Detector.load(Path(sys.argv[1]))\n"
        "[clip] = find_clips(Path(sys.argv[2])).clips\n"
        "print(repr(detector.score_clip(clip).score))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, path, clips[0].path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(run.stdout) == fitted.score_clip(clips[0]).score


def test_a_clip_scores_the_same_from_file_and_from_memory(
    fitted: Detector, clips: list[Clip]
) -> None:
    from_file = fitted.score_clip(clips[0])
    waveform = read_clip(clips[0], fitted.config.audio)
    assert fitted.score(waveform) == from_file


def test_the_same_seed_gives_the_same_bytes(
    normals: list[Clip], tiny: Config, tmp_path: Path
) -> None:
    for name in ("one.pth", "two.pth"):
        Detector.fit(normals, tiny).detector.save(tmp_path / name)
        torch.rand(3)  # what others draw does not matter
    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "two.pth").read_bytes()
    other = Detector.fit(normals, tiny.model_copy(update={"seed": 1})).detector
    other.save(tmp_path / "other.pth")
    assert (tmp_path / "other.pth").read_bytes() != (tmp_path / "one.pth").read_bytes()


def test_the_threshold_changes_without_refitting(fitted: Detector, tmp_path: Path) -> None:
    strict = fitted.with_threshold(ThresholdConfig(false_alarm_rate=0.01))
    assert strict.threshold > fitted.threshold
    assert strict.score(knock(1).T).score == fitted.score(knock(1).T).score
    strict.save(str(tmp_path / "strict.pth"))  # a path as text will do
    assert Detector.load(tmp_path / "strict.pth").threshold == strict.threshold
    fixed = fitted.with_threshold(ThresholdConfig(method="value", value=1e9))
    assert not fixed.score(knock(1).T).is_anomalous


def test_without_networks_it_is_a_detector_too(
    normals: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    result = Detector.fit(normals, without_networks)
    assert result.detector.pipeline.networks is None
    assert result.history == []
    result.detector.save(tmp_path / "model.pth")
    again = Detector.load(tmp_path / "model.pth")
    assert again.score(knock(1).T).is_anomalous
    assert again.score(knock(1).T) == result.detector.score(knock(1).T)


def test_one_microphone_is_the_same_path(normals: list[Clip], tiny: Config) -> None:
    config = tiny.model_copy(update={"audio": tiny.audio.model_copy(update={"channels": 0})})
    detector = Detector.fit(normals, config).detector
    assert detector.microphones == 1
    assert "difference" not in detector.score(knock(1, channels=1).T).families


def test_many_clips_calibrate_on_a_held_out_part(
    normals: list[Clip], without_networks: Config
) -> None:
    clips = [
        dataclasses.replace(clip, name=f"{clip.name}#{part}", start=2.1 * part, duration=2.1)
        for clip in normals
        for part in range(3)
    ]
    families = ("spectrum", "wavelet")
    scoring = without_networks.scoring.model_copy(
        update={"hold_out_from": 24, "families": families}
    )
    config = without_networks.model_copy(update={"scoring": scoring})
    detector = Detector.fit(clips, config).detector
    held_out = set(detector.provenance.calibration_clips)
    assert 0 < len(held_out) < len(clips)
    # What is trained must not know the clips it is calibrated on; the rest is cross-fitted.
    assert len(detector.pipeline.banks["wavelet_energy"].clips) == len(clips) - len(held_out)
    assert len(detector.pipeline.banks["spectrum"].clips) == len(clips)


def test_views_steady_the_score_and_are_repeatable(
    normals: list[Clip], without_networks: Config
) -> None:
    scoring = without_networks.scoring.model_copy(update={"views": 2})
    config = without_networks.model_copy(update={"scoring": scoring})
    detector = Detector.fit(normals, config).detector
    assert detector.score(knock(1).T) == detector.score(knock(1).T)
    assert detector.score(knock(1).T).score > detector.score(hum(99).T).score


def test_an_outlier_is_named_and_kept(
    normals: list[Clip], without_networks: Config, data_root: Path
) -> None:
    outlier = next(clip for clip in find_clips(data_root).clips if clip.label == 1)
    outlier = dataclasses.replace(outlier, label=0)
    result = Detector.fit([*normals, outlier], without_networks)
    assert result.outliers == [outlier.name]
    assert len(result.detector.provenance.clips) == len(normals) + 1


def test_one_long_recording_is_enough(tmp_path: Path, without_networks: Config) -> None:
    soundfile.write(tmp_path / "long.wav", hum(0, seconds=60), SAMPLE_RATE)
    detector = Detector.fit(find_clips(tmp_path).clips, without_networks).detector
    assert len(detector.provenance.clips) == 1
    assert len(detector.provenance.calibration_clips) == 14  # windows of 65 536 samples
    assert any("are of one recording" in note for note in detector.notes)
    assert detector.score(knock(3).T).is_anomalous
    # It allows for more than the same sound in recordings that are known to be several.
    cuts = [clip.cut(at, 5.0) for clip in find_clips(tmp_path).clips for at in range(0, 60, 5)]
    several = [dataclasses.replace(cut, group=f"day {cut.start:.0f}") for cut in cuts]
    known = Detector.fit(several, without_networks).detector
    assert detector.threshold > 1.5 * known.threshold
    assert not any("synthetic machines" in note for note in known.notes)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros((2, 100), np.float32), "give at least 1 s"),
        (np.full((2, 20_000), np.nan, np.float32), "nan or infinite"),
        (np.ones((3, 20_000), np.float32), "3 channels, the detector was fitted on 2"),
    ],
)
def test_a_bad_waveform_is_refused(fitted: Detector, waveform: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        fitted.score(waveform)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seconds=st.floats(1, 13), gain=st.sampled_from([1e-6, 1e-3, 1.0, 1e3]))
def test_any_length_and_level_scores(fitted: Detector, seconds: float, gain: float) -> None:
    score = fitted.score(gain * hum(0, seconds=seconds).T)
    assert math.isfinite(score.score)


def test_a_clip_that_fails_does_not_stop_the_others(
    fitted: Detector, clips: list[Clip], tmp_path: Path
) -> None:
    broken = dataclasses.replace(clips[1], path=tmp_path / "none.wav")
    outcomes = [outcome for _, outcome in fitted.score_clips([clips[0], broken, clips[2]])]
    assert isinstance(outcomes[1], ClipError)
    assert not isinstance(outcomes[0], ClipError) and not isinstance(outcomes[2], ClipError)


def test_a_clip_that_cannot_be_scored_costs_only_itself(
    fitted: Detector, clips: list[Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = dict(fitted.score_clips(clips[:6]))
    heavy = read_clip(clips[2], fitted.config.audio)
    score = Detector._score

    def fail_on_one(self: Detector, waveforms: list[np.ndarray], with_map: bool) -> list[Score]:
        if any(np.array_equal(one, heavy) for one in waveforms):
            raise MemoryError
        return score(self, waveforms, with_map)

    monkeypatch.setattr(Detector, "_score", fail_on_one)
    for clip, outcome in fitted.score_clips(clips[:6]):
        if clip == clips[2]:
            assert isinstance(outcome, ClipError)
            assert "could not be scored (MemoryError)" in str(outcome)
        else:
            before = expected[clip]
            assert isinstance(outcome, Score) and isinstance(before, Score)
            assert outcome.score == pytest.approx(before.score, abs=1e-3)


def test_clips_scored_together_get_the_scores_that_each_gets_alone(
    fitted: Detector, clips: list[Clip], tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "long.wav", hum(0, seconds=20), SAMPLE_RATE)
    soundfile.write(tmp_path / "short.wav", hum(1, seconds=2), SAMPLE_RATE)
    others = [
        dataclasses.replace(clips[0], path=tmp_path / name) for name in ("long.wav", "short.wav")
    ]
    mixed = [*clips[:5], *others, *clips[5:9]]
    for clip, score in fitted.score_clips(mixed):
        assert isinstance(score, Score)
        alone = fitted.score_clip(clip)
        assert score.components == pytest.approx(alone.components, rel=1e-3, abs=1e-3)
        assert score.score == pytest.approx(alone.score, rel=1e-4, abs=1e-4)
        assert score.map is None and alone.map is None
        assert score.latent is not None and alone.latent is not None
        np.testing.assert_allclose(score.latent, alone.latent, atol=1e-4)


def test_anomalous_clips_cannot_be_trained_on(clips: list[Clip], tiny: Config) -> None:
    with pytest.raises(UserError, match="normal clips only"):
        Detector.fit(clips, tiny)


def test_a_folder_of_others_is_not_cleared_to_work_in(
    normals: list[Clip], without_networks: Config, tmp_path: Path
) -> None:
    (tmp_path / "letters").write_text("keep me")
    with pytest.raises(UserError, match="holds files of others"):
        Detector.fit(normals, without_networks, work=tmp_path)
    assert (tmp_path / "letters").read_text() == "keep me"


def test_too_few_clips_are_refused(normals: list[Clip], tiny: Config) -> None:
    with pytest.raises(UserError, match="too little normal sound"):
        Detector.fit(normals[:3], tiny)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"PK\x03\x04 a cut zip", b"\x80\x04K\x01."], ids=repr
)
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.pth: not a model file"):
        Detector.load(path)


def test_a_model_that_runs_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))  # type: ignore[return-value]

    torch.save({"format": 1, "evil": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match="not a model file"):
        Detector.load(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_a_model_of_another_format_names_its_version(fitted: Detector, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    fitted.save(path)
    path.write_bytes(pack({**read_model_file(path), "format": 99, "version": "9.9"}))
    with pytest.raises(UserError, match=r"version 9\.9 in format 99"):
        Detector.load(path)
    torch.save({"weights": torch.ones(3)}, path)
    with pytest.raises(UserError, match="holds no detector"):
        Detector.load(path)


def test_a_cut_model_file_is_refused(fitted: Detector, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    fitted.save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="not a model file"):
        Detector.load(path)


def test_an_unwritable_place_is_one_line(fitted: Detector, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another place"):
        fitted.save(tmp_path / "file" / "model.pth")


def test_a_full_disk_leaves_nothing_half_written(
    fitted: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tempfile.NamedTemporaryFile

    def full(*args, **kwargs):  # type: ignore[no-untyped-def]
        file = real(*args, **kwargs)

        def write(data: bytes) -> int:
            file.file.write(bytes(data)[:100])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(file, "write", write, raising=False)
        return file

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    with pytest.raises(UserError, match="free some space"):
        fitted.save(tmp_path / "model.pth")
    assert list(tmp_path.iterdir()) == []


def test_a_loud_moment_of_a_long_recording_is_found(fitted: Detector) -> None:
    sound = np.tile(hum(7).T, 20)[:, : 20 * 65_536]
    calm = fitted.score(sound)
    assert calm.worst is not None and not calm.worst.score > calm.worst.threshold
    loud = sound.copy()
    at = slice(10 * 65_536 + 5_000, 10 * 65_536 + 25_000)
    loud[:, at] += np.random.default_rng(0).normal(0, 4 * sound.std(), loud[:, at].shape)
    found = fitted.score(loud)
    assert found.is_anomalous and found.worst is not None
    assert found.worst.start == pytest.approx(10 * 65_536 / SAMPLE_RATE)
    assert found.worst.end == pytest.approx(11 * 65_536 / SAMPLE_RATE)
    assert found.p_value <= 2 * found.worst.p_value < 0.1 and found.score < found.worst.score
    assert fitted.score(hum(7).T[:, : 2 * SAMPLE_RATE]).worst is None


def test_a_clip_without_the_band_of_the_normals_is_never_anomalous(
    fitted: Detector, normals: list[Clip], tmp_path: Path
) -> None:
    slow = []
    for name, sound in (("hum", hum(9)), ("knock", knock(9))):
        soundfile.write(tmp_path / f"{name}.wav", sound[::2], SAMPLE_RATE // 2)
        slow.append(dataclasses.replace(normals[0], path=tmp_path / f"{name}.wav", name=name))
    for clip, score in fitted.score_clips(slow):
        assert isinstance(score, Score)
        assert score.verdict == fitted.score_clip(clip).verdict
        assert score.recorded_differently and not score.is_anomalous
        assert score.verdict == "unlike" and "cannot be called anomalous" in score.remarks[-1]
    usual = fitted.score_clip(normals[0])
    assert not usual.recorded_differently and usual.verdict in ("normal", "anomalous")


def test_a_quieter_recording_is_unlike_and_a_fault_in_it_anomalous(fitted: Detector) -> None:
    quieter = [fitted.score(0.3 * hum(seed).T) for seed in range(500, 504)]
    assert [score.verdict for score in quieter].count("unlike") >= 3
    for score in quieter:
        assert not score.is_anomalous and score.p_recording is not None
        assert score.p_recording < 0.05
        if score.recorded_differently:
            assert "quieter than normal clips" in score.remarks[-1]
    for seed in range(500, 504):
        knocking = fitted.score(0.3 * knock(seed).T)
        assert knocking.verdict == "anomalous"
        assert knocking.remarks[-1].startswith("it is also ")
        assert knocking.remarks[-1].endswith("quieter than normal clips")


def test_how_normal_clips_were_recorded_is_kept(fitted: Detector, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model.pth")
    again, quieter = Detector.load(tmp_path / "model.pth"), 0.3 * hum(500).T
    assert again.score(quieter) == fitted.score(quieter)
    without = dataclasses.replace(fitted, conditions=()).score(quieter)
    assert without.is_anomalous and without.p_recording is None
