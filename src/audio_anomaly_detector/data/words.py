"""The words of a folder or file name, and which names tell nothing but when a recording was made.

A name is cut at every character that is no letter or digit, between letters and digits, and at
capitals (`NormalData`). Words are compared without case and accents, composed or decomposed alike.
Korean, Chinese and Japanese write words together: there a run of letters is cut only if it consists
of known words as a whole. Nothing is guessed from parts of words: `goodyear` is not `good`.
"""

import re
import unicodedata
from collections.abc import Set
from functools import lru_cache

_JOINED = re.compile(  # scripts that write words together
    "([\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff]+)"
)


def word_set(text: str) -> frozenset[str]:
    """The words of a list that is written as text, as they are compared."""
    return frozenset(word if joined(word) else plain(word) for word in text.split())


def plain(word: str) -> str:
    """A word of a Latin script without case and accents."""
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def joined(word: str) -> bool:
    """Whether a word is of a script that writes words together."""
    return bool(_JOINED.match(word))


# What may stand beside any other word, and says nothing by itself.
NEUTRAL = word_set(
    """
    data dataset datasets set sets file files clip clips sound sounds audio audios wav wave waves
    flac mp3 sample samples recording recordings record records rec recs operation operating
    signal signals noise ind cnt only all raw cut cuts daten ton betrieb teil teile aufnahme
    aufnahmen zustand donnees son enregistrement datos sonido grabacion 데이터 소리 음 음향 음원
    음성 파일 녹음 상태 샘플 신호 클립 용 작동 운전 数据 數據 样本 樣本 声音 聲音 音 音频 音頻
    音声 录音 錄音 録音 文件 状态 狀態 状態 品 データ サンプル ファイル 動作 運転 時
    """
)
# Of kinds of clips: beside a label they say nothing more, alone they may tell classes apart.
KINDS = word_set("case cases class classes label state states status condition conditions")
TRAIN = word_set(
    """
    train training trainset 학습 훈련 训练 訓練 学習
    """
)
TEST = word_set(
    """
    test testing tests testset val valid validation eval evaluation 시험 테스트 검증 평가 测试
    測試 验证 驗證 テスト 検証 評価
    """
)
# Names of times and of parts of a recording campaign.
_SESSIONS = word_set(
    """
    rpm hz khz percent day days date week month year hour hours hr h min minute sec s time morning
    noon afternoon evening night am pm early late shift session sessions run runs take takes batch
    part parts track tracks series spring summer autumn fall winter q kw t no nr number monday
    tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun
    january february march april may june july august september october november december jan feb
    mar apr jun jul aug sep sept oct nov dec montag dienstag mittwoch donnerstag freitag samstag
    sonntag januar februar marz mai juni juli oktober dezember tag woche monat jahr schicht 월 일
    년 시 분 월요일 화요일 수요일 목요일 금요일 토요일 일요일 오전 오후 주간 야간 年 月 日 分
    月曜日 火曜日 水曜日 木曜日 金曜日 土曜日 日曜日 午前 午後 上午 下午 星期
    """
)
_ABBREVIATION = re.compile(r"(?<![^\W_])[^\W\d_](?:\.[^\W\d_])+(?![^\W_])\.?")  # i.O.
_RUN = re.compile(r"\d+|[^\W\d_]+")
_CAMEL = re.compile(r"[A-ZÄÖÜ]+(?=[A-ZÄÖÜ][^\W\d_A-ZÄÖÜ])|[A-ZÄÖÜ]?[^\W\d_A-ZÄÖÜ]+|[A-ZÄÖÜ]+")


def same(name: str) -> str:
    """A name as it is compared: composed Unicode without case."""
    return unicodedata.normalize("NFC", name).casefold()


@lru_cache(maxsize=65536)
def words(name: str, known: Set[str]) -> tuple[str, ...]:
    """The words of a name in order, without case and accents; numbers are words too.

    Args:
        name: of a folder, or of a file without its suffix.
        known: words that a run of letters may be cut into, beside those of this module.
    """
    known = _with_own(known)
    name = unicodedata.normalize("NFKC", name)
    name = _ABBREVIATION.sub(lambda match: match[0].replace(".", ""), name)
    found: list[str] = []
    for run in _RUN.findall(name):
        for piece in filter(None, _JOINED.split(run)):
            if piece.isdigit():
                found.append(piece)
                continue
            if _JOINED.match(piece):
                found += _cut(piece, known) or [piece]
                continue
            whole = plain(piece)
            parts = [whole] if whole in known else [plain(part) for part in _CAMEL.findall(piece)]
            for part in parts:
                found += [part] if part in known else _cut(part, known) or [part]
    return tuple(found)


def split_of(found: tuple[str, ...], others: Set[str]) -> bool | None:
    """Whether a folder name means training (True), testing (False) or neither (None).

    Beside such a word only neutral words and `others` may stand: `train_set` is a split,
    `test_bench` is not, nor is `train_1`, which may run on rails.
    """
    kinds = {word in TRAIN for word in found if word in TRAIN | TEST}
    rest = [
        word
        for word in found
        if word not in TRAIN | TEST | NEUTRAL | KINDS | {"rename", "source", "target"}
    ]
    says_more = any(word in others for word in rest)
    if len(kinds) != 1 or any(
        not (word in others or (says_more and word.isdigit())) for word in rest
    ):
        return None
    return kinds.pop()


def is_session(found: tuple[str, ...]) -> bool:
    """Whether a name holds nothing but numbers, dates, times and neutral words."""
    return all(word.isdigit() or word in _SESSIONS or word in NEUTRAL for word in found)


def is_time(found: tuple[str, ...]) -> bool:
    """Whether a name holds nothing but numbers, dates and times."""
    return all(word.isdigit() or word in _SESSIONS for word in found)


def says_nothing(word: str) -> bool:
    """Whether a word is a number, a time, or neutral."""
    return (
        word.isdigit()
        or word in _SESSIONS
        or any(word in neutral for neutral in (NEUTRAL, KINDS, TRAIN, TEST))
    )


@lru_cache(maxsize=4)
def _with_own(known: Set[str]) -> frozenset[str]:
    return frozenset(known | NEUTRAL | KINDS | TRAIN | TEST | _SESSIONS)


@lru_cache(maxsize=4)
def _pattern(known: Set[str], together: bool) -> re.Pattern[str]:
    """The words that a run of letters may be cut into.

    Of a script with spaces words of four letters or more, none of them a time: `normaldata`, but
    not `goodyear`, `badminton` or `okdata`.
    """
    spaced = {word for word in known - _SESSIONS if len(word) > 3} | (known & {"bad"})
    chosen = known if together else spaced
    return re.compile("|".join(sorted(map(re.escape, chosen), key=len, reverse=True)))


def _cut(run: str, known: Set[str]) -> list[str]:
    """Cut a run of letters into known words; none if that is impossible."""
    pieces = _pattern(known, joined(run)).findall(run)
    return pieces if "".join(pieces) == run else []
