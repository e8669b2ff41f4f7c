import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.data.audio import AudioConfig, read_clip, to_windows
from audio_anomaly_detector.data.cache import build_store
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.errors import ClipError, UserError
from recorded_progress import RecordedProgress

CONFIG = AudioConfig(length=16_000)


def make_clip(folder: Path, name: str, seconds: float = 1.0, channels: int = 1) -> Clip:
    seed = sum(name.encode())
    data = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * 16_000), channels))
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / name, data, 16_000)
    return Clip(folder / name, name, 0, MachineKey("c", "m", "i"))


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    seconds = {"a.wav": 1.0, "b.wav": 2.5, "c.wav": 0.0, "d.wav": 3.0}
    return [make_clip(tmp_path / "data", name, s, channels=2) for name, s in seconds.items()]


def test_a_store_holds_the_windows_of_every_clip_in_order(tmp_path, clips):
    recorded = RecordedProgress()
    store = build_store(clips, CONFIG, tmp_path / "store", "skip", recorded)
    assert isinstance(store.windows, np.memmap)
    assert store.windows.dtype == np.float32
    assert store.clips == [clips[0], clips[1], clips[3]]
    assert [str(failure) for failure in store.failures] == [
        f"{clips[2].path}: holds no sound (0 samples); "
        "record it again or repair its header, or delete it"
    ]
    assert recorded.steps == [("reading clips", done, 4) for done in (1, 2, 3, 4)]
    assert store.clip_index.tolist() == [0, 1, 1, 1, 2, 2, 2]
    for index, clip in enumerate(store.clips):
        expected = to_windows(read_clip(clip, CONFIG), CONFIG.length, CONFIG.window_slack)
        np.testing.assert_array_equal(store.windows[store.clip_index == index], expected)
    np.testing.assert_array_equal(np.load(tmp_path / "store/windows.npy"), store.windows)


def test_memory_does_not_grow_with_the_number_of_clips(tmp_path):
    clip = make_clip(tmp_path / "data", "long.wav", 40.0)
    peaks = []
    for count in (2, 40):
        tracemalloc.start()
        build_store([clip.cut(i, 1.0) for i in range(count)], CONFIG, tmp_path / f"{count}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2 * 4 * CONFIG.length  # two of the 38 more windows


def test_stop_raises_the_first_failure_and_leaves_nothing(tmp_path, clips):
    with pytest.raises(ClipError, match=r"c\.wav: holds no sound"):
        build_store(clips, CONFIG, tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


def test_cuts_are_stored_as_clips_of_their_own(tmp_path):
    clip = make_clip(tmp_path / "data", "long.wav", 5.0)
    store = build_store([clip.cut(i, 1.0) for i in range(5)], CONFIG, tmp_path / "store")
    assert store.windows.shape == (5, 1, 16_000)
    whole = read_clip(clip, CONFIG)
    np.testing.assert_array_equal(store.windows[:, 0].reshape(1, -1), whole)


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(clip: Clip, _config: AudioConfig) -> np.ndarray:
        raise AssertionError(f"{clip.name} was decoded again")

    monkeypatch.setattr("audio_anomaly_detector.data.cache.examine_clip", read)


def test_a_finished_store_of_the_same_clips_is_used_again(tmp_path, clips, monkeypatch):
    clips.pop(2)
    first = build_store(clips, CONFIG, tmp_path / "store")
    forbid_reading(monkeypatch)
    again = build_store(clips, CONFIG, tmp_path / "store")
    np.testing.assert_array_equal(again.windows, first.windows)
    np.testing.assert_array_equal(again.clip_index, first.clip_index)
    assert (again.clips, again.failures) == (first.clips, [])


@pytest.mark.parametrize("change", ["file", "config", "clips", "channels", "unfinished", "garbage"])
def test_a_store_of_anything_else_is_built_anew(tmp_path, clips, monkeypatch, change):
    clips.pop(2)
    folder, config, n_channels = tmp_path / "store", CONFIG, None
    build_store(clips, config, folder)
    if change == "file":
        os.utime(clips[0].path, ns=(1, 1))
    elif change == "config":
        config = AudioConfig(length=16_000, level="equalised")
    elif change == "clips":
        clips.reverse()
    elif change == "channels":
        n_channels = 2
    elif change == "unfinished":
        (folder / "store.json").unlink()
    elif change == "garbage":
        (folder / "store.json").write_text("{")
    forbid_reading(monkeypatch)
    with pytest.raises(AssertionError, match="decoded again"):
        build_store(clips, config, folder, n_channels=n_channels)
    assert not (folder / "store.json").exists()


def test_a_store_with_failures_is_tried_again(tmp_path, clips):
    for _ in range(2):  # what failed may have been mended without a trace in size or time
        assert len(build_store(clips, CONFIG, tmp_path / "store", "skip").failures) == 1
    make_clip(tmp_path / "data", "c.wav", 1.0, channels=2)
    assert build_store(clips, CONFIG, tmp_path / "store", "skip").failures == []


def test_clips_with_another_number_of_channels_fail(tmp_path):
    clips = [
        make_clip(tmp_path / "data", f"{i}.wav", channels=c) for i, c in enumerate([1, 2, 2, 3])
    ]
    store = build_store(clips, CONFIG, tmp_path / "a", "skip")
    assert store.windows.shape == (2, 2, 16_000)
    assert str(store.failures[0]).endswith(
        "0.wav: has 1 channel(s) where 2 are expected; "
        "leave it out, or use --channels mean or --channels 0 for all"
    )
    assert [failure.path.name for failure in store.failures] == ["0.wav", "3.wav"]
    # A model that was trained on three microphones decides, not the majority.
    chosen = build_store(clips, CONFIG, tmp_path / "b", "skip", n_channels=3)
    assert [clip.name for clip in chosen.clips] == ["3.wav"]
    for channels in ("mean", 0):
        config = AudioConfig(length=16_000, channels=channels)
        assert build_store(clips, config, tmp_path / "c").windows.shape == (4, 1, 16_000)


def test_no_clip_can_be_used(tmp_path, clips):
    with pytest.raises(
        UserError, match=r"none of 1 clips can be used \(the first: .*c\.wav: holds"
    ):
        build_store([clips[2]], CONFIG, tmp_path / "store", "skip")
    with pytest.raises(UserError, match="none of 0 clips can be used"):
        build_store([], CONFIG, tmp_path / "store", "skip")
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk(tmp_path, clips):
    part = tmp_path / "store/windows.npy.part"
    (tmp_path / "store").mkdir()
    part.symlink_to("/dev/full")
    with pytest.raises(
        UserError, match=r"cannot be written \(No space left on device\); free some"
    ):
        build_store(clips[:2], CONFIG, tmp_path / "store")
    assert not part.is_symlink()
    assert not (tmp_path / "store/store.json").exists()


def test_a_folder_that_cannot_be_written(tmp_path, clips):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="decoded audio cannot be written"):
        build_store(clips[:2], CONFIG, tmp_path / "file/store")
