"""A machine is learned, judged, taught and compared with its first baseline."""

import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.feedback import export
from audio_anomaly_detector.monitor.hearing import Unusable, usable_waveform
from audio_anomaly_detector.monitor.machine import MachineMonitor
from audio_anomaly_detector.monitor.sound import Samples, Window
from audio_anomaly_detector.monitor.verdict import Verdict
from monitored_machines import (
    BEGAN,
    SECONDS,
    SETTINGS,
    hearing,
    humming,
    knocking,
    monitor,
    still,
    windows,
)
from synthetic_data import SAMPLE_RATE

LATER = BEGAN + 600


@pytest.fixture(scope="session")
def learned_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine that was learned, with some time off in between."""
    folder = tmp_path_factory.mktemp("machines") / "pump-3"
    machine = monitor(folder)
    hearing(machine, windows(still, 7, BEGAN))
    hearing(machine, windows(humming, 34, BEGAN + 7 * SECONDS))
    assert machine.version == 1
    return folder


@pytest.fixture
def folder(learned_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(learned_folder, tmp_path / "pump-3")


@pytest.fixture
def machine(folder: Path) -> MachineMonitor:
    return monitor(folder)


def first(machine: MachineMonitor, samples: Samples, rate: int = SAMPLE_RATE) -> Verdict:
    return machine.hear([Window(samples, rate, 0, LATER)])[0]


def test_it_starts_with_nothing_and_says_how_far_it_is(tmp_path: Path) -> None:
    machine = monitor(tmp_path / "pump-3")
    verdicts = hearing(machine, windows(humming, 20, BEGAN))
    assert machine.phase == "learning"
    assert not any(verdict.judged for verdict in verdicts)
    assert "20 of 40 pieces" in machine.notes[0]
    assert "20 of 40" in str(verdicts[-1].reason)


def test_overlapping_windows_are_kept_once(tmp_path: Path) -> None:
    machine = monitor(tmp_path / "pump-3")
    hearing(machine, windows(humming, 20, BEGAN, every=SECONDS / 4))
    assert len(list((tmp_path / "pump-3/normals").iterdir())) == 5


def test_it_judges_once_it_is_learned(machine: MachineMonitor) -> None:
    assert machine.phase == "usable"
    normal = hearing(machine, windows(humming, 10, LATER, 500))
    faulty = hearing(machine, windows(knocking, 5, LATER + 60, 500))
    assert all(verdict.judged and verdict.state == "running" for verdict in normal + faulty)
    assert Counter(verdict.level for verdict in normal)["none"] >= 9
    assert all(verdict.level != "none" for verdict in faulty)
    assert all(str(verdict.reason) == "None" for verdict in faulty)


def test_windows_of_one_call_have_the_scores_of_single_ones(folder: Path) -> None:
    given = [
        *windows(humming, 3, LATER, 500),
        *windows(still, 1, LATER + 12),
        *windows(knocking, 2, LATER + 16),
    ]
    together = monitor(folder).hear(given)
    alone = hearing(monitor(folder), given)
    assert [verdict.at for verdict in together] == [window.at for window in given]
    for one, other in zip(together, alone, strict=True):
        assert one.state == other.state
        assert one.score is None or one.score == pytest.approx(other.score, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_window_has_the_score_of_a_file_of_its_samples(
    folder: Path, tmp_path: Path, rate: int
) -> None:
    samples = soxr.resample(humming(500)[0], SAMPLE_RATE, rate)[None]
    # What resampling takes from the highest band.
    noise = np.random.default_rng(1).standard_normal(samples.shape)
    samples = (samples + 0.01 * noise).astype(np.float32)
    path = tmp_path / "window.wav"
    soundfile.write(path, samples.T, rate, "FLOAT")
    clip = Clip(path, path.name, None, MachineKey("", "", ""))
    detector = Detector.load(folder / "models/0001-running.pth")
    waveform = usable_waveform(Window(samples, rate, 0, LATER), detector.config.audio)
    assert not isinstance(waveform, Unusable)
    of_window = detector.score(waveform).score
    assert of_window == pytest.approx(detector.score_clip(clip).score, abs=1e-6)


def test_off_is_a_state_and_no_fault(machine: MachineMonitor) -> None:
    for verdict in hearing(machine, windows(still, 5, LATER, 700)):
        assert (verdict.state, verdict.judged, verdict.level) == ("off", False, "none")
        assert "off" in str(verdict.reason)


def test_a_start_is_not_judged_and_endless_starts_are(machine: MachineMonitor) -> None:
    half = round(SECONDS * SAMPLE_RATE / 2)

    def starting(seed: int) -> Samples:
        return np.concatenate([still(seed)[:, :half], humming(seed)[:, half:]], axis=1)

    verdicts = hearing(machine, windows(starting, 6, LATER))
    assert [verdict.state for verdict in verdicts] == ["unknown"] * 2 + ["running"] * 4
    assert "starts or stops" in str(verdicts[1].reason)
    assert not any(verdict.judged for verdict in verdicts[:2])
    assert "starts or stops" not in str(verdicts[2].reason)


def clipped(seed: int) -> Samples:
    return np.clip(40 * humming(seed), -0.9, 0.9)


def silent(seed: int) -> Samples:
    return np.zeros((1, round(SECONDS * SAMPLE_RATE)), np.float32)


def hardly_a_sound(seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    return (1e-5 * rng.standard_normal((1, round(SECONDS * SAMPLE_RATE)))).astype(np.float32)


def not_finite(seed: int) -> Samples:
    sound = humming(seed).copy()
    sound[0, 1000] = np.nan
    return sound


@pytest.mark.parametrize(
    "make, words",
    [
        (clipped, "largest value"),
        (silent, "silent"),
        (hardly_a_sound, "hardly any sound"),
        (not_finite, "nan"),
    ],
)
def test_faults_of_the_source_are_none_of_the_machine(
    tmp_path: Path, machine: MachineMonitor, make: type, words: str
) -> None:
    """Neither judged nor learned from, and said."""
    verdict = first(machine, make(0))
    assert (verdict.judged, verdict.level) == (False, "none")
    assert words in str(verdict.reason)
    learning = monitor(tmp_path / "other")
    hearing(learning, windows(make, 3, BEGAN))
    assert not (tmp_path / "other/normals").exists()
    assert any("not learned from: 3" in note for note in learning.notes)


@pytest.mark.parametrize("samples, rate", [(humming(0).repeat(2, 0), 16_000), (humming(0), 8000)])
def test_another_format_is_not_judged(machine: MachineMonitor, samples: Samples, rate: int) -> None:
    verdict = first(machine, samples, rate)
    assert not verdict.judged
    assert "was learned with 1 channel(s) up to 8000 Hz" in str(verdict.reason)


def test_a_recording_that_is_played_again_and_again_is_too_little_variety(tmp_path: Path) -> None:
    machine = monitor(tmp_path / "pump-3")
    hearing(machine, windows(lambda seed: humming(seed % 5), 41, BEGAN))
    assert machine.phase == "learning"
    assert any("too little variety" in note for note in machine.notes)
    assert any("35 that repeat others exactly" in note for note in machine.notes)


def test_it_goes_on_where_it_was_after_a_restart(folder: Path) -> None:
    before = monitor(folder)
    hearing(before, windows(humming, 3, LATER, 500))
    after = monitor(folder)
    assert (after.phase, after.version, after.notes) == (before.phase, before.version, before.notes)
    window = next(windows(humming, 1, LATER + 60, 600))
    assert after.hear([window]) == before.hear([window])


def test_more_hours_make_finer_versions_until_the_period_is_over(folder: Path) -> None:
    machine = monitor(folder, settings=SETTINGS.model_copy(update={"learning_hours": 2.0}))
    phases = [(machine.version, machine.phase)]
    for hour in (1, 2, 3):
        hearing(machine, windows(humming, 3, BEGAN + 3600 * hour, 100 * hour, every=400))
        phases.append((machine.version, machine.phase))
    assert phases == [(1, "usable"), (2, "usable"), (3, "full"), (3, "full")]
    content = json.loads((folder / "models/current.json").read_text())
    assert content == {"current": 3, "baseline": 3}
    kept = len(list((folder / "normals").iterdir()))
    hearing(machine, windows(humming, 3, BEGAN + 10 * 3600, 900, every=400))
    assert len(list((folder / "normals").iterdir())) == kept  # nothing more is learned


def test_a_new_way_of_running_is_learned_in_the_learning_period(machine: MachineMonitor) -> None:
    verdicts = hearing(machine, windows(knocking, 40, LATER, every=64))
    assert all(verdict.level != "none" for verdict in verdicts[:30])
    hearing(machine, windows(knocking, 1, LATER + 40 * 64, 800))
    assert machine.version == 2
    assert hearing(machine, windows(knocking, 1, LATER + 3000, 900))[0].level == "none"


def test_why(machine: MachineMonitor) -> None:
    (window,) = windows(knocking, 1, LATER)
    verdict = machine.hear([window])[0]
    explanation = machine.explain(window, verdict)
    assert explanation.score.score == pytest.approx(verdict.score)
    assert explanation.findings
    (off,) = windows(still, 1, LATER)
    with pytest.raises(UserError, match="was not judged"):
        machine.explain(off, machine.hear([off])[0])


def test_what_was_called_normal_is_and_can_be_undone(machine: MachineMonitor) -> None:
    event = list(windows(knocking, 5, LATER, 300))
    other = list(windows(knocking, 5, LATER + 60, 400))
    before = [verdict.score for verdict in machine.hear(other)]
    (said, baseline) = machine.normal(event, try_only=True)
    assert machine.version == 1
    assert "5 window(s) join" in said
    assert "first baseline" in baseline
    assert machine.normal(event) == (said, baseline)
    assert machine.version == 2
    after = [verdict.score for verdict in machine.hear(other)]
    assert all(new < 0.6 * old for new, old in zip(after, before, strict=True))
    assert machine.undo()[0].startswith("back to version 1")
    assert [verdict.score for verdict in machine.hear(other)] == pytest.approx(before)
    with pytest.raises(UserError, match="nothing to undo"):
        machine.undo()


def test_feedback_is_bounded(machine: MachineMonitor) -> None:
    for number in range(10):
        machine.normal(list(windows(knocking, 1, LATER + 60 * number, 300 + number)))
    with pytest.raises(UserError, match="learn the machine anew"):
        machine.normal(list(windows(knocking, 1, LATER + 6000, 999)))
    for _ in range(10):
        machine.undo()
    assert machine.version == 1


def test_a_slow_fault_cannot_be_taught_away_unseen(machine: MachineMonitor, folder: Path) -> None:
    event = list(windows(knocking, 5, LATER, 300))
    machine.normal(event)
    assert json.loads((folder / "models/current.json").read_text()) == {
        "current": 2,
        "baseline": 1,
    }
    baseline = Detector.load(folder / "models/0001-running.pth")
    assert baseline.score(event[0].samples).is_anomalous


def test_without_usable_sound_nothing_is_taught(machine: MachineMonitor) -> None:
    with pytest.raises(UserError, match="no sound that was judged"):
        machine.normal(list(windows(silent, 2, LATER)))


def test_a_fault_is_not_learned_from_and_can_be_exported(
    machine: MachineMonitor, folder: Path, tmp_path: Path
) -> None:
    """Also one that was taken for normal."""
    learned = list(windows(humming, 2, BEGAN + 10 * SECONDS, 10))
    said = machine.fault(learned)
    assert "2 window(s) are kept as examples" in said[0]
    assert "deleted" in said[1]
    hearing(machine, windows(humming, 1, LATER))
    hearing(machine, windows(humming, 1, LATER + 4))
    assert machine.version == 2
    normals, faults = export(folder, tmp_path / "out")
    assert faults == 2
    assert len(list((tmp_path / "out/abnormal").iterdir())) == 2
    names = {path.name for path in (tmp_path / "out/normal").iterdir()}
    assert len(names) == normals
    assert not names & {path.name for path in (tmp_path / "out/abnormal").iterdir()}


def test_after_maintenance_the_earlier_model_serves_until_the_new_one_has_passed(
    machine: MachineMonitor, folder: Path
) -> None:
    said = machine.maintained()
    assert "are deleted" in said[0]
    verdicts = hearing(machine, windows(knocking, 39, LATER))
    assert all(verdict.judged for verdict in verdicts)
    assert "judged by the earlier model until then" in machine.notes[0]
    hearing(machine, windows(knocking, 3, LATER + 200, 800))
    assert machine.version == 2
    assert json.loads((folder / "models/current.json").read_text())["baseline"] == 2
    machine.roll_back(1)
    assert hearing(machine, windows(humming, 1, LATER + 300))[0].level == "none"


def test_a_gain_is_named(machine: MachineMonitor) -> None:
    def louder(seed: int) -> Samples:
        return 2 * humming(seed)

    hearing(machine, windows(louder, 6, LATER, 500, every=300))
    (notice,) = machine.notices
    assert notice.kind == "gain"
    assert re.search(r"(5\.[89]|6\.[0-3]) dB louder", notice.words)


def test_a_full_disk_is_said_and_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise UserError("the disk is full")

    monkeypatch.setattr("audio_anomaly_detector.monitor.normals.write_bytes", full)
    monkeypatch.setattr("audio_anomaly_detector.monitor.learner.write_json", full)
    machine = monitor(tmp_path / "pump-3")
    hearing(machine, windows(humming, 3, BEGAN))
    assert any("the disk is full" in note for note in machine.notes)


@pytest.mark.parametrize("name", ["learning.json", "drift.json", "models/current.json"])
def test_a_damaged_state_is_refused_with_the_remedy(folder: Path, name: str) -> None:
    (folder / name).write_text("{")
    with pytest.raises(UserError, match="delete it"):
        monitor(folder)


def test_settings_that_contradict_one_another_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="audio"):
        monitor(tmp_path, settings=SETTINGS.model_copy(update={"overrides": ("audio.what=1",)}))


def test_a_verdict_shows_its_score_over_the_threshold(machine: MachineMonitor) -> None:
    (verdict,) = hearing(machine, windows(knocking, 1, LATER))
    assert verdict.ratio is not None
    assert verdict.ratio > 1
    assert replace(verdict, score=None).ratio is None
