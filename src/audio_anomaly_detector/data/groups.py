"""Which recordings vary together: those of one day, hour, folder, or of one name.

How a machine sounds differs more from day to day, or from mounting to mounting, than within a day.
What is independent sets how much is known of other days: see `clips.independent_groups`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.errors import UserError

_BY_NAME = "name:"
DATE = r"(?<!\d)(20\d\d)[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])"
_DAY = re.compile(DATE + r"(?!\d{3,5}(?!\d))")
_HOUR = re.compile(DATE + r"[-_. T/]*([01]\d|2[0-3])(?=[-_.:h]?[0-5]\d)")


def check_rule(rule: str) -> str:
    """The rule itself; a ValueError says what is wrong with it."""
    if rule.startswith(_BY_NAME):
        try:
            re.compile(rule.removeprefix(_BY_NAME))
        except re.error as error:
            raise ValueError(f"group {rule!r} is no regular expression: {error}") from error
    elif rule not in _RULES:
        raise ValueError(
            f"group {rule!r} is none of {', '.join(_RULES)}, or name:REGEX, such as name:day\\d+"
        )
    return rule


def with_groups(clips: Sequence[Clip], rule: str) -> list[Clip]:
    """The clips, each with the group that a rule gives it.

    Args:
        clips: of one machine.
        rule: `recording`: each file for itself, or the group that a manifest states; `auto`: the
            same here, and a fit finds neighbours that are alike; `folder`: the folder it lies in;
            `day`, `hour`: by the time in its name or folders, such as `2026-11-26_14-05.wav` or
            `20261126T140500.wav`; `name:REGEX`: what the regular expression, or its first group,
            finds in the name.

    Raises:
        UserError: a name without what the rule asks for.
    """
    if rule in ("auto", "recording"):
        return list(clips)
    if rule.startswith(_BY_NAME):
        pattern = re.compile(rule.removeprefix(_BY_NAME))
        group_of = _searched(pattern)
    else:
        group_of = _RULES[rule]
    grouped = []
    without = []
    for clip in clips:
        group = group_of(clip.name.partition("#t=")[0])
        if group is None:
            without.append(clip.name)
        else:
            grouped.append(replace(clip, group=f"{rule}={group}"))
    if without:
        what = "nothing that it fits" if rule.startswith(_BY_NAME) else f"no {rule}"
        raise UserError(
            f"--group {rule}: {len(without)} of {len(clips)} clips have {what} in their names "
            f"(such as {without[0]}); rename them, give another rule, or a manifest with the "
            "column group"
        )
    return grouped


def _searched(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    """What a pattern finds in a name: its groups, if it has any."""

    def found(name: str) -> str | None:
        match = pattern.search(name)
        if match is None:
            return None
        return "-".join(part or "" for part in match.groups()) if match.groups() else match[0]

    return found


def _folder(name: str) -> str:
    return PurePosixPath(name).parent.as_posix()


_RULES: dict[str, Callable[[str], str | None]] = {
    "auto": lambda name: name,
    "recording": lambda name: name,
    "folder": _folder,
    "day": _searched(_DAY),
    "hour": _searched(_HOUR),
}
