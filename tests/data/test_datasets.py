from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio_anomaly_detector.data.audio import AudioConfig
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.datasets import (
    check_enough,
    cut_few_recordings,
    cut_long_recordings,
    prepare_datasets,
    sound_seconds,
)
from audio_anomaly_detector.errors import UserError

CONFIG = AudioConfig(sample_rate=2000, length=4000)  # windows of 2 s


def make(path: Path, seconds: float, label: int = 0, rate: int = 1000) -> Clip:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 50 * time), rate)
    return Clip(path, path.name, label, MachineKey("c", "m", "i"))


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(frames=st.integers(0, 20_000))
def test_long_recordings_become_consecutive_windows(tmp_path, frames):
    clip = make(tmp_path / "a.wav", frames / 1000)
    cuts = cut_long_recordings([clip], CONFIG)
    if frames < 4000:
        assert cuts == [clip]
    else:
        assert [cut.start for cut in cuts] == [2.0 * i for i in range(frames // 2000)]
        assert {cut.duration for cut in cuts} == {2.0}
        assert len({cut.name for cut in cuts}) == len(cuts)


def test_cuts_start_where_their_clip_starts_and_bad_files_stay_for_the_reader(tmp_path):
    clip = make(tmp_path / "a.wav", 20)
    names = [cut.name for cut in cut_long_recordings([clip.cut(5, 4)], CONFIG)]
    assert names == ["a.wav#t=5,7", "a.wav#t=7,9"]
    missing = Clip(tmp_path / "x.wav", "x.wav", 0, clip.machine)
    assert cut_long_recordings([missing], CONFIG) == [missing]
    assert sound_seconds([clip, clip.cut(5, 4), clip.cut(18, None), missing]) == 26


def test_only_few_recordings_are_cut(tmp_path):
    normals = [make(tmp_path / f"{i}.wav", 10) for i in range(4)]
    anomaly = make(tmp_path / "x.wav", 10, label=1)
    assert cut_few_recordings([*normals, anomaly], CONFIG) == [*normals, anomaly]
    cuts = cut_few_recordings([*normals[:3], anomaly], CONFIG)
    assert [sum(cut.label == label for cut in cuts) for label in (0, 1)] == [15, 5]


@pytest.mark.parametrize(
    ("count", "seconds", "enough"), [(4, 40.0, True), (3, 400.0, False), (9, 39.9, False)]
)
def test_enough(tmp_path, count, seconds, enough):
    clips = [Clip(tmp_path, str(i), 0, MachineKey("c", "m", "i")) for i in range(count)]
    if enough:
        check_enough(clips, seconds)
    else:
        with pytest.raises(UserError, match=r"too little normal sound of c/m/i .*at least 4 clips"):
            check_enough(clips, seconds)


def test_no_normals_at_all():
    with pytest.raises(UserError, match=r"to learn from: 0 clip\(s\), 0 s; record at least"):
        check_enough([], 0.0)


def test_prepare_datasets_splits_one_machine(tmp_path):
    for machine_id in ("id_00", "id_02"):
        for i in range(10):
            make(tmp_path / f"fan/{machine_id}/normal/{i}.wav", 10)
        for i in range(3):
            make(tmp_path / f"fan/{machine_id}/abnormal/{i}.wav", 10)
    prepared = prepare_datasets(tmp_path / "fan", "id_02", 160_000, channels=0)
    assert prepared.config == AudioConfig(length=160_000, channels=0)
    assert len(prepared.train) == 7
    assert [clip.label for clip in prepared.test] == [1, 1, 1, 0, 0, 0]
    assert {clip.machine.machine_id for clip in prepared.train + prepared.test} == {"id_02"}
    assert prepare_datasets(tmp_path / "fan", "id_02", seed=1).train != prepared.train
    with pytest.raises(UserError, match="there are id_00, id_02"):
        prepare_datasets(tmp_path / "fan", "id_01")


def test_one_long_recording_is_enough(tmp_path):
    make(tmp_path / "press/normal.wav", 1200)
    make(tmp_path / "press/abnormal/a.wav", 100)
    prepared = prepare_datasets(tmp_path / "press")
    assert len(prepared.train) == 110
    assert sorted(clip.label or 0 for clip in prepared.test) == [0] * 10 + [1] * 10
    assert len(prepare_datasets(tmp_path / "press/normal.wav").train) == 120


def test_too_little_is_refused(tmp_path):
    for i in range(3):
        make(tmp_path / f"{i}.wav", 19)
    with pytest.raises(UserError, match=r"too little normal sound .* 3 clip\(s\), 57 s"):
        prepare_datasets(tmp_path)
