"""No sound counts twice: copies are left out, and what was recorded together stays together."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from audio_anomaly_detector.data.cache import WindowStore
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.fingerprint import Match, find_matches

# Share of a clip that may have been heard in an earlier one. Neighbouring cuts that overlap by more
# would count their common part twice; with less, a clip left out would take more new sound away.
_MOST_REPEATED = 0.3


class Copy(NamedTuple):
    """A clip that was left out.

    Attributes:
        clip: its name.
        original: name of the clip that holds its sound, or most of it.
    """

    clip: str
    original: str


class Sorted(NamedTuple):
    """Clips, each sound once.

    Attributes:
        kept: positions of the clips that are used, ascending.
        copies: by position of a clip that is left out, that of the clip whose sound it repeats.
        group: of every clip, the first clip of those that were recorded together.
    """

    kept: list[int]
    copies: dict[int, int]
    group: list[int]


def sort_out(
    matches: Sequence[Match], seconds: Sequence[float], groups: Sequence[str] = ()
) -> Sorted:
    """Which clips to keep, and which belong together.

    In order of the clips each is kept unless more than 30 % of it were heard in those kept before
    it. Other microphones of a take hear the same moment, but another sound: they are kept.

    Args:
        matches: of the clips.
        seconds: length of each clip.
        groups: what each is known to belong to, as `Clip.group`; empty: unknown.
    """
    group = list(range(len(seconds)))
    firsts: dict[str, int] = {}
    for clip, name in enumerate(groups):
        if name:
            group[clip] = firsts.setdefault(name, clip)
    repeats: dict[int, list[Match]] = {}
    for match in matches:
        ends = sorted((_root(group, match.first), _root(group, match.second)))
        group[ends[1]] = ends[0]
        if match.is_copy:
            repeats.setdefault(match.second, []).append(match)
    copies: dict[int, int] = {}
    for clip in range(len(seconds)):
        heard = [match for match in repeats.get(clip, []) if match.first not in copies]
        if sum(match.overlap_s for match in heard) > _MOST_REPEATED * seconds[clip]:
            copies[clip] = max(heard, key=lambda match: match.overlap_s).first
    kept = [clip for clip in range(len(seconds)) if clip not in copies]
    return Sorted(kept, copies, [_root(group, clip) for clip in range(len(seconds))])


def counted_once(store: WindowStore) -> tuple[WindowStore, list[Copy]]:
    """A store without the clips that repeat others, and clips of one recording in one group.

    The windows stay where they are; those of clips that are left out belong to no clip.
    """
    known = [clip.group or str(clip.path) for clip in store.clips]  # cuts of a file, too
    found = sort_out(find_matches(store.fingerprints), store.seconds, known)
    members = np.bincount(found.group, minlength=len(store.clips))
    clips = [
        replace(clip, group=store.clips[group].name) if members[group] > 1 else clip
        for clip, group in zip(store.clips, found.group, strict=True)
    ]
    names = [clip.name for clip in store.clips]
    copies = [Copy(names[clip], names[of]) for clip, of in sorted(found.copies.items())]
    return with_clips(replace(store, clips=clips), found.kept), copies


def with_clips(store: WindowStore, kept: Sequence[int]) -> WindowStore:
    """A store of some of its clips, given by their positions; the windows stay where they are."""
    place = np.full(len(store.clips) + 1, -1)  # the last: of windows that belong to no clip
    place[kept] = np.arange(len(kept))
    return replace(
        store,
        clip_index=place[store.clip_index],
        clips=[store.clips[i] for i in kept],
        seconds=[store.seconds[i] for i in kept],
        fingerprints=[store.fingerprints[i] for i in kept],
        infos=[store.infos[i] for i in kept],
    )


def copies_note(copies: Sequence[Copy]) -> list[str]:
    """What a user is told of the clips that were left out: a sentence, or nothing."""
    if not copies:
        return []
    first = copies[0]
    return [
        f"{len(copies)} clip(s) repeat the sound of others and were left out, so that no sound "
        f"counts twice (such as {first.clip}, which repeats {first.original})"
    ]


def _root(group: list[int], clip: int) -> int:
    while group[clip] != clip:
        clip = group[clip]
    return clip


def recorded_together(clips: Sequence[Clip], found: Sorted) -> list[list[Clip]]:
    """Kept clips that share moments with others, those of one recording in one list."""
    groups: dict[int, list[Clip]] = {}
    for clip in found.kept:
        groups.setdefault(found.group[clip], []).append(clips[clip])
    return [members for members in groups.values() if len(members) > 1]
