"""Takes whose microphones have a file each: which files are one recording.

Recorders that write one file a track name them alike but for the number or side of the microphone:
`take1_mic1.wav` and `take1_mic2.wav`, `ch0/0001.wav` and `ch1/0001.wav`, `fan-L.wav` and
`fan-R.wav`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.errors import UserError

_SIDES = {"l": 0, "left": 0, "links": 0, "r": 1, "right": 1, "rechts": 1}
_NUMBERED = (
    r"(?<![^\W\d_])(?P<word>microphone|mikrofon|mic|channel|kanal|chan|ch|sensor|track|tr)"
    r"[-_ .]?(?P<number>\d{1,3})(?!\d)"
)
_SIDED = r"(?<![^\W_])(?P<side>left|right|links|rechts|l|r)(?![^\W_])"
_MICROPHONE = re.compile(f"{_NUMBERED}|{_SIDED}", re.IGNORECASE)


class Takes(NamedTuple):
    """Which names belong together.

    Attributes:
        files: of every take the names of its files, in order of the microphones.
        problems: what was left out, a line each: files of no microphone, and takes that have other
            microphones than most.
    """

    files: list[tuple[str, ...]]
    problems: list[str]


def find_takes(names: Sequence[str]) -> Takes:
    """Group the files of each take by their names.

    Args:
        names: posix paths.

    Raises:
        UserError: no two names differ in the microphone alone.
    """
    takes = _by_take(names)
    if not takes:
        raise UserError(
            "--join-takes: no two files differ only in the number or side of a microphone, such as "
            "take1_mic1.wav and take1_mic2.wav, or ch0/1.wav and ch1/1.wav; rename them, or name "
            "the files of each take in one line of a CSV manifest, with | between them"
        )
    used = {name for take in takes for name in take.values()}
    alone = [name for name in names if name not in used]
    problems = []
    if alone:
        problems.append(
            f"{len(alone)} file(s) name no microphone of a take and were left out (such as "
            f"{alone[0]})"
        )
    sets = [tuple(sorted(take)) for take in takes]
    usual = max(sets, key=lambda microphones: (sets.count(microphones), len(microphones)))
    whole = [tuple(take[one] for one in usual) for take in takes if tuple(sorted(take)) == usual]
    if len(whole) < len(takes):
        other = next(take for take in takes if tuple(sorted(take)) != usual)
        problems.append(
            f"{len(takes) - len(whole)} take(s) have other microphones than most "
            f"({_listed(usual)}) and were left out (such as that of {next(iter(other.values()))}: "
            f"{_listed(sorted(other))})"
        )
    return Takes(whole, problems)


def likely_takes(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Takes as names suggest them, where nobody said so: none if there is any doubt.

    A number may be that of a recording: `track01` to `track20` of a disc. So there must be no name
    outside of the takes, and several takes of the same microphones.
    """
    takes = _by_take(names)
    sets = {tuple(take) for take in takes}
    if len(takes) < 2 or len(sets) > 1 or sum(map(len, takes)) < len(names):
        return []
    return [tuple(take.values()) for take in takes]


def join_takes(clips: Sequence[Clip]) -> tuple[list[Clip], list[str]]:
    """Make one clip of the clips of one take, under the name of its first microphone.

    Returns:
        The takes, and `Takes.problems`.

    Raises:
        UserError: as `find_takes`; or files of one take differ in what is said of them.
    """
    takes, problems = find_takes([clip.name for clip in clips])
    named = {clip.name: clip for clip in clips}
    return [_joined([named[name] for name in take]) for take in takes], problems


def _joined(clips: Sequence[Clip]) -> Clip:
    first, *others = clips
    for other in others:
        if _stated(other) != _stated(first):
            raise UserError(
                f"--join-takes: {first.name} and {other.name} are files of one take, but differ in "
                "label, split or time; correct what is said of them"
            )
    return replace(first, further=tuple(file for other in others for file in other.files))


def _stated(clip: Clip) -> tuple[object, ...]:
    return clip.label, clip.split, clip.domain, clip.start, clip.duration


def _by_take(names: Sequence[str]) -> list[dict[int, str]]:
    """Names by take and microphone; none if no take has two.

    A name may have several places that look like a microphone's (`mic2/track1.wav`); the kind of
    word that joins the most files decides.
    """
    by_word: dict[str, dict[str, dict[int, str]]] = defaultdict(lambda: defaultdict(dict))
    for name in names:
        for word, take, microphone in _places(name):
            by_word[word][take].setdefault(microphone, name)
    joined = {
        word: sum(len(take) for take in takes.values() if len(take) > 1)
        for word, takes in by_word.items()
    }
    best = max(joined, key=joined.__getitem__, default="")
    return list(by_word[best].values()) if best and joined[best] else []


def _places(name: str) -> Iterator[tuple[str, str, int]]:
    """Where a name may say a microphone: the kind of word, the name without it, the number."""
    for match in _MICROPHONE.finditer(name):
        word, number = "side", _SIDES.get((match["side"] or "").lower())
        if number is None:
            word, number = match["word"].lower(), int(match["number"])
        below = name.count("/", match.end())
        yield f"{word} {below}", f"{name[: match.start()]}*{name[match.end() :]}", number


def _listed(microphones: Sequence[int]) -> str:
    return ", ".join(map(str, microphones))
