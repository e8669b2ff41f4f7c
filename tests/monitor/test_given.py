"""A machine that is judged by a model that somebody fitted."""

import json
import pickle
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.model_container import pack
from audio_anomaly_detector.model_file import read_model_file
from audio_anomaly_detector.monitor.machine import MachineMonitor
from audio_anomaly_detector.monitor.machine_config import MachineConfig
from audio_anomaly_detector.monitor.sound import Samples, Window
from audio_anomaly_detector.monitor.status import read_status
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
from synthetic_data import SAMPLE_RATE, hum
from watched_plant import run, watched_plant, write_recording

LATER = BEGAN + 600
# Other than those of machines without a model: half the rate, a third of the window.
OVERRIDES = (
    "audio.sample_rate=8000",
    "audio.length=32000",
    *SETTINGS.overrides[1:],
    "scoring.threshold.method=value",
    "scoring.threshold.value=99",
)


def both(seed: int) -> Samples:
    """Two microphones, ``(2, T)``."""
    return hum(seed, 2, SECONDS).T


def fitted(folder: Path, make: Any, overrides: Sequence[str] = OVERRIDES) -> Detector:
    folder.mkdir(exist_ok=True)
    clips = []
    for seed in range(24):
        path = folder / f"{seed}.wav"
        soundfile.write(path, make(seed).T, SAMPLE_RATE, "PCM_24")
        machine = MachineKey("6_dB", "pump", "id_00")
        clips.append(Clip(path, path.name, 0, machine, group=f"take={seed}"))
    return Detector.fit(clips, load_config("instant", overrides=overrides), device="cpu").detector


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of a machine, of the same that now knocks, and of two kinds of microphones."""
    folder = tmp_path_factory.mktemp("models")
    fitted(folder / "hum", humming).save(folder / "model.pth")
    fitted(folder / "knock", knocking).save(folder / "knocking.pth")
    fitted(folder / "both", both).save(folder / "both.pth")
    right = fitted(folder / "right", both, (*OVERRIDES, "audio.channels=1"))
    right.save(folder / "right.pth")
    return folder


@pytest.fixture
def model(models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(models / "model.pth", tmp_path / "model.pth"))


def given(folder: Path, model: Path | None, **settings: Any) -> MachineMonitor:
    """A machine that is judged by a model; learned anew it is after 40 pieces, and for 4 hours."""
    period = {"usable_minutes": 40 * SECONDS / 60, "learning_hours": 4.0, "kept_windows": 80}
    return monitor(folder, settings=MachineConfig(model=model, **period, **settings))


def versions(folder: Path) -> dict[str, int]:
    return dict(json.loads((folder / "models/current.json").read_text()))


def test_it_judges_from_the_first_window_on_and_learns_nothing(tmp_path: Path, model: Path) -> None:
    machine = given(tmp_path / "pump-3", model)
    assert (machine.phase, machine.version, machine.window_seconds) == ("full", 1, SECONDS)
    normal = hearing(machine, windows(humming, 50, LATER, 500))
    faulty = hearing(machine, windows(knocking, 5, LATER + 300, 500))
    assert all(verdict.state == "running" and not verdict.tentative for verdict in normal + faulty)
    assert Counter(verdict.level for verdict in normal)["none"] >= 47
    assert all(verdict.level != "none" for verdict in faulty)
    assert not (tmp_path / "pump-3/normals").exists()
    assert machine.version == 1
    (said, *_) = machine.notes
    assert said == (
        f"given as {model}: 6_dB/pump/id_00, learned from 24 clips by version "
        f"{Detector.load(model).provenance.version}; 1 microphone(s) at 8000 Hz, windows of 4 s"
    )
    assert not any("learning" in note for note in machine.notes)


def test_a_window_has_the_score_of_the_model(tmp_path: Path, model: Path) -> None:
    samples = knocking(7)
    path = tmp_path / "window.wav"
    soundfile.write(path, samples.T, SAMPLE_RATE, "FLOAT")
    of_clip = Detector.load(model).score_clip(Clip(path, path.name, None, MachineKey("", "", "")))
    (verdict,) = given(tmp_path / "pump-3", model).hear([Window(samples, SAMPLE_RATE, 0, LATER)])
    assert verdict.score == pytest.approx(of_clip.score, abs=1e-6)


def test_thresholds_are_those_of_a_watch_and_follow_the_plant_file(
    tmp_path: Path, model: Path
) -> None:
    detector = Detector.load(model)
    assert detector.threshold == 99
    thresholds = []
    for rate in (0.02, 0.3):
        machine = given(tmp_path / "pump-3", model, warning_rate=rate)
        (verdict,) = hearing(machine, windows(knocking, 1, LATER))
        decided = machine.settings.detector_config(detector.config.model_dump())
        expected = detector.with_threshold(decided.scoring.threshold).score_waveforms(
            [np.zeros((1, 32000)) + 0.1 * np.sin(np.arange(32000))]
        )[0]
        assert verdict.threshold == pytest.approx(expected.threshold)
        assert verdict.alarm_threshold == pytest.approx(expected.alarm_threshold)
        assert decided.scoring.threshold.false_alarm_rate == rate
        thresholds.append(verdict.threshold)
    assert thresholds[1] < thresholds[0]
    assert machine.version == 1


def test_without_normals_it_counts_as_running(tmp_path: Path, model: Path) -> None:
    half = round(SECONDS * SAMPLE_RATE / 2)

    def starting(seed: int) -> Samples:
        return np.concatenate([still(seed)[:, :half], humming(seed)[:, half:]], axis=1)

    machine = given(tmp_path / "pump-3", model)
    for make in (still, starting):
        (verdict,) = hearing(machine, windows(make, 1, LATER))
        assert verdict.state == "running"


def test_sound_that_is_recorded_otherwise_is_not_judged(tmp_path: Path, model: Path) -> None:
    def louder(seed: int) -> Samples:
        return 2 * humming(seed)

    machine = given(tmp_path / "pump-3", model)
    verdicts = hearing(machine, windows(louder, 6, LATER, 500, every=300))
    assert (verdicts[0].judged, verdicts[0].level) == (False, "none")
    assert "dB louder than normal clips" in str(verdicts[0].reason)
    (notice,) = machine.notices  # slow changes are looked for
    assert notice.kind == "gain"


def test_why(tmp_path: Path, model: Path) -> None:
    machine = given(tmp_path / "pump-3", model)
    (window,) = windows(knocking, 1, LATER)
    assert machine.explain(window, machine.hear([window])[0]).findings


def test_it_goes_on_without_the_file(tmp_path: Path, model: Path) -> None:
    before = given(tmp_path / "pump-3", model)
    (window,) = windows(humming, 1, LATER, 500)
    verdicts = before.hear([window])
    model.unlink()
    after = given(tmp_path / "pump-3", model)
    assert after.hear([window]) == verdicts
    assert after.notes[:-1] == before.notes
    assert after.notes[-1].startswith(
        "the model that the plant file names cannot be used, and version 1 goes on: "
    )
    assert "no such model file" in after.notes[-1]
    model.write_bytes(b"damaged")
    assert "it is not a container" in given(tmp_path / "pump-3", model).notes[-1]


def test_another_file_is_another_version_and_the_same_is_none(
    tmp_path: Path, model: Path, models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "pump-3"
    given(folder, model)
    copy = Path(shutil.copy(model, tmp_path / "copy.pth"))
    assert given(folder, copy).version == 1
    with caplog.at_level("INFO"):
        machine = given(folder, models / "knocking.pth")
    assert "pump-3: version 2 of its model is given as" in caplog.text
    assert "in use instead of version 1" in machine.notes[0]
    assert versions(folder) == {"current": 2, "baseline": 2}
    assert hearing(machine, windows(knocking, 1, LATER, 500))[0].level == "none"
    machine.roll_back(1)
    assert hearing(machine, windows(knocking, 1, LATER, 500))[0].level != "none"
    again = given(folder, models / "knocking.pth")  # what somebody chose stays
    assert (again.version, again.phase) == (1, "full")


def test_back_to_a_model_of_another_number_of_channels(
    tmp_path: Path, model: Path, models: Path
) -> None:
    folder = tmp_path / "pump-3"
    given(folder, model)
    machine = given(folder, models / "both.pth")
    assert hearing(machine, windows(both, 1, LATER, 500))[0].judged
    machine.roll_back(1)
    for one in (machine, given(folder, models / "both.pth")):
        (verdict,) = hearing(one, windows(humming, 1, LATER, 500))
        assert (verdict.judged, verdict.level) == (True, "none")
        assert one.notices == []


def test_feedback_of_a_given_model(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "pump-3"
    machine = given(folder, model)
    event = list(windows(knocking, 5, LATER, 300))
    before = [verdict.score for verdict in machine.hear(event)]
    assert "5 window(s) join" in machine.normal(event)[0]
    assert versions(folder) == {"current": 2, "baseline": 1}
    machine = given(folder, model)  # the file is the same, the feedback newer
    assert machine.version == 2
    assert machine.notes[0].startswith("given as")
    assert all(
        float(now.score or 0) < float(then or 0)
        for now, then in zip(machine.hear(event), before, strict=True)
    )
    assert machine.undo()[0].startswith("back to version 1")
    with pytest.raises(UserError, match="nothing to undo"):
        machine.undo()
    machine.roll_back(2)
    assert machine.version == 2
    assert len(machine.fault(event)) == 1
    assert len(list((folder / "faults").iterdir())) == 5


def test_after_maintenance_it_is_learned_with_the_settings_of_the_model(
    tmp_path: Path, model: Path
) -> None:
    folder = tmp_path / "pump-3"
    machine = given(folder, model)
    assert "a learning period begins" in machine.maintained()[0]
    verdicts = hearing(machine, windows(knocking, 39, LATER, 800))
    assert all(verdict.judged for verdict in verdicts)
    assert "39 of 40 pieces" in machine.notes[0]
    assert "judged by the earlier model" in machine.notes[0]
    hearing(machine, windows(knocking, 3, LATER + 200, 850))
    assert (machine.version, machine.phase) == (2, "usable")
    assert hearing(machine, windows(knocking, 1, LATER + 300, 900))[0].level == "none"
    learned = Detector.load(folder / "models/0002-running.pth").config
    assert (learned.audio.sample_rate, learned.audio.length) == (8000, 32000)
    assert learned.scoring.families == Detector.load(model).config.scoring.families
    assert learned.scoring.threshold.false_alarm_rate == machine.settings.warning_rate
    for settings in (model, None):  # also without the line
        assert given(folder, settings).version == 2
        assert given(folder, settings).window_seconds == SECONDS
    assert any("names no model any more" in note for note in given(folder, None).notes)
    assert not any("names no model" in note for note in given(folder, model).notes)


def test_a_machine_that_was_learned_gets_a_model(tmp_path: Path, model: Path) -> None:
    folder = tmp_path / "pump-3"
    learned = list(windows(humming, 41, BEGAN))
    assert hearing(monitor(folder), learned)
    kept = len(list((folder / "normals").iterdir()))
    machine = given(folder, model)
    assert (machine.version, machine.phase) == (2, "full")
    # No fit is made of what was kept before.
    assert len(machine.fault(learned[:2])) == 1
    hearing(machine, windows(humming, 3, LATER, 500))
    assert machine.version == 2
    assert len(list((folder / "normals").iterdir())) == kept


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("both.pth", humming, "heard with 1 channel(s) up to 4000 Hz, and was learned with 2 "
         "channel(s) up to 4000 Hz; set the source so, or learn it anew"),
        ("model.pth", both, "heard with 2 channel(s) up to 4000 Hz, and was learned with 1 "),
        ("right.pth", humming, "the source brings 1 channel(s), numbered from 0, and channel 1 is "
         "listened to; have it bring that one"),
    ],
)  # fmt: skip
def test_other_channels_than_the_source_brings(
    tmp_path: Path, models: Path, name: str, make: Any, says: str
) -> None:
    for _ in range(2):  # also after a restart
        machine = given(tmp_path / "pump-3", models / name)
        (verdict,) = hearing(machine, windows(make, 1, LATER))
        assert not verdict.judged
        assert says in str(verdict.reason)


def test_one_microphone_of_two_is_judged_and_learned(tmp_path: Path, models: Path) -> None:
    machine = given(tmp_path / "pump-3", models / "right.pth")
    (verdict,) = hearing(machine, windows(both, 1, LATER, 500))
    assert (verdict.judged, verdict.level) == (True, "none")
    machine.maintained()
    hearing(machine, windows(both, 42, LATER, 800))
    assert machine.version == 2
    assert hearing(machine, windows(both, 1, LATER + 300, 500))[0].level == "none"


def test_one_microphone_of_two_is_learned_without_a_model(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"channels": 1})
    machine = monitor(tmp_path / "pump-3", settings=settings)
    hearing(machine, windows(both, 42, BEGAN))
    assert machine.version == 1


def test_recordings_in_physical_units_are_scaled_once(tmp_path: Path, models: Path) -> None:
    content = read_model_file(models / "model.pth")
    config = json.loads(content["config"])
    config["audio"]["scale"] = 0.125
    scaled = tmp_path / "scaled.pth"
    scaled.write_bytes(pack({**content, "config": json.dumps(config)}))
    given_window, *_ = windows(humming, 1, LATER, 500)
    in_units = Window(8 * given_window.samples, SAMPLE_RATE, 0, LATER)
    (plain,) = given(tmp_path / "plain", models / "model.pth").hear([given_window])
    (of_units,) = given(tmp_path / "scaled", scaled).hear([in_units])
    assert of_units.score == pytest.approx(plain.score, abs=1e-6)


def later_format(path: Path) -> None:
    path.write_bytes(pack({**read_model_file(path), "format": 99, "version": "9.0"}))


def a_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Bomb()))


def a_pool(path: Path) -> None:
    path.write_bytes(pack({**read_model_file(path), "held_out": 1}))


def several(path: Path) -> None:
    path.rename(path.with_name("best_fan_id_00.pth"))
    shutil.copy(path.with_name("best_fan_id_00.pth"), path.with_name("best_fan_id_02.pth"))


def damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was read",)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("model.pth", Path.unlink, "no such model file (No such file or directory); 'aad fit' "
         "makes one, or remove `model`"),
        ("model.pth", lambda path: path.write_text("no model"), "not a model file of this program"),
        ("model.pth", damaged, "or damaged"),
        ("model.pth", a_pickle, "not a model file of this program"),
        ("model.pth", later_format, "written by version 9.0 in format 99"),
        ("model.pth", a_pool, "holds the prior of a pool, no detector; give a best_*.pth"),
        ("", several, "holds several models (best_fan_id_00.pth, best_fan_id_02.pth); name one"),
        ("", Path.unlink, "no model in this folder"),
        ("model.onnx", lambda path: path.with_suffix(".onnx").write_bytes(b"\x08\x0a"),
         "an exported graph, which can score and nothing else; give the model file"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_the_remedy(
    tmp_path: Path, models: Path, name: str, change: Any, says: str
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    change(Path(shutil.copy(models / "model.pth", run / "model.pth")))
    with pytest.raises(UserError) as raised:
        given(tmp_path / "pump-3", run / name)
    assert says in str(raised.value)
    assert str(run) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_run_folder_is_its_model(tmp_path: Path, model: Path) -> None:
    assert given(tmp_path / "pump-3", model.parent).version == 1


def test_a_model_of_a_pool_is_learned_anew_alone(tmp_path: Path, models: Path) -> None:
    detector = Detector.load(models / "model.pth")
    pooled = replace(detector, config=detector.config.model_copy(update={"pool": "all"}))
    pooled.save(tmp_path / "pooled.pth")
    machine = given(tmp_path / "pump-3", tmp_path / "pooled.pth")
    machine.maintained()
    hearing(machine, windows(humming, 42, LATER, 800))
    assert machine.version == 2


@pytest.mark.parametrize("name", ["format-4-8khz.pth", "format-5-networks.pth"])
def test_models_of_earlier_versions(tmp_path: Path, name: str) -> None:
    file = Path(__file__).parents[1] / "formats" / name
    detector = Detector.load(file)
    machine = given(tmp_path / "pump-3", file)
    channels = detector.microphones
    sound = hum(1, channels, machine.window_seconds).T
    (verdict,) = machine.hear([Window(sound, SAMPLE_RATE, 0, LATER)])
    assert verdict.score is not None
    assert given(tmp_path / "pump-3", file).version == 1


PLANT = f"""
sources:
  recorder: {{file: FOLDER/pump.wav}}
