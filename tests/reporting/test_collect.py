"""Which clips of a report are explained, with what, and what is said of the others."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.inputs import find_inputs
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.reporting import collect
from audio_anomaly_detector.reporting.collect import clip_entries
from audio_anomaly_detector.reporting.families import family_title
from audio_anomaly_detector.reporting.headline import headline
from audio_anomaly_detector.reporting.pictures import HEIGHT, WIDTH
from audio_anomaly_detector.reporting.sounds import mp3
from audio_anomaly_detector.reporting.threshold import rate_steps, threshold_facts
from audio_anomaly_detector.reporting.training_clips import training_entries
from audio_anomaly_detector.score import Score
from audio_anomaly_detector.scoring.components import FAMILIES
from synthetic_data import SAMPLE_RATE, TINY, hum, knock

FEW_FAMILIES = "scoring.families=[logmel,difference,envelope,level]"


def written(folder: Path, name: str, sound: np.ndarray, rate: int = SAMPLE_RATE) -> Path:
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / name, sound, rate)
    return folder / name


def fitted(folder: Path, channels: int, seconds: float, **changes: int) -> Detector:
    settings = (*TINY, FEW_FAMILIES, *(f"{key}={value}" for key, value in changes.items()))
    for seed in range(8):
        written(folder, f"{seed}.wav", hum(seed, channels, seconds))
    clips = [
        replace(clip, label=0, name=f"{folder.name}/{clip.name}")
        for clip in find_inputs([folder]).clips
    ]
    return Detector.fit(clips, load_config("small", overrides=settings)).detector


def scored(detector: Detector, *files: Path) -> list[tuple[Clip, Score]]:
    found = list(detector.score_clips(find_inputs(files).clips))
    assert all(isinstance(score, Score) for _, score in found)
    return found  # type: ignore[return-value]


@pytest.fixture(scope="module")
def normal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machine") / "normal"


@pytest.fixture(scope="module")
def detector(normal: Path) -> Detector:
    return fitted(normal, 2, 8)


@pytest.fixture(scope="module")
def clips(detector: Detector, normal: Path) -> list[tuple[Clip, Score]]:
    new = normal.parent / "new"
    sounds = {"a.wav": hum(50), "b.wav": knock(51), "c.wav": hum(52), "d.wav": knock(53)}
    return scored(detector, *(written(new, name, sound) for name, sound in sounds.items()))


def test_the_worst_come_first_with_all_that_explains_them(detector, clips):
    entries, notes = clip_entries(detector, clips)
    assert not notes
    assert [entry.verdict for entry in entries] == ["anomalous"] * 2 + ["normal"] * 2
    assert [entry.score for entry in entries[:2]] == sorted(
        (score.score for clip, score in clips if clip.name in "b.wav d.wav"), reverse=True
    )
    for entry in entries:
        assert entry.reasons is not None and entry.media is not None
        assert sum(entry.reasons.shares.values()) == pytest.approx(entry.score)
        assert len(entry.reasons.marks) == len(entry.reasons.words) or not entry.reasons.marks
        titles = [sound.title for sound in entry.media.sounds]
        assert titles[0] == "This recording" and "normal recording: " in titles[2]
    worst = entries[0]
    assert worst.reasons is not None and "impacts" in worst.reasons.words[0]
    assert worst.reasons.map == "fast"


def test_pictures_show_where_and_sounds_can_be_heard(detector, clips):
    entries, _ = clip_entries(detector, clips)
    media = entries[0].media
    assert media is not None
    spectrogram = Image.open(io.BytesIO(media.spectrogram))
    assert (spectrogram.format, spectrogram.size) == ("WEBP", (WIDTH, HEIGHT))
    shown = [
        np.asarray(Image.open(io.BytesIO(entry.media.fast)).convert("RGBA"))[..., 3]
        for entry in (entries[0], entries[-1])
    ]
    knocks, normal_clip = (alpha > 60 for alpha in shown)
    assert knocks.sum() > 20 * max(1, normal_clip.sum())
    start, end = media.seconds
    columns = start + np.flatnonzero(knocks.any(0)) * (end - start) / WIDTH  # s
    away = np.min(np.abs(columns[:, None] - 0.25 - 0.5 * np.arange(16)), 1)  # from a knock, s
    assert np.mean(away < 0.03) > 0.8 and np.median(away) < 0.015
    rows = np.flatnonzero(knocks.sum(1) > 5) / HEIGHT  # from the top, 8 kHz to 20 Hz
    assert np.interp(np.median(rows), [0, 1], [np.log(8000), np.log(20)]) > np.log(1500)
    for sound in media.sounds:
        samples, rate = soundfile.read(io.BytesIO(sound.mp3))
        assert rate == SAMPLE_RATE and samples.ndim == 1
        assert len(samples) / rate == pytest.approx(end - start, abs=0.2)
        assert np.sqrt(np.mean(samples**2)) > 0.001 and np.abs(samples).max() <= 1


def test_pictures_and_sounds_end_where_the_room_does_and_it_is_said(detector, clips):
    whole, _ = clip_entries(detector, clips)
    sizes = [entry.media.size for entry in whole if entry.media]
    entries, notes = clip_entries(detector, clips, most_bytes=sizes[0] + sizes[1] + 10)
    assert [entry.media is not None for entry in entries] == [True, True, False, False]
    assert "those of the 2 worst of 4 clips" in notes[0] and "too large" in notes[0]
    assert [entry.score for entry in entries] == [entry.score for entry in whole]


def test_only_flagged_clips_and_the_worst_are_explained(detector, clips, monkeypatch):
    monkeypatch.setattr(collect, "_WORST", 1)
    entries, notes = clip_entries(detector, clips)
    assert [entry.reasons is not None for entry in entries] == [True, True, False, False]
    assert notes == ["pictures, sound and reasons are those of the 2 worst of 4 clips"]


def test_a_clip_that_is_gone_keeps_its_row(detector, clips):
    gone = [(replace(clip, path=clip.path / "gone"), score) for clip, score in clips[:1]]
    entries, notes = clip_entries(detector, [*gone, *clips[1:2]])
    assert [entry.media is not None for entry in entries] == [True, False]
    assert len(notes) == 1 and notes[0].startswith("1 clip(s) could not be explained: ")


def test_a_model_that_explains_nothing_has_rows_and_a_reason(detector, clips):
    entries, (note,) = clip_entries(replace(detector, usual_sound=None), clips)
    assert len(entries) == 4 and "fit it again" in note
    assert all(entry.reasons is None and entry.media is None for entry in entries)


@pytest.mark.parametrize(("channels", "rate"), [(1, 16_000), (16, 16_000), (1, 96_000), (1, 8_000)])
def test_other_machines(tmp_path, channels, rate):
    detector = fitted(
        tmp_path / "normal", channels, 5.5, **{"audio.sample_rate": rate, "audio.length": 4 * rate}
    )
    long = written(tmp_path / "new", "long.wav", knock(3, channels, 200))
    short = written(tmp_path / "new", "short.wav", hum(4, channels, 1.0))
    entries, _ = clip_entries(detector, scored(detector, long, short))
    for entry in entries:
        assert entry.media is not None
        start, end = entry.media.seconds
        assert end - start <= detector.window_seconds + 0.01
        samples, of_mp3 = soundfile.read(io.BytesIO(entry.media.sounds[0].mp3))
        assert len(samples) / of_mp3 == pytest.approx(end - start, abs=0.2)


@pytest.mark.parametrize("rate", [8_000, 11_025, 12_000, 16_000, 44_100, 96_000])
def test_every_rate_becomes_an_mp3_that_browsers_play(rate):
    content = mp3(np.sin(np.arange(rate) / 20).astype(np.float32), rate)
    samples, of_mp3 = soundfile.read(io.BytesIO(content))
    assert 16_000 <= of_mp3 <= 48_000
    assert len(samples) / of_mp3 == pytest.approx(1, abs=0.1)


def test_training_clips_by_scores_of_detectors_without_them(detector, normal):
    files = [
        replace(clip, name=f"{normal.name}/{clip.name}") for clip in find_inputs([normal]).clips
    ]
    outlier = replace(detector, provenance=replace(detector.provenance, outliers=[files[3].name]))
    entries, notes = training_entries(outlier, files)
    assert entries[0].name == files[3].name and entries[0].verdict == "outlier"
    assert entries[0].media is not None and entries[0].reasons is not None
    assert not entries[0].reasons.shares
    assert sorted(entry.score for entry in entries) == sorted(
        detector.normal_scores.of_usual.scores.tolist()
    )
    assert [entry.media is None for entry in entries[1:]] == [True] * 7
    assert "fitted without the clip" in notes[0]


@pytest.mark.parametrize("method", ["gamma", "conformal"])
def test_expected_false_alarms_are_those_that_the_threshold_was_set_by(detector, method):
    config = detector.threshold_config.model_copy(
        update={"method": method, "false_alarm_rate": 0.2}
    )
    normal = detector.normal_scores.of_usual
    threshold = normal.threshold(config)
    steps = rate_steps(normal, config, threshold + 1)
    begins = [step.score for step in steps[1:]]
    assert steps[0].score is None and begins == sorted(set(begins))
    at = [step for step in steps if step.score is None or step.score <= threshold][-1]
    allowed = 0.2 if method == "gamma" else np.floor(0.2 * 9) / 9
    assert at.rate == pytest.approx(allowed, abs=1e-6)
    assert all(step.low <= step.rate <= step.high for step in steps)
    rates = [step.rate for step in steps]
    assert rates == sorted(rates, reverse=True)


def test_of_many_normal_clips_some_steps_are_left_out(detector):
    facts = threshold_facts(detector, 3.0)
    assert facts.value == detector.threshold and len(facts.normal_scores) == 8
    many = replace(
        detector.normal_scores.of_usual,
        scores=np.random.default_rng(0).normal(size=1200),
        groups=np.arange(1200),
        domains=np.zeros(1200, np.int64),
    )
    conformal = detector.threshold_config.model_copy(update={"method": "conformal"})
    steps = rate_steps(many, conformal, 5.0)
    assert len(steps) == 201
    assert [step.score for step in steps[-100:]] == np.sort(many.scores)[-100:].tolist()


def test_every_family_is_known_in_words():
    assert all(family in family_title(family) for family in FAMILIES)


def test_the_headline(detector, clips):
    entries, _ = clip_entries(detector, clips)
    said, more = headline(entries, failed=1)
    assert said == "2 of 4 recordings sound wrong."
    assert more.startswith(f"The worst is {entries[0].name}: ") and "impacts" in more
    assert more.endswith("1 could not be judged.")
    assert headline(entries[1:3], 0)[0] == "1 of 2 recordings sounds wrong."
    assert headline(entries[2:], 0)[0] == "None of 2 recordings sounds wrong."
    assert headline(entries[:1], 0)[0] == "The recording sounds wrong."
    assert headline(entries[3:], 0) == ("The recording sounds normal.", "")
    unlike = replace(entries[0], verdict="unlike")
    assert "1 was recorded differently" in headline([unlike, *entries[2:]], 0)[1]
    alarm = [replace(entries[0], level="alarm"), replace(entries[2], level="none")]
    assert "1 of them is an alarm." in headline(alarm, 0)[1]
