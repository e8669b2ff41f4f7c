"""Words in names that say whether a clip is normal.

One vocabulary for folders, file names and the manifest's column. What a name says is decided by
whole words (`data/words.py`): *not*, *no*, *without*, *-free* and the like turn the word beside
them, and a task (`anomaly_detection`) says nothing. Some words mean something else elsewhere
(`pass`, `io`): they count where the data set has a word for the other kind too.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from audio_anomaly_detector.data import words
from audio_anomaly_detector.data.words import word_set

NAMES = {0: "normal", 1: "anomalous", None: "unknown"}

_NORMAL = """
    intakt sağlam норма нормальный нормальные исправный normal normals normale normales normaux
    normaler nominal good ok okay oks healthy intact undamaged faultless flawless unbroken
    faultfree defectfree nonfaulty nondefective fehlerfrei fehlerlos einwandfrei inordnung
    conforme saine sano sana bueno buena buono 정상 양품 양호 합격 正常 良品 合格 合格品 良好 完好
"""
_ANOMALOUS = """
    schlechte slecht defeito defeitos falha falhas arıza arızalı аномалия аномалии брак дефект
    неисправный авария 이상치 abnormal abnormals anormal anormale anormaux anormales anomal
    anomale anomaly anomalies anomalous anomalie anomalien anomalia anomalias anomalo anomalos
    abnormality abnormalities bad nogood notok nok fail fails failed failing failure failures
    fault faults faulty faulted defect defects defective defectives damage damages damaged broken
    outlier outliers unhealthy nonnormal malfunction malfunctions malfunctioning reject rejects
    rejected schlecht fehler fehlern fehlerhaft fehlerhafte defekt defekte storung storungen
    stoerung stoerungen gestort gestoert kaputt beschadigt beschaedigt schaden ausschuss ausfall
    mauvais mauvaise defaut defauts defectueux defectueuse panne pannes defaillance fallo fallos
    falla fallas defecto defectos defectuoso defectuosa averia averias danado guasto difetto
    difettoso rotto 비정상 이상 고장 불량 불량품 불합격 결함 파손 손상 异常 異常 故障 不良 不良品
    不合格 不合格品 缺陷 損壞 损坏 破損 破损 不正常 非正常 次品 欠陥 不具合
