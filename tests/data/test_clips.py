from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio_anomaly_detector.data.clips import (
    Clip,
    MachineKey,
    cross_folds,
    independent_groups,
    split_clips,
)
from audio_anomaly_detector.errors import UserError

KEY = MachineKey("0_dB_fan", "fan", "id_00")


def clip(name: str, label: int | None = 0) -> Clip:
    return Clip(Path("/data") / name, name, label, KEY)


def clips_of(normals: int, anomalies: int = 0) -> list[Clip]:
    return [clip(f"normal/{i:03}.wav") for i in range(normals)] + [
        clip(f"abnormal/{i:03}.wav", 1) for i in range(anomalies)
    ]


def cuts_of(recordings: list[int]) -> list[Clip]:
    return [
        clip(f"normal/{r:03}.wav").cut(10.0 * i, 10.0)
        for r, n in enumerate(recordings)
        for i in range(n)
    ]


def test_a_cut_is_named_by_its_times_and_cuts_of_cuts_stay_absolute():
    cut = clip("a.wav").cut(20.0, 10.0)
    assert (cut.name, cut.start, cut.duration) == ("a.wav#t=20,30", 20.0, 10.0)
    assert cut.cut(22.5, None).name == "a.wav#t=22.5,"
    assert clip("a.wav").cut(12345.678, 1.0).name == "a.wav#t=12345.678,12346.678"


@given(
    normals=st.integers(0, 40),
    anomalies=st.integers(0, 40),
    seed=st.integers(0, 5),
    order=st.randoms(use_true_random=False),
)
def test_split_has_the_documented_sizes_and_ignores_order(normals, anomalies, seed, order):
    clips = clips_of(normals, anomalies)
    split = split_clips(clips, seed)
    n_test = min(anomalies, normals // 2)
    assert len(split.train) == normals - n_test
    assert all(c.label == 0 for c in split.train)
    assert sum(c.label == 0 for c in split.test) == n_test
    assert sum(c.label == 1 for c in split.test) == anomalies
    assert sorted(c.name for c in split.train + split.test) == sorted(c.name for c in clips)
    order.shuffle(clips)
    assert split_clips(clips, seed) == split


def test_the_seed_chooses_the_test_normals():
    clips = clips_of(20, 10)
    assert len({tuple(split_clips(clips, seed).train) for seed in range(5)}) == 5


def test_test_normals_of_one_recording_are_its_end_not_scattered_cuts():
    clips = cuts_of([40])
    split = split_clips([*clips, *clips_of(0, 10)], seed=3)
    starts = [c.start for c in split.test if c.label == 0]
    assert sorted(starts) == [10.0 * i for i in range(30, 40)]


def test_the_split_of_the_layout_wins_and_keeps_anomalies_out_of_training():
    clips = [
        replace(clip("train/a"), split="train"),
        replace(clip("train/b", 1), split="train"),
        replace(clip("test/a"), split="test"),
        replace(clip("test/b", None), split="test"),
    ]
    split = split_clips(clips, 0)
    assert [c.name for c in split.train] == ["train/a"]
    assert [c.name for c in split.test] == ["test/a", "test/b"]
    with pytest.raises(UserError, match=r"1 of 3 clips have no split \(such as x\)"):
        split_clips([*clips[:2], clip("x")], 0)


def test_clips_without_a_label_never_train():
    split = split_clips([*clips_of(6), clip("unknown.wav", None)], 0)
    assert [c.name for c in split.test] == ["unknown.wav"]
    assert len(split.train) == 6


@given(
    recordings=st.lists(st.integers(1, 12), min_size=1, max_size=12).filter(lambda r: sum(r) > 1),
    n_folds=st.integers(2, 8),
    seed=st.integers(0, 5),
    order=st.randoms(use_true_random=False),
)
def test_folds_hold_out_each_clip_once_and_keep_recordings_together(
    recordings, n_folds, seed, order
):
    clips = cuts_of(recordings)
    folds = cross_folds(clips, n_folds, seed)
    one = sum(recordings) - max(recordings) < 2
    assert len(folds) <= min(n_folds, len(clips))
    assert one or len(folds) == min(n_folds, len(recordings))
    assert sorted(i for fold in folds for i in fold.held_out) == list(range(len(clips)))
    for fold in folds:
        assert fold.held_out
        rest = [i for i in range(len(clips)) if i not in set(fold.held_out)]
        assert set(fold.fit) <= set(rest) and len(rest) - len(fold.fit) <= 2 * one
        held = {clips[i].path for i in fold.held_out}
        assert one or not held & {clips[i].path for i in fold.fit}
    # The same clips in another order give the same folds.
    shuffled = list(clips)
    order.shuffle(shuffled)
    again = cross_folds(shuffled, n_folds, seed)
    assert [{clips[i].name for i in f.held_out} for f in folds] == [
        {shuffled[i].name for i in f.held_out} for f in again
    ]


@given(cuts=st.integers(2, 60), n_folds=st.integers(2, 8))
def test_folds_of_one_recording_are_runs_of_equal_length(cuts, n_folds):
    folds = cross_folds(cuts_of([cuts]), n_folds, seed=1)
    sizes = [len(fold.held_out) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    for fold in folds:
        assert fold.held_out == list(range(fold.held_out[0], fold.held_out[-1] + 1))


def test_cuts_beside_a_run_of_one_recording_are_not_fitted_on():
    folds = cross_folds(cuts_of([40]), 10, seed=0)
    assert sorted(fold.held_out[0] for fold in folds) == [4 * i for i in range(10)]
    for fold in folds:
        assert {fold.held_out[0] - 1, fold.held_out[-1] + 1}.isdisjoint(fold.fit)
    for fold in cross_folds(cuts_of([40]), 10, seed=0, alike=3):
        assert min(abs(i - j) for i in fold.fit for j in fold.held_out) == 4
    # No more than can be spared.
    assert all(len(fold.fit) >= 20 for fold in cross_folds(cuts_of([40]), 10, seed=0, alike=30))


def test_clips_of_one_group_are_independent_of_others_only():
    clips = [replace(clip(f"{i}.wav"), group="ab"[i % 2] if i < 4 else "") for i in range(6)]
    groups = independent_groups(clips)
    assert groups[0] == groups[2] and groups[1] == groups[3] and len(set(groups)) == 4
    assert len(set(independent_groups(cuts_of([30])))) == 10


def test_folds_of_whole_clips_are_even_and_seeded():
    clips = clips_of(23)
    folds = cross_folds(clips, 5, seed=0)
    assert sorted(len(fold.held_out) for fold in folds) == [4, 4, 5, 5, 5]
    assert folds != cross_folds(clips, 5, seed=1)
    assert folds == cross_folds(clips, 5, seed=0)


def test_one_clip_cannot_be_cross_fitted():
    with pytest.raises(ValueError, match="2 clips"):
        cross_folds(clips_of(1), 5, seed=0)
