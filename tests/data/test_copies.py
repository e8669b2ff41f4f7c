from pathlib import Path

import numpy as np
import soundfile

from audio_anomaly_detector.data.audio import AudioConfig
from audio_anomaly_detector.data.cache import build_store
from audio_anomaly_detector.data.clips import Clip, MachineKey, cross_folds
from audio_anomaly_detector.data.copies import copies_note, counted_once, sort_out
from audio_anomaly_detector.data.fingerprint import Match

RATE = 16_000
CONFIG = AudioConfig(length=RATE)


def write(folder: Path, name: str, sound: np.ndarray) -> Clip:
    soundfile.write(folder / name, sound, RATE)
    return Clip(folder / name, name, 0, MachineKey("c", "m", "i"))


def test_copies_are_left_out_and_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sounds = [rng.uniform(-0.5, 0.5, 4 * RATE) for _ in range(3)]
    clips = [write(tmp_path, f"{i}.wav", sound) for i, sound in enumerate(sounds)]
    clips += [write(tmp_path, "3.flac", sounds[1]), write(tmp_path, "4.wav", sounds[0][RATE:] / 3)]
    for _ in range(2):  # decoded, then from the store
        store, copies = counted_once(build_store(clips, CONFIG, tmp_path / "store"))
        assert [clip.name for clip in store.clips] == ["0.wav", "1.wav", "2.wav"]
        assert copies == [("3.flac", "1.wav"), ("4.wav", "0.wav")]
        assert store.seconds == [4.0, 4.0, 4.0]
        # Windows of what was left out belong to no clip.
        assert store.clip_index.tolist() == [*[0] * 4, *[1] * 4, *[2] * 4, *[-1] * 7]
    assert "2 clip(s) repeat" in copies_note(copies)[0] and not copies_note([])


def test_of_overlapping_cuts_no_sound_counts_twice(tmp_path: Path) -> None:
    whole = np.random.default_rng(1).uniform(-0.5, 0.5, 24 * RATE)
    cuts = [
        write(tmp_path, f"{start:02}.wav", whole[start * RATE : (start + 4) * RATE])
        for start in range(0, 21, 2)
    ]
    store, copies = counted_once(build_store(cuts, CONFIG, tmp_path / "store"))
    assert [clip.name for clip in store.clips] == [f"{i:02}.wav" for i in range(0, 21, 4)]
    assert len(copies) == 5
    # They are of one recording, and its neighbours are not scattered over the folds.
    assert {clip.group for clip in store.clips} == {"00.wav"}
    folds = cross_folds(store.clips, 3, seed=0)
    assert sorted(fold.held_out for fold in folds) == [[0, 1], [2, 3], [4, 5]]


def test_other_microphones_of_a_take_are_kept_together() -> None:
    takes = [Match(0, 1, 0.0, 10.0, is_copy=False), Match(2, 3, 0.0, 10.0, is_copy=False)]
    found = sort_out(takes, [10.0] * 5)
    assert found.kept == [0, 1, 2, 3, 4] and not found.copies
    assert found.group == [0, 0, 2, 2, 4]


def test_a_clip_in_pieces_of_others_is_a_copy() -> None:
    pieces = [Match(0, 2, -8.0, 2.0, is_copy=True), Match(1, 2, 8.0, 2.0, is_copy=True)]
    assert sort_out(pieces, [10.0, 10.0, 10.0]).copies == {2: 0}
    assert sort_out(pieces[:1], [10.0, 10.0, 10.0]).kept == [0, 1, 2]


def test_clips_of_a_group_are_in_one_fold() -> None:
    clips = [
        Clip(Path(f"{i}"), f"{i}", 0, MachineKey("c", "m", "i"), group=f"take {i // 2}")
        for i in range(12)
    ]
    for fold in cross_folds(clips, 4, seed=3):
        held_out = [clips[i].group for i in fold.held_out]
        assert all(held_out.count(group) == 2 for group in held_out)
