"""Layouts as people make them: what is read of their names, and what is asked."""

import unicodedata
from pathlib import Path

import pytest

from audio_anomaly_detector.data.layouts import find_clips, machines, select_machine
from audio_anomaly_detector.data.names import Patterns
from audio_anomaly_detector.errors import UserError

N, A, UNKNOWN = 0, 1, None


def touch(root: Path, *names: str) -> Path:
    """Make files; names are read without opening audio, so they may be empty."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


# files of the folder "plant" → machine id, label, split
READ = {
    "good and bad": {"good/1.wav": ("plant", N, None), "bad/1.wav": ("plant", A, None)},
    "OK and NG": {"OK/1.wav": ("plant", N, None), "NG/1.wav": ("plant", A, None)},
    "ok and ng": {"ok/1.wav": ("plant", N, None), "ng/1.wav": ("plant", A, None)},
    "iO and niO": {"iO/1.wav": ("plant", N, None), "niO/1.wav": ("plant", A, None)},
    "n.i.O.": {"i.O./1.wav": ("plant", N, None), "n.i.O./1.wav": ("plant", A, None)},
    "pass and fail": {"pass/1.wav": ("plant", N, None), "fail/1.wav": ("plant", A, None)},
    "healthy and faulty": {"healthy/1.wav": ("plant", N, None), "faulty/1.wav": ("plant", A, None)},
    "plurals": {"normals/1.wav": ("plant", N, None), "anomalies/1.wav": ("plant", A, None)},
    "numbers": {"0_normal/1.wav": ("plant", N, None), "1_abnormal/1.wav": ("plant", A, None)},
    "camel case": {"NormalData/1.wav": ("plant", N, None), "FaultyData/1.wav": ("plant", A, None)},
    "not ok": {"ok/1.wav": ("plant", N, None), "not_ok/1.wav": ("plant", A, None)},
    "fault-free": {"fault-free/1.wav": ("plant", N, None), "fault/1.wav": ("plant", A, None)},
    "German": {"in_ordnung/1.wav": ("plant", N, None), "Störung/1.wav": ("plant", A, None)},
    "gut und schlecht": {"gut/1.wav": ("plant", N, None), "schlecht/1.wav": ("plant", A, None)},
    "Japanese": {"正常/1.wav": ("plant", N, None), "異常/1.wav": ("plant", A, None)},
    "Chinese": {"合格/1.wav": ("plant", N, None), "不合格/1.wav": ("plant", A, None)},
    "Korean": {"양품/1.wav": ("plant", N, None), "불량/1.wav": ("plant", A, None)},
    "French": {"sain/1.wav": ("plant", N, None), "défectueux/1.wav": ("plant", A, None)},
    "Spanish": {"bueno/1.wav": ("plant", N, None), "malo/1.wav": ("plant", A, None)},
    "file names": {"normal_1.wav": ("plant", N, None), "abnormal_1.wav": ("plant", A, None)},
    "words last": {"fan_1_ok.wav": ("plant", N, None), "fan_2_NG.wav": ("plant", A, None)},
    "Edge Impulse": {
        "training/normal.1ab.wav": ("plant", N, "train"),
        "testing/normal.2ab.wav": ("plant", N, "test"),
        "testing/anomaly.3ab.wav": ("plant", A, "test"),
    },
    "MVTec": {
        "train/good/1.wav": ("plant", N, "train"),
        "test/good/2.wav": ("plant", N, "test"),
        "test/crack/3.wav": ("plant", A, "test"),
    },
    "MVTec of several machines": {
        "fan/train/good/1.wav": ("fan", N, "train"),
        "fan/test/crack/2.wav": ("fan", A, "test"),
        "pump/train/good/3.wav": ("pump", N, "train"),
        "pump/test/leak/4.wav": ("pump", A, "test"),
    },
    "split within machines": {
        "fan/train/normal/1.wav": ("fan", N, "train"),
        "fan/test/normal/2.wav": ("fan", N, "test"),
        "fan/test/abnormal/3.wav": ("fan", A, "test"),
    },
    "split below labels": {
        "fan/normal/train/1.wav": ("fan", N, "train"),
        "fan/normal/test/2.wav": ("fan", N, "test"),
        "fan/abnormal/test/3.wav": ("fan", A, "test"),
    },
    "split above machines": {
        "train/fan/normal/1.wav": ("fan", N, "train"),
        "test/fan/abnormal/2.wav": ("fan", A, "test"),
    },
    "split and label in one name": {
        "train_normal/1.wav": ("plant", N, "train"),
        "test_normal/2.wav": ("plant", N, "test"),
        "test_abnormal/3.wav": ("plant", A, "test"),
    },
    "validation": {
        "train/normal/1.wav": ("plant", N, "train"),
        "validation/normal/2.wav": ("plant", N, "test"),
        "test/abnormal/3.wav": ("plant", A, "test"),
    },
    "split in file names": {
        "train_normal_1.wav": ("plant", N, "train"),
        "test_normal_2.wav": ("plant", N, "test"),
        "test_anomaly_3.wav": ("plant", A, "test"),
    },
    "a test without labels": {
        "train/1.wav": ("plant", N, "train"),
        "test/2.wav": ("plant", UNKNOWN, "test"),
    },
    "trains that run on rails": {
        "train_1/normal/1.wav": ("train_1", N, None),
        "train_2/normal/1.wav": ("train_2", N, None),
    },
    "a data set called test": {
        "test/fan/id_00/normal/1.wav": ("id_00", N, None),
        "bench/fan/id_02/normal/1.wav": ("id_02", N, None),
    },
    "a test alone is no split": {"test/1.wav": ("plant", N, None)},
    "a test bench": {"test_bench_3/normal/1.wav": ("test_bench_3", N, None)},
    "ToyADMOS": {
        "ToyCar/case1/NormalSound_IND/case1_normal_IND_ch1_0001.wav": ("case1", N, None),
        "ToyCar/case1/AnomalousSound_IND/ab01_case1_ab_IND_ch1_0001.wav": ("case1", A, None),
        "ToyCar/EnvironmentalNoise_CNT/noise_1.wav": None,
    },
    "noise beside labels": {
        "case1/normal/1.wav": ("case1", N, None),
        "case1/BackgroundNoise/1.wav": None,
    },
    "labels in file names of machines": {
        "id_00/normal_1.wav": ("id_00", N, None),
        "id_00/anomaly_1.wav": ("id_00", A, None),
        "id_02/normal_1.wav": ("id_02", N, None),
    },
    "a machine called normal": {
        "normal_street_fan/normal/1.wav": ("normal_street_fan", N, None),
        "normal_street_fan/abnormal/1.wav": ("normal_street_fan", A, None),
    },
    "file names below a machine called normal": {
        "normal_street_fan/ok_1.wav": ("normal_street_fan", N, None),
        "normal_street_fan/ng_1.wav": ("normal_street_fan", A, None),
    },
    "a data set called anomaly": {
        "anomaly_data/fan/id_00/normal/1.wav": ("id_00", N, None),
        "anomaly_data/fan/id_00/abnormal/1.wav": ("id_00", A, None),
    },
    "a machine called healthy": {"healthy_fan/id_00/normal/1.wav": ("id_00", N, None)},
    "sessions": {"2024-05-01/1.wav": ("plant", N, None), "2024-05-02/1.wav": ("plant", N, None)},
    "weekdays": {"monday/1.wav": ("plant", N, None), "Dienstag/1.wav": ("plant", N, None)},
    "only faults have a word": {
        "1.wav": ("plant", N, None),
        "monday/1.wav": ("plant", N, None),
        "abnormal/1.wav": ("plant", A, None),
    },
    "kinds of faults below a label": {
        "normal/0/1.wav": ("plant", N, None),
        "normal/1/1.wav": ("plant", N, None),
        "abnormal/type_1/1.wav": ("plant", A, None),
        "abnormal/type_2/1.wav": ("plant", A, None),
    },
    "numbers with units": {"1200rpm/1.wav": ("plant", N, None), "09h30/1.wav": ("plant", N, None)},
    "numbered labels": {
        "normal_1/1.wav": ("plant", N, None),
        "normal_2/1.wav": ("plant", N, None),
        "damage_level_2/1.wav": ("plant", A, None),
    },
    "masks of MVTec": {
        "fan/train/good/1.wav": ("fan", N, "train"),
        "fan/test/hole/1.wav": ("fan", A, "test"),
        "fan/ground_truth/hole/1.wav": None,
    },
    "ToyADMOS 2": {
        "ToyCar/train/ToyCar_A1_normal_ch1_0001.wav": ("ToyCar", N, "train"),
        "ToyCar/test/ToyCar_A1_anomaly_ch1_0001.wav": ("ToyCar", A, "test"),
    },
    "one folder on the way": {"pump/rec/1.wav": ("plant", N, None)},
    "false friends": {"goodyear_1.wav": ("plant", N, None), "badger_2.wav": ("plant", N, None)},
    "flat DCASE": {
        "section_00_source_train_normal_0000_a.wav": ("section_00", N, "train"),
        "section_00_target_test_anomaly_0001_a.wav": ("section_00", A, "test"),
    },
    "DCASE 2020 without folders": {
        "normal_id_00_00000000.wav": ("id_00", N, None),
        "anomaly_id_00_00000001.wav": ("id_00", A, None),
    },
    "DCASE in capitals": {
        "fan/Train/section_00_source_train_normal_0000_a.wav": ("section_00", N, "train"),
        "fan/Test/section_00_source_test_anomaly_0000_a.wav": ("section_00", A, "test"),
    },
    "DCASE renamed": {
        "fan/train/section_00_source_train_normal_0000_a.wav": ("section_00", N, "train"),
        "fan/test_rename/section_00_source_test_anomaly_0000_a.wav": ("section_00", A, "test"),
    },
    "DCASE names in MIMII folders": {
        "fan/id_00/normal/normal_id_00_00000000.wav": ("id_00", N, None),
        "fan/id_00/abnormal/anomaly_id_00_00000000.wav": ("id_00", A, None),
    },
}


@pytest.mark.parametrize("case", READ)
def test_read(tmp_path, case):
    root = touch(tmp_path / "plant", *READ[case])
    found = find_clips(root)
    assert found.question() == ""
    read = {c.name: (c.machine.machine_id, c.label, c.split) for c in found.clips}
    assert read == {name: expected for name, expected in READ[case].items() if expected}
    assert len(found.problems) == (None in READ[case].values())


ASKED = {
    "classes as in CWRU": ["0_normal/1.wav", "1_inner_race/1.wav", "2_ball/1.wav"],
    "faults by name": ["inner_race/1.wav", "outer_race/1.wav"],
    "one fault among sessions": ["monday/1.wav", "leak/1.wav"],
    "faults in file names": ["pump_1.wav", "pump_leak_1.wav"],
    "several machines": ["pump1/1.wav", "pump2/1.wav"],
    "machine ids": ["id_00/1.wav", "id_02/1.wav"],
    "machines below labels": ["normal/id_00/1.wav", "normal/id_02/1.wav", "abnormal/id_00/1.wav"],
    "unsorted test clips": ["train/good/1.wav", "test/good/2.wav", "test/unknown/3.wav"],
    "machines below labels, by name": ["ok/fan/1.wav", "ok/pump/1.wav", "ng/fan/1.wav"],
    "machines below sessions": ["monday/pump1/1.wav", "tuesday/pump2/1.wav"],
    "places": ["kitchen/1.wav", "hall/1.wav"],
    "classes by number": ["0/1.wav", "1/1.wav"],
    "classes by name": ["class_0/1.wav", "class_1/1.wav"],
    "classes in training": ["train/0/1.wav", "train/1/2.wav", "test/3.wav"],
    "machines in names of labels": ["fan_normal/1.wav", "pump_normal/1.wav", "fan_bad/1.wav"],
    "machines by number in names of labels": ["room_1_ok/1.wav", "room_2_ok/1.wav"],
    "good and a reference": ["faulty/1.wav", "reference/1.wav"],
    "on and off": ["on/1.wav", "off/1.wav"],
    "bearings of a data set": ["normal/1.wav", "IR007/1.wav", "B021/1.wav"],
    "positive": ["positive/1.wav", "negative/1.wav"],
    "files beside normal": ["a.wav", "normal/1.wav", "abnormal/1.wav"],
    "file names without a word": ["normal_1.wav", "normal_2.wav", "rec_3.wav"],
    "unknown beside labels": ["fan/normal/1.wav", "fan/unknown/1.wav"],
    "contradiction": ["normal/anomaly_1.wav", "normal/2.wav"],
    "contradicting names of files": ["faulty/fault_1.wav", "faulty/normal_load_2.wav"],
    "contradicting pure names of files": ["abnormal/anomaly_1.wav", "abnormal/normal_2.wav"],
    "contradicting folders": ["faulty_pump/normal/1.wav"],
    "both in one name": ["normal_abnormal/1.wav", "2.wav"],
    "Korean run on": ["모터정상/1.wav", "모터비정상/1.wav"],
    "operating states": ["normal_speed/1.wav", "high_speed/1.wav"],
    "a fault in training": ["train/normal/1.wav", "train/leak/1.wav", "test/normal/1.wav"],
    "only faults have a word, and machines": ["abnormal/1.wav", "pump1/1.wav", "pump2/1.wav"],
}


@pytest.mark.parametrize("case", ASKED)
def test_asked(tmp_path, case):
    found = find_clips(touch(tmp_path / "plant", *ASKED[case]))
    question = found.question()
    assert "--normal PATTERN" in question and "\n" not in question
    with pytest.raises(UserError, match="it is unclear which clips are normal"):
        found.require_labels(found.clips)
    assert {clip.name for clip in found.clips} == set(ASKED[case])
    assert all(clip.label is None for clip in found.clips if clip.name in found.questions)
    # Asked of clips alone that are unclear.
    found.require_labels([clip for clip in found.clips if clip.name not in found.questions])


@pytest.mark.parametrize("case", ASKED)
def test_what_is_unclear_can_be_said_by_layout(tmp_path, case):
    found = find_clips(touch(tmp_path / "plant", *ASKED[case]), "folder")
    assert set(machines(found.clips)) == {("plant", "plant", "plant")}
    if "contradict" not in case:
        assert found.question() == ""
        assert None not in {clip.label for clip in found.clips}


@pytest.mark.parametrize(
    ("root", "label"),
    [
        ("abnormal", 1),
        ("NG", 1),
        ("normal", 0),
        ("pump", 0),
        ("anomaly_detection", 0),
        ("abnormal/2024-05-01", 1),
        ("broken_fan", None),
        ("leak", None),
        ("bearing_crack", None),
        ("anomaly-sound", 1),
        ("anomaly-sound/data", 0),
        ("고장", 1),
    ],
)
def test_the_name_of_the_root_counts_where_no_other_says_anything(tmp_path, root, label):
    found = find_clips(touch(tmp_path / "x" / root, "1.wav", "2.wav"))
    assert {clip.label for clip in found.clips} == {label}
    assert bool(found.question()) == (label is None)
    inside = find_clips(touch(tmp_path / "x" / root, "normal/3.wav", "abnormal/4.wav"), "folder")
    assert [c.label for c in inside.clips if "/" in c.name] == [1, 0]


def test_a_folder_called_like_a_split_is_a_condition_where_there_is_no_split(tmp_path):
    root = touch(tmp_path, "test/fan/id_00/normal/1.wav", "test/fan/id_00/abnormal/1.wav")
    assert {clip.machine.condition for clip in find_clips(root).clips} == {"test"}


def test_kinds_of_faults_are_kept(tmp_path):
    found = find_clips(touch(tmp_path / "plant", "train/good/1.wav", "test/crack/2.wav"))
    assert [clip.attributes for clip in found.clips] == ["crack", ""]


def test_anomalous_clips_in_training_are_left_out_and_named(tmp_path):
    root = touch(
        tmp_path, *(f"{part}/{kind}/1.wav" for part in ("train", "test") for kind in ("ok", "bad"))
    )
    found = find_clips(root)
    assert [clip.name for clip in found.clips] == [
        "test/bad/1.wav",
        "test/ok/1.wav",
        "train/ok/1.wav",
    ]
    assert found.problems == [
        "1 anomalous clip(s) in the training part were left out, as training is on normal clips "
        "(such as train/bad/1.wav)"
    ]


def test_how_names_were_read(tmp_path):
    root = touch(tmp_path, "good/1.wav", "good/2.wav", "crack_defect/1.wav", "notes.csv")
    assert find_clips(root).reading == (
        '"good" → normal (2 clips)',
        '"crack_defect" → anomalous (1 clip)',
        "other files: 1 × .csv",
    )


# ---------------------------------------------------------------- what the user says


@pytest.mark.parametrize(
    ("normal", "abnormal"),
    [
        (["0_normal"], ["1_inner_race", "2_ball"]),
        (["0_normal/*"], ["[12]_*"]),
        (["*normal*"], ["*race*", "2_ball/*"]),
        (["0_NORMAL/"], ["1_inner_race/1.wav", "ball_*.wav"]),
    ],
)
def test_patterns(tmp_path, normal, abnormal):
    root = touch(
        tmp_path / "plant", "m1/0_normal/1.wav", "m1/1_inner_race/1.wav", "m1/2_ball/ball_1.wav"
    )
    found = find_clips(root, patterns=Patterns(tuple(normal), tuple(abnormal)))
    assert [clip.label for clip in found.clips] == [0, 1, 1]
    assert {clip.machine.machine_id for clip in found.clips} == {"m1"}
    assert found.question() == "" and found.problems == []


def test_what_fits_no_pattern_is_left_out(tmp_path):
    root = touch(tmp_path, "a/1.wav", "b/1.wav", "c/1.wav")
    found = find_clips(root, patterns=Patterns(("a",), ("b",)))
    assert [(clip.name, clip.label) for clip in found.clips] == [("a/1.wav", 0), ("b/1.wav", 1)]
    assert "1 audio file(s) fit neither --normal nor --abnormal" in found.problems[0]
    rest = find_clips(root, patterns=Patterns((), ("b",)))
    assert [clip.label for clip in rest.clips] == [0, 1, 0]
    assert len(machines(rest.clips)) == 1
    only = find_clips(root, patterns=Patterns(("a",)))
    assert [clip.name for clip in only.clips] == ["a/1.wav"]


def test_patterns_in_either_unicode_form(tmp_path):
    root = touch(tmp_path, "\u1103\u1161/1.wav", "b/1.wav")  # decomposed
    found = find_clips(root, patterns=Patterns(("다",), ("b",)))
    assert sorted(clip.label for clip in found.clips) == [0, 1]


def test_patterns_that_cannot_be_meant(tmp_path):
    root = touch(tmp_path / "plant", "a/1.wav", "b/1.wav")
    with pytest.raises(UserError, match=r"a/1.wav: fits --normal \* and --abnormal a; make one"):
        find_clips(root, patterns=Patterns(("*",), ("a",)))
    with pytest.raises(UserError, match=r"the pattern 'good' fits no clip; .* such as a/1\.wav"):
        find_clips(root, patterns=Patterns(("good",)))


def test_patterns_in_dcase(tmp_path):
    root = touch(
        tmp_path,
        "fan/train/section_00_source_train_normal_0000_a.wav",
        "fan/test/section_00_0001.wav",
        "fan/test/section_00_0002.wav",
    )
    found = find_clips(root, patterns=Patterns(("train", "*_0001"), ("*_0002",)))
    assert [(clip.label, clip.split) for clip in found.clips] == [
        (0, "test"),
        (1, "test"),
        (0, "train"),
    ]


# ---------------------------------------------------------------- Unicode


def test_one_place_in_two_unicode_forms(tmp_path):
    found = find_clips(touch(tmp_path / "plant", "\u1103\u1161/1.wav", "다/2.wav"))
    assert found.question() == ""


def test_names_typed_composed_find_what_a_mac_packed_decomposed(tmp_path):
    decomposed = unicodedata.normalize("NFD", "팬_01")
    root = touch(tmp_path / unicodedata.normalize("NFD", "공장"), f"{decomposed}/normal/정.wav")
    touch(root, "펌프/normal/1.wav")
    found = find_clips(tmp_path / "공장")
    (clip,) = select_machine(found.clips, "팬_01")
    assert select_machine(found.clips, decomposed) == [clip]
    assert clip.path.exists() and clip.machine.machine_id == "팬_01"
    (tmp_path / "list.csv").write_text("path\n공장/팬_01/normal/정.wav\n", encoding="utf-8")
    assert find_clips(tmp_path / "list.csv").clips[0].path.exists()


def test_folders_that_differ_in_their_unicode_form_are_one_machine(tmp_path):
    names = ["\u1103\u1161", "다"]
    if len({touch(tmp_path / name, "normal/1.wav").stat().st_ino for name in names}) == 1:
        pytest.skip("this file system takes both for one")
    assert len(machines(find_clips(tmp_path).clips)) == 1