machines:
  pump-3: {{source: recorder, hop_seconds: {SECONDS}, model: models/model.pth}}
  pump-4: {{source: recorder, hop_seconds: {SECONDS}, model: models/both.pth}}
  pump-5: {{source: recorder, hop_seconds: {SECONDS}, model: models/none.pth}}
alerts: {{cooldown: 0, surroundings: 0, warning_after: 60}}
"""


def test_a_watch_tells_by_it_and_goes_on_with_the_others(tmp_path: Path, models: Path) -> None:
    text = PLANT.replace("FOLDER", str(tmp_path))
    plant = watched_plant(tmp_path, ["hum"] * 12 + ["knock"] * 48, text)
    shutil.copytree(models, tmp_path / "models")
    told = run(plant)
    missing, *others = told
    assert (missing.name, missing.kind) == ("pump-5", "damaged")
    assert f"it is not watched: {tmp_path}/models/none.pth: no such model" in missing.words[0]
    assert {(event.name, event.kind) for event in others} == {("pump-3", "sound")}
    # No notice for good, as of a machine that is still being learned.
    assert [event.level for event in others] == ["notice", "warning"]
    assert others[0].words
    kept = tmp_path / "aad-data/events" / str(others[0].folder)
    # As much as its windows need: from before the event on.
    assert json.loads((kept / "event.json").read_text())["sound_at"] < others[0].started
    status = read_status(tmp_path / "aad-data")
    first, second, third = status.machines
    assert (first.phase, first.model) == ("full", 1)
    assert first.notes[0].startswith(f"given as {tmp_path}/models/model.pth: ")
    assert second.phase == "full"
    assert "heard with 1 channel(s)" in str(second.reason)
    assert third.phase == "damaged"
    shutil.copy(models / "model.pth", tmp_path / "models/none.pth")
    write_recording(tmp_path / "pump.wav", ["hum"] * 3)
    assert [(event.name, event.phase) for event in run(plant) if event.kind == "damaged"] == [
        ("pump-5", "end")
    ]