"""
_WEAK_NORMAL = "io pass passed passes gut gute bon bonne bom sain goed norm nor 好"
_WEAK_ANOMALOUS = "ng nio ko mal malo mala mau ruim fout anom abn abnorm 坏 壞"

_LABELS = dict.fromkeys(word_set(_NORMAL), 0) | dict.fromkeys(word_set(_ANOMALOUS), 1)
_WEAK = dict.fromkeys(word_set(_WEAK_NORMAL), 0) | dict.fromkeys(word_set(_WEAK_ANOMALOUS), 1)
_NOT_BEFORE = word_set(
    """
    not no non ab without zero nicht kein keine keinen ohne sans pas aucun aucune sin ningun
    무 无 無 没有 沒有 未 非 不
    """
)
_NOT_AFTER = word_set(
    """
    free frei los 아님 아닌 없음 없는 なし 無し 無 でない ではない
    """
)
_TASKS = word_set(
    """
    detection detector detect diagnosis diagnostics prediction classification classifier
    monitoring monitor recognition challenge tolerant 탐지 감지 진단 检测 檢測 诊断 検知 診断
    """
)
# Faults by name: what carries one is no normal clip, but nobody has said so.
_FAULTS = word_set(
    """
    leak leaks leakage leaking crack cracks cracked imbalance unbalance unbalanced misalignment
    misaligned looseness loose cavitation clog clogged clogging blockage blocked contamination
    contaminated rattle rattling scratch scratched pitting spall spalling chipped worn stuck
    jammed rubbing overheated eccentricity innerrace outerrace innerring outerring brokenbar 누설
    누출 균열 불균형 泄漏 裂纹 漏れ 亀裂
    """
)
_SURROUNDINGS = {"environmental", "environment", "background", "ambient"}
_PAIRS = {
    ("in", "ordnung"): "inordnung",
    ("inner", "race"): "innerrace",
    ("outer", "race"): "outerrace",
    ("inner", "ring"): "innerring",
    ("outer", "ring"): "outerring",
    ("missing", "tooth"): "chipped",
}
_KNOWN = frozenset({*_LABELS, *_WEAK, *_NOT_BEFORE, *_NOT_AFTER, *_TASKS, *_FAULTS})
_BESIDE = _KNOWN - _FAULTS  # words that leave a split's name one: `test_normal`


class Meaning(NamedTuple):
    """What one name says.

    Attributes:
        labels: of its words: none, {0}, {1}, or both.
        word: the first word that says so, as compared.
        weak: the labels of words that count only beside their opposite.
        unsure: a label word stands in a run of unknown letters of a script without spaces.
        fault: a fault that it names, or "".
        train: it is the name of a training folder (True), of a test folder (False), of neither.
        session: it holds nothing but numbers, dates and neutral words.
        time: it holds nothing but numbers and dates.
        noise: it is a recording of the surroundings.
        rest: words that say something else, with the numbers after them.
    """

    labels: frozenset[int]
    word: str
    weak: frozenset[int]
    unsure: bool
    fault: str
    train: bool | None
    session: bool
    time: bool
    noise: bool
    rest: tuple[str, ...]


@lru_cache(maxsize=65536)
def meaning(name: str) -> Meaning:
    """Read the name of a folder, or of a file without its suffix."""
    found = _paired(words.words(name, _KNOWN))
    labels: set[int] = set()
    weak: set[int] = set()
    said, fault = "", ""
    rest: list[str] = []
    for before, word, after in zip(("", *found), found, (*found[1:], ""), strict=False):
        label = _LABELS.get(word, _WEAK.get(word))
        turned = before in _NOT_BEFORE or (before == "un" and label == 0)
        turned_after = after in _NOT_AFTER
        if after in _TASKS:
            rest.append(word)
        elif label is not None:
            if turned or (turned_after and (label or words.joined(after))):
                label = 1 - label
            is_weak = word in _WEAK and not (word == "ng" and "NG" in name)
            (weak if is_weak else labels).add(label)
            said = said or word
        elif word in _FAULTS:
            fault = fault or ("" if turned or turned_after else word)
        elif (word.isdigit() and before in rest) or not (
            word in _KNOWN or words.says_nothing(word)
        ):
            rest.append(word)
    unsure = not labels and any(words.joined(word) and _begins_or_ends(word) for word in rest)
    return Meaning(
        labels=frozenset(labels),
        word=said,
        weak=frozenset(weak),
        unsure=unsure,
        fault=fault,
        train=words.split_of(found, _BESIDE),
        session=words.is_session(found),
        time=words.is_time(found),
        noise=found == ("noise",) or bool(_SURROUNDINGS & set(found)),
        rest=tuple(rest),
    )


def label_of(text: str) -> int | None:
    """The label that a cell of a table states; None if it states none or both.

    0 and 1 are labels there, and words that mean something else in a name count.
    """
    if text in ("0", "1"):
        return int(text)
    said = meaning(text)
    labels = said.labels | said.weak
    return min(labels) if len(labels) == 1 and not said.rest else None


def with_partners(names: Iterable[str]) -> Mapping[str, frozenset[int]]:
    """The labels that each name states, among all names of a data set.

    A weak word counts if another name has a word for the other kind.
    """
    read = {name: meaning(name) for name in names}
    there: set[int] = set().union(*(said.labels | said.weak for said in read.values()))
    return {
        name: said.labels | (said.weak if {0, 1} <= there else frozenset())
        for name, said in read.items()
    }


def _paired(found: tuple[str, ...]) -> tuple[str, ...]:
    """Join words that mean something only together."""
    result: list[str] = []
    for word in found:
        pair = _PAIRS.get((result[-1], word)) if result else None
        if pair is None:
            result.append(word)
        else:
            result[-1] = pair
    return tuple(result)


def _begins_or_ends(word: str) -> bool:
    return any(
        word.startswith(label) or word.endswith(label) for label in _LABELS if words.joined(label)
    )
