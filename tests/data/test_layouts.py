from pathlib import Path

import pytest

from audio_anomaly_detector.data.clips import MachineKey
from audio_anomaly_detector.data.layouts import find_clips, machines, select_machine
from audio_anomaly_detector.errors import UserError

MIMII = Path(__file__).parents[2] / "../shared/data/mimii"


def touch(root: Path, *names: str) -> Path:
    """Make files; no layout opens audio, so they may be empty."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


# ---------------------------------------------------------------- MIMII


def mimii_tree(root: Path, condition: str) -> Path:
    return touch(
        root,
        *(
            f"{condition}/fan/{machine_id}/{kind}/{i:08}.wav"
            for machine_id in ("id_00", "id_02")
            for kind in ("normal", "abnormal")
            for i in range(2)
        ),
    )


@pytest.mark.parametrize(
    "condition", ["-6_dB_fan", "0_dB_fan", "6_dB_fan", "-6dB_fan", "+6_dB_fan", "-6_dB"]
)
@pytest.mark.parametrize("below", ["", "{c}", "{c}/fan", "{c}/fan/id_02"])
def test_mimii_gives_the_same_machine_wherever_it_is_pointed_at(tmp_path, condition, below):
    root = mimii_tree(tmp_path / "set", condition) / below.format(c=condition)
    found = find_clips(root)
    assert found.layout == "mimii"
    assert found.problems == []
    clips = machines(found.clips)[MachineKey(condition, "fan", "id_02")]
    assert [clip.label for clip in clips] == [1, 1, 0, 0]
    assert all(clip.path == found.root / clip.name and clip.split is None for clip in clips)


def test_the_name_of_the_root_replaces_what_mimii_lacks(tmp_path):
    touch(tmp_path / "plant/fan/id_00/normal", "a.wav")
    assert find_clips(tmp_path / "plant").clips[0].machine == ("plant", "fan", "id_00")
    assert find_clips(tmp_path / "plant/fan").clips[0].machine == ("fan", "fan", "id_00")
    assert find_clips(tmp_path / "plant/fan/id_00").clips[0].machine == ("id_00", "fan", "id_00")


def test_mimii_takes_any_id_below_the_root_and_a_root_one_too_high(tmp_path):
    touch(tmp_path / "a/press_7/normal", "a.wav")
    assert find_clips(tmp_path / "a").clips[0].machine == ("a", "a", "press_7")
    touch(tmp_path / "b/sets/0_dB_fan/fan/id_00/Normal", "a.wav")
    assert find_clips(tmp_path / "b").clips[0].machine == ("sets_0_dB_fan", "fan", "id_00")


@pytest.mark.skipif(not MIMII.exists(), reason="real recordings are not at ../shared/data/mimii")
def test_real_mimii():
    found = find_clips(MIMII)
    assert found.layout == "mimii"
    assert {len(clips) for clips in machines(found.clips).values()} == {15}
    assert len(machines(found.clips)) == 8


# ---------------------------------------------------------------- DCASE

DCASE_CASES = [  # file, machine, label, split, domain, attributes
    ("fan/train/normal_id_00_00000000.wav", "id_00", 0, "train", None, ""),
    ("fan/test/normal_id_00_00000001.wav", "id_00", 0, "test", None, ""),
    ("fan/test/anomaly_id_02_00000001.wav", "id_02", 1, "test", None, ""),
    ("fan/test/id_05_00000000.wav", "id_05", None, "test", None, ""),
    (
        "fan/train/section_00_source_train_normal_0000_strength_1_ambient.wav",
        *("section_00", 0, "train", "source", "strength_1_ambient"),
    ),
    (
        "fan/test/section_01_target_test_anomaly_0001_m-n_W.wav",
        *("section_01", 1, "test", "target", "m-n_W"),
    ),
    (
        "fan/test/section_00_source_test_normal_0007_noAttribute.wav",
        *("section_00", 0, "test", "source", ""),
    ),
    ("fan/test/section_00_0000.wav", "section_00", None, "test", None, ""),
    (
        "fan/source_test/section_03_source_test_0000.wav",
        *("section_03", None, "test", "source", ""),
    ),
    (
        "fan/target_test/section_00_target_test_normal_0003_x.wav",
        "section_00",
        0,
        "test",
        "target",
        "x",
    ),
    (
        "fan/supplemental/section_00_source_supplemental_machine_0000_speed_3.wav",
        *("section_00", 0, "train", "source", "speed_3"),
    ),
]


@pytest.mark.parametrize("case", DCASE_CASES, ids=lambda case: case[0])
@pytest.mark.parametrize("below", ["", "fan"])
def test_dcase_names(tmp_path, case, below):
    file, machine_id, *expected = case
    found = find_clips(touch(tmp_path / "dev_data", file) / below)
    assert found.layout == "dcase"
    (clip,) = found.clips
    assert clip.machine == (below or "dev_data", "fan", machine_id)
    assert [clip.label, clip.split, clip.domain, clip.attributes] == expected


def test_dcase_with_several_machines_and_folders_above(tmp_path):
    touch(
        tmp_path / "dev_data",
        "raw/ToyCar/train/section_00_source_train_normal_0000_a.wav",
        "raw/fan/test/section_00_source_test_normal_0000_a.wav",
        "raw/fan/attributes_00.csv",
    )
    found = find_clips(tmp_path / "dev_data")
    assert list(machines(found.clips)) == [
        ("raw", "ToyCar", "section_00"),
        ("raw", "fan", "section_00"),
    ]
    assert found.problems == []
    assert found.reading[-1] == "other files: 1 × .csv"


@pytest.mark.parametrize(
    "noise", ["section_00_noise_supplemental_0000.wav", "section_00_noise_0012_x.wav"]
)
def test_noise_recordings_are_not_normals(tmp_path, noise):
    touch(
        tmp_path, "fan/train/section_00_source_train_normal_0000.wav", f"fan/supplemental/{noise}"
    )
    found = find_clips(tmp_path)
    assert [clip.split for clip in found.clips] == ["train"]
    assert found.problems == [
        "1 audio file(s) have no place in the dcase layout and were passed over "
        f"(such as fan/supplemental/{noise})"
    ]


# ---------------------------------------------------------------- plain folder


def test_plain_folder(tmp_path):
    root = touch(
        tmp_path / "press",
        "a.wav",
        "2024/b.WAV",
        "abnormal/d.ogg",
        "Anomaly/e.mp3",
    )
    found = find_clips(root)
    assert found.layout == "folder"
    assert {clip.name: clip.label for clip in found.clips} == {
        "2024/b.WAV": 0,
        "Anomaly/e.mp3": 1,
        "a.wav": 0,
        "abnormal/d.ogg": 1,
    }
    assert set(machines(found.clips)) == {("press", "press", "press")}


def test_a_single_recording_is_a_folder_of_one(tmp_path):
    touch(tmp_path / "press", "a.wav", "b.wav")
    found = find_clips(tmp_path / "press/a.wav")
    assert [(clip.name, clip.label) for clip in found.clips] == [("a.wav", 0)]
    assert found.root == tmp_path / "press"


def test_unusual_names_links_and_hidden_files(tmp_path):
    root = touch(
        tmp_path / "data",
        "ärger/mañana 木.wav",
        ".hidden/a.wav",
        "._a.wav",
        "__MACOSX/b.wav",
        "x.exe",
    )
    (root / "loop").symlink_to(root)
    (root / "dangling.wav").symlink_to(root / "nowhere.wav")
    touch(tmp_path / "elsewhere", "far.wav")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    found = find_clips(root)
    assert [clip.name for clip in found.clips] == [
        "dangling.wav",
        "link/far.wav",
        "ärger/mañana 木.wav",
    ]
    assert len(found.problems) == 2
    assert "loop: links to a folder that is read already" in found.problems[0]
    assert "1 × .exe" in found.problems[1]


def test_a_name_that_is_no_text_is_passed_over(tmp_path):
    touch(tmp_path, "a.wav")
    try:
        Path(str(tmp_path) + "/b\udcff.wav").touch()
    except OSError:
        pytest.skip("this file system takes only names that are valid text")
    found = find_clips(tmp_path)
    assert [clip.name for clip in found.clips] == ["a.wav"]
    assert "the name is not valid text" in found.problems[0]
    with pytest.raises(UserError, match="the name is not valid text; rename it"):
        find_clips(str(tmp_path) + "/b\udcff.wav")


def test_a_relative_root_gives_absolute_paths(tmp_path, monkeypatch):
    touch(tmp_path / "press/in", "a.wav")
    monkeypatch.chdir(tmp_path / "press/in")
    for root in (".", "..", "../../press"):
        clip = find_clips(root).clips[0]
        assert clip.path.is_absolute()
        assert clip.path.exists()
    assert find_clips("..").clips[0].machine.machine_id == "press"


# ---------------------------------------------------------------- choosing


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        find_clips(tmp_path / "missing")
    with pytest.raises(UserError, match="no audio files below it; point to"):
        find_clips(tmp_path)
    touch(tmp_path, "notes.txt")
    with pytest.raises(UserError, match=r"no audio files below it \(other files: 1 × .txt"):
        find_clips(tmp_path)
    touch(tmp_path, "notes.doc")
    with pytest.raises(UserError, match=r"neither audio nor a \.csv manifest"):
        find_clips(tmp_path / "notes.doc")


def test_the_layout_can_be_named(tmp_path):
    root = mimii_tree(tmp_path / "set", "0_dB_fan")
    assert find_clips(root, "mimii").layout == "mimii"
    as_folder = find_clips(root, "folder")
    assert set(machines(as_folder.clips)) == {("set", "set", "set")}
    assert sum(clip.label == 1 for clip in as_folder.clips) == 4
    with pytest.raises(UserError, match="is not laid out as dcase; try --layout auto"):
        find_clips(root, "dcase")
    with pytest.raises(UserError, match="is not laid out as csv"):
        find_clips(root, "csv")
    with pytest.raises(UserError, match="choose auto, mimii, dcase, folder, csv"):
        find_clips(root, "mimi")
    touch(tmp_path, "one.wav")
    with pytest.raises(UserError, match="a file cannot be laid out as mimii"):
        find_clips(tmp_path / "one.wav", "mimii")


def test_two_layouts_in_one_root_are_ambiguous(tmp_path):
    mimii_tree(tmp_path, "0_dB_fan")
    touch(tmp_path, "dev_data/fan/train/normal_id_00_00000000.wav")
    with pytest.raises(UserError, match="as dcase and as mimii; choose one with --layout"):
        find_clips(tmp_path)
    assert len(find_clips(tmp_path, "dcase").clips) == 1


def test_select_machine(tmp_path):
    clips = find_clips(mimii_tree(tmp_path, "0_dB_fan")).clips
    assert {clip.machine.machine_id for clip in select_machine(clips, "id_02")} == {"id_02"}
    assert select_machine(clips, "fan/id_02") == select_machine(clips, "0_dB_fan/fan/id_02")
    with pytest.raises(UserError, match=r"no machine id 'id_04'; there are id_00, id_02$"):
        select_machine(clips, "id_04")
    with pytest.raises(UserError, match="no machine id '2'"):
        select_machine(clips, "2")
    with pytest.raises(UserError, match="several machines; choose one of 0_dB_fan/fan/id_00, 0_dB"):
        select_machine(clips, None)
    both = find_clips(mimii_tree(tmp_path, "6_dB_fan")).clips
    with pytest.raises(UserError, match="id_00 is ambiguous; choose one of 0_dB_fan/fan/id_00, 6_"):
        select_machine(both, "id_00")
    assert len(select_machine(both, "6_dB_fan/fan/id_00")) == 4
    only = [clip for clip in clips if clip.machine.machine_id == "id_00"]
    assert select_machine(only, None) == only
