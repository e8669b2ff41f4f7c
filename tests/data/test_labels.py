"""What single names say, and what they only seem to say."""

import unicodedata

import pytest

from audio_anomaly_detector.data.labels import label_of, meaning, with_partners

NORMAL = """
    normal Normal NORMAL normals normal_files 0_normal 01-normal normal_001 normal.001ab
    NormalData NormalSound_IND case1_normal_IND_ch1_0001 normaldata good good-clips GOOD_2 ok OK
    room_1_ok okay healthy intact no_fault fault-free without_defect not_abnormal non-faulty
    defectFree faultless 정상 정상데이터 정상_01 이상없음 양품 불량아님 正常 正常音 無異常 无故障
    良品 合格品 異常なし in_ordnung fehlerfrei ohne_Fehler kein-defekt sans_défaut sin_fallo
    conforme bueno test_normal
"""
ANOMALOUS = """
    брак arızalı defeito
    abnormal Abnormal abNormal ab-normal anomaly anomalies anomalous_files anomaly.001cd
    AnomalyData AnomalousSound_IND bad bad_bearing NG NG-01 nok not_ok non_normal not-good no_good
    un-healthy fail failed failures fault faults faulty_3 defect defective damaged broken_large
    outlier unhealthy malfunction anormal_load 비정상 비정상음 이상 고장 불량품 정상아님 異常 异常
    故障音 不良品 不合格 非正常 不正常 缺陷 欠陥 Störung Fehler fehlerhaft defekt beschädigt
    nicht_in_ordnung nicht-ok défaut défectueux mauvais fallo defectuoso avería
"""
NOTHING = """
    goodyear_pump Badger badminton badenia bookshop okuma_lathe NGK_plug engine paranormal
    normally_open normalized abnorm failsafe failover faultier defector anomaly_detection
    fault_diagnosis 공정상태 bearing fan id_00 pump1 2024-05-01 monday clip_3 section_00 train
    test unknown abn fine pump_no_3 good_detector
"""


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        *((name, {0}) for name in NORMAL.split()),
        *((name, {1}) for name in ANOMALOUS.split()),
        *((name, set()) for name in NOTHING.split()),
        ("normal_and_abnormal", {0, 1}),
        ("ok_NG", {0, 1}),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_what_a_name_says(name, labels, form):
    assert meaning(unicodedata.normalize(form, name)).labels == labels


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["ok", "ng"], [{0}, {1}]),
        (["ng", "fan"], [set(), set()]),
        (["iO", "niO"], [{0}, {1}]),
        (["i.O.", "n.i.O."], [{0}, {1}]),
        (["io_module", "motor"], [set(), set()]),
        (["pass", "fail"], [{0}, {1}]),
        (["pass_1", "pass_2"], [set(), set()]),
        (["gut", "schlecht"], [{0}, {1}]),
        (["bon", "mauvais"], [{0}, {1}]),
        (["norm_01", "anom_01"], [{0}, {1}]),
        (["norm_01", "fan"], [set(), set()]),
        (["OK", "KO"], [{0}, {1}]),
        (["好", "坏"], [{0}, {1}]),
    ],
)
def test_words_that_count_beside_their_opposite(names, labels):
    stated = with_partners(names)
    assert [stated[name] for name in names] == labels


@pytest.mark.parametrize("name", ["모터정상", "风机异常", "正常運用中"])
def test_a_label_in_a_run_of_unknown_letters_is_no_guess(name):
    assert meaning(name).unsure and not meaning(name).labels


@pytest.mark.parametrize(
    ("name", "train"),
    [
        *((name, True) for name in ("train", "Train", "training", "train_set", "train_normal_01")),
        *(
            (name, False)
            for name in ("test", "test_rename", "testing", "val", "validation", "测试")
        ),
        *((name, None) for name in ("train_1", "test_bench", "trainer", "contest", "rail_train")),
    ],
)
def test_names_of_splits(name, train):
    assert meaning(name).train is train


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        *((name, True) for name in ("inner_race_014", "InnerRace", "leak", "air-leak", "cracked")),
        *(
            (name, False)
            for name in ("no_leak", "leak_detector", "leak-free", "ball_mill", "bleak")
        ),
    ],
)
def test_names_of_faults(name, fault):
    assert bool(meaning(name).fault) is fault


@pytest.mark.parametrize(
    ("text", "label"),
    [("0", 0), ("1", 1), ("Normal", 0), ("NG", 1), ("ng", 1), ("i.O.", 0), ("pass", 0), ("불량", 1)]
    + [(text, None) for text in ("2", "crack", "normal/abnormal", "good morning sir", "-")],
)
def test_a_cell_of_a_table(text, label):
    assert label_of(text) == label
