"""Takes whose microphones have a file each."""

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.data.audio import AudioConfig, read_clip
from audio_anomaly_detector.data.inputs import find_inputs
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.data.manifest import write_manifest
from audio_anomaly_detector.errors import ClipError, UserError

CONFIG = AudioConfig(sample_rate=16_000, length=16_000)


def write(path, channels=1, seconds=1.0, seed=0, rate=16_000):
    """Write noise, and return it as it is read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, (round(seconds * rate), channels))
    soundfile.write(path, noise, rate, "FLOAT")
    return noise.T.astype(np.float32)


@pytest.mark.parametrize(
    "names",
    [
        ("t1_mic1.wav", "t1_mic2.wav", "t2_mic1.wav", "t2_mic2.wav"),
        ("ch0/a.wav", "ch1/a.wav", "ch0/b.wav", "ch1/b.wav"),
        ("a-L.wav", "a-R.wav", "b-L.wav", "b-R.wav"),
        ("mic3/x_track01.wav", "mic3/x_track02.wav", "mic3/y_track01.wav", "mic3/y_track02.wav"),
        ("case1_normal_IND_ch9_0001.wav", "case1_normal_IND_ch10_0001.wav"),
        ("ZOOM0001_Tr1.WAV", "ZOOM0001_Tr2.WAV", "ZOOM0002_Tr1.WAV", "ZOOM0002_Tr2.WAV"),
        ("left/a.wav", "right/a.wav"),
    ],
)
def test_files_that_differ_in_the_microphone_are_one_clip(tmp_path, names):
    sounds = {name: write(tmp_path / name, seed=seed) for seed, name in enumerate(names)}
    found = find_clips(tmp_path, takes=True)
    takes = [names[at : at + 2] for at in range(0, len(names), 2)]
    assert {clip.files for clip in found.clips} == {
        tuple(tmp_path / name for name in take) for take in takes
    }
    assert not found.problems
    for clip in found.clips:
        expected = np.concatenate([sounds[str(f.relative_to(tmp_path))] for f in clip.files])
        assert np.array_equal(read_clip(clip, CONFIG), expected)
    scored = find_inputs([tmp_path / name for name in names], takes=True).clips
    assert {clip.files for clip in scored} == {clip.files for clip in found.clips}


def test_a_take_without_all_microphones_is_left_out_and_named(tmp_path):
    for name in ("a_mic1.wav", "a_mic2.wav", "b_mic1.wav", "b_mic2.wav", "c_mic1.wav", "d.wav"):
        write(tmp_path / name)
    found = find_clips(tmp_path, takes=True)
    assert [clip.name for clip in found.clips] == ["a_mic1.wav", "b_mic1.wav"]
    assert len(found.problems) == 2
    assert "d.wav" in found.problems[0] and "c_mic1.wav" in found.problems[1]


def test_without_takes_it_is_said_how_they_are_named(tmp_path):
    write(tmp_path / "a.wav")
    write(tmp_path / "b.wav")
    with pytest.raises(UserError, match=r"mic1\.wav and take1_mic2\.wav"):
        find_clips(tmp_path, takes=True)


def test_one_take_has_one_label(tmp_path):
    write(tmp_path / "normal" / "a_mic1.wav")
    write(tmp_path / "normal" / "a_mic2.wav")
    (tmp_path / "labels.csv").write_text(
        "path,label\nnormal/a_mic1.wav,0\nnormal/a_mic2.wav,1\n", encoding="utf-8"
    )
    with pytest.raises(UserError, match="differ in label"):
        find_clips(tmp_path / "labels.csv", takes=True)


def test_files_of_one_take_have_one_rate_and_length(tmp_path):
    write(tmp_path / "a_mic1.wav", seconds=1.05)
    write(tmp_path / "a_mic2.wav")
    [clip] = find_clips(tmp_path, takes=True).clips
    assert read_clip(clip, CONFIG).shape == (2, 16_000)
    write(tmp_path / "a_mic2.wav", seconds=2)
    with pytest.raises(ClipError, match=r"mic2.* lasts 2.00 s, another file .* 1.05 s"):
        read_clip(clip, CONFIG)
    write(tmp_path / "a_mic2.wav", rate=8000)
    with pytest.raises(ClipError, match="has 8000 Hz"):
        read_clip(clip, CONFIG)


def test_a_microphone_that_is_silent_in_its_own_file_is_kept(tmp_path):
    write(tmp_path / "a_mic1.wav")
    soundfile.write(tmp_path / "a_mic2.wav", np.zeros(16_000), 16_000)
    [clip] = find_clips(tmp_path, takes=True).clips
    assert not read_clip(clip, CONFIG)[1].any()


def test_a_manifest_names_the_files_of_a_take(tmp_path):
    for name in ("a_mic1.wav", "a_mic2.wav", "b_mic1.wav", "b_mic2.wav"):
        write(tmp_path / name)
    found = find_clips(tmp_path, takes=True)
    write_manifest(tmp_path / "list.csv", found.clips)
    again = find_clips(tmp_path / "list.csv").clips
    assert [clip.files for clip in again] == [clip.files for clip in found.clips]


def test_takes_that_are_not_joined_are_kept_together(tmp_path):
    for name in ("a_mic1.wav", "a_mic2.wav", "b_mic1.wav", "b_mic2.wav"):
        write(tmp_path / name)
    found = find_clips(tmp_path)
    assert [clip.group for clip in found.clips] == ["a_mic1.wav"] * 2 + ["b_mic1.wav"] * 2
    assert "2 takes of 2 microphones each" in found.reading[-1]


@pytest.mark.parametrize(
    "names",
    [
        ("track01.wav", "track02.wav", "track03.wav"),
        ("a_mic1.wav", "a_mic2.wav", "b_mic1.wav", "b_mic2.wav", "c.wav"),
        ("ch1/a.wav", "ch1/b.wav", "ch2/c.wav", "ch2/d.wav"),
    ],
)
def test_names_that_may_be_otherwise_are_no_takes(tmp_path, names):
    for name in names:
        write(tmp_path / name)
    assert {clip.group for clip in find_clips(tmp_path, "folder").clips} == {""}
