"""`aad adapt`: what is written, refused, told and taken back."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.detector import Detector
from command_line import Aad
from synthetic_data import SAMPLE_RATE, hum, knock


@pytest.fixture
def own(model: Path, tmp_path: Path) -> Path:
    """A model that may be changed."""
    (tmp_path / "run").mkdir()
    return Path(shutil.copy(model, tmp_path / "run" / "model.pth"))


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Normal clips of a quieter microphone."""
    folder = tmp_path / "new"
    folder.mkdir()
    for seed in range(200, 204):
        soundfile.write(folder / f"take {seed}.wav", 0.4 * hum(seed), SAMPLE_RATE)
    return folder


def test_a_model_is_adapted_in_place_and_says_what_changed(aad: Aad, own: Path, new: Path) -> None:
    result = aad("adapt", own, new)
    assert result.code == 0, result.err
    assert "adapted with 4 normal clips (5 were learned by the fit)" in result.out
    assert "4 were called anomalous before, 0 are now" in result.out
    assert "next: " in result.out
    later = new.parent / "later.wav"
    soundfile.write(later, 0.4 * hum(300), SAMPLE_RATE)
    assert not json.loads(aad("score", own, later, "--json", "-q").out)[0]["is_anomalous"]
    assert aad("info", "--verify", own).code == 0
    adaptations = json.loads(aad("info", own, "--json").out)["adaptations"]
    assert [clip["name"] for clip in adaptations[0]["clips"]] == [
        f"take {seed}.wav" for seed in range(200, 204)
    ]
    assert aad("adapt", own.parent, new, "-q").code == 2  # a run folder; all is known already


def test_undo_restores_the_bytes(aad: Aad, own: Path, new: Path) -> None:
    before = own.read_bytes()
    assert aad("adapt", own, new, "-q").code == 0
    assert own.read_bytes() != before
    undone = aad("adapt", own, "--undo")
    assert undone.code == 0 and "as before the last adaptation" in undone.out
    assert own.read_bytes() == before
    nothing = aad("adapt", own, "--undo")
    assert nothing.code == 2 and "never adapted" in nothing.err
    assert own.read_bytes() == before


def test_another_place_leaves_the_model_alone(aad: Aad, own: Path, new: Path) -> None:
    before, other = own.read_bytes(), own.parent / "other" / "adapted.pth"
    result = aad("adapt", own, *sorted(new.iterdir()), "--out", other, "--json", "-q")
    assert result.code == 0 and own.read_bytes() == before
    facts = json.loads(result.out)
    assert facts["written"] == str(other)
    assert (facts["alarms_before"], facts["alarms_after"]) == (4, 0)
    assert facts["threshold_after"] == Detector.load(other).threshold != facts["threshold_before"]
    back = aad("adapt", other, "--undo", "--json")
    assert json.loads(back.out)["adaptations"] == [] and other.read_bytes() == before


def test_what_looks_faulty_changes_nothing_without_yes(aad: Aad, own: Path, new: Path) -> None:
    soundfile.write(new / "take 9.wav", 0.4 * knock(9), SAMPLE_RATE)
    before = own.read_bytes()
    refused = aad("adapt", own, new)
    assert refused.code == 2 and own.read_bytes() == before
    assert "take 9.wav looks faulty" in refused.err and "nothing was changed" in refused.err
    as_json = aad("adapt", own, new, "--json", "-q")
    assert as_json.code == 2
    facts = json.loads(as_json.out)
    assert facts["written"] is None and list(facts["suspects"]) == ["take 9.wav"]
    assert aad("adapt", own, new, "--yes", "-q").code == 0
    assert own.read_bytes() != before


def test_a_clip_whose_name_says_anomalous_is_asked_about(aad: Aad, own: Path, new: Path) -> None:
    normal, abnormal = new / "normal", new / "abnormal"
    for folder, seed in ((normal, 500), (normal, 501), (abnormal, 502)):
        folder.mkdir(exist_ok=True)
        soundfile.write(folder / f"{seed}.wav", 0.4 * hum(seed), SAMPLE_RATE)
    refused = aad("adapt", own, new, "--layout", "folder")
    assert refused.code == 2 and "502.wav looks faulty: its name says" in refused.err
    assert aad("adapt", own, normal, "-q").code == 0


def test_another_machine_is_asked_about(aad: Aad, own: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "noise").mkdir()
    for clip in range(3):
        noise = 0.1 * rng.standard_normal((8 * SAMPLE_RATE, 2))
        soundfile.write(tmp_path / "noise" / f"{clip}.wav", noise, SAMPLE_RATE)
    before = own.read_bytes()
    refused = aad("adapt", own, tmp_path / "noise")
    assert refused.code == 2 and "is it the machine of this model?" in refused.err
    assert own.read_bytes() == before


def test_clips_that_fail_are_named_and_the_others_used(aad: Aad, own: Path, new: Path) -> None:
    soundfile.write(new / "mono.wav", hum(1, channels=1), SAMPLE_RATE)
    result = aad("adapt", own, new)
    assert result.code == 1 and "mono.wav" in result.err and "fitted on 2" in result.err
    assert "adapted with 4 normal clips" in result.out


def test_adapted_clips_are_no_test_clips(aad: Aad, own: Path, new: Path) -> None:
    assert aad("adapt", own, new, "-q").code == 0
    data = new.rename(new.parent / "normal").parent
    (data / "abnormal").mkdir()
    soundfile.write(data / "abnormal" / "1.wav", knock(1), SAMPLE_RATE)
    refused = aad("evaluate", own, data, "--layout", "folder", "-q")
    assert refused.code == 2 and "was used in training" in refused.err


def test_what_cannot_be_adapted_is_said(aad: Aad, own: Path, new: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08")
    graph = aad("adapt", tmp_path / "model.onnx", new)
    assert graph.code == 2 and "give the model file that it was exported from" in graph.err
    for arguments in ([own], [own, new, "--undo"]):
        neither = aad("adapt", *arguments)
        assert neither.code == 2 and "or --undo" in neither.err
    missing = aad("adapt", own, tmp_path / "missing")
    assert missing.code == 2 and "no such folder or file" in missing.err
    groups = aad("adapt", own, new, "--group", "day")
    assert groups.code == 2 and "no day" in groups.err
    one = aad("adapt", own, new / "take 200.wav")
    assert one.code == 2 and "record at least 2" in one.err
