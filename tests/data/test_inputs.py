from pathlib import Path

import pytest

from audio_anomaly_detector.data.inputs import find_inputs
from audio_anomaly_detector.errors import UserError


def touch(root: Path, *names: str) -> Path:
    """Make files; no layout opens audio, so they may be empty."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names(*paths: Path) -> list[str]:
    return [clip.name for clip in find_inputs(paths).clips]


def test_inputs_have_no_labels_and_nothing_is_asked(tmp_path):
    root = touch(tmp_path, "normal/1.wav", "inner_race/1.wav", "abnormal/1.wav")
    found = find_inputs([root])
    assert len(found.clips) == 3
    assert {clip.label for clip in found.clips} == {None}
    assert (found.problems, found.failures) == ([], [])


def test_everything_in_a_folder_is_scored_whatever_names_say(tmp_path):
    """Layouts pass over what has no place in them, and anomalous clips of a training part."""
    root = touch(tmp_path, "intact/1.wav", "pump/2.wav", "train/abnormal/3.wav", "test/good/4.wav")
    touch(root, "dev/fan/train/section_00_source_train_normal_0001.wav", "ground_truth/5.wav")
    touch(root, "supplemental/section_00_noise_supplemental_0001.wav")
    found = find_inputs([root])
    assert len(found.clips) == 7
    assert (found.problems, found.failures) == ([], [])


def test_names_stay_apart(tmp_path):
    root = touch(tmp_path, "a/1.wav", "b/1.wav", "b/sub/1.wav", "c.wav")
    assert names(root / "a") == ["1.wav"]
    assert names(root / "a/1.wav", root / "b/1.wav") == ["a/1.wav", "b/1.wav"]
    assert names(root / "a", root / "b") == ["a/1.wav", "b/1.wav", "b/sub/1.wav"]
    assert names(root / "b/sub", root / "c.wav") == ["b/sub/1.wav", "c.wav"]
    assert names(root / "b/1.wav", root / "b/sub/1.wav") == ["1.wav", "sub/1.wav"]


def test_a_recording_given_twice_is_taken_once(tmp_path, monkeypatch):
    root = touch(tmp_path, "in/a.wav", "in/b.wav")
    (root / "link.wav").symlink_to(root / "in/a.wav")
    monkeypatch.chdir(root / "in")
    found = find_inputs([Path("a.wav"), Path("./a.wav"), root / "link.wav", root / "in"])
    assert [clip.name for clip in found.clips] == ["in/a.wav", "in/b.wav"]
    assert found.problems == [
        "1 recording(s) were given several times and are used once (such as in/a.wav)"
    ]


def test_cuts_of_one_file_are_not_the_same(tmp_path):
    touch(tmp_path, "a.wav")
    (tmp_path / "list.csv").write_text("path,start,duration\na.wav,0,10\na.wav,10,10\n")
    assert names(tmp_path / "list.csv") == ["a.wav#t=0,10", "a.wav#t=10,20"]


def test_patterns_are_expanded_where_the_shell_does_not(tmp_path):
    root = touch(tmp_path, "a1.wav", "a2.wav", "b.wav", "sub/a3.wav")
    assert names(root / "a*.wav") == ["a1.wav", "a2.wav"]
    assert names(root / "**/a?.wav") == ["a1.wav", "a2.wav", "sub/a3.wav"]
    touch(root, "[x].wav")
    assert names(root / "[x].wav") == ["[x].wav"]
    found = find_inputs([root / "c*.wav", root / "b.wav"])
    assert [clip.name for clip in found.clips] == ["b.wav"]
    assert "c*.wav: there is no such folder or file" in str(found.failures[0])
    with pytest.raises(UserError, match="no such folder or file"):
        find_inputs([root / "c*.wav"], on_error="stop")
