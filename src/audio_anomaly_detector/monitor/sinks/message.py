"""An event in words, with the time of the site."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from audio_anomaly_detector.errors import one_line

_LONGEST_TITLE, _LONGEST_BODY = 200, 1000  # characters; push services cut what is longer
_LONGEST_NAME = 60
_WORDS_SHOWN = 6
# Of events of a kind that have no words of their own.
_WITHOUT_WORDS = {
    "sound": "sounds unusual",
    "gain": "recorded at another gain",
    "drift": "sound has changed slowly",
}


def message(event: Mapping[str, Any], site: str, zone: str) -> tuple[str, str]:
    """Title and body of a notification.

    Args:
        event: `Event.to_dict`.
        site: its name.
        zone: time zone of the site, such as ``Europe/Berlin``.

    Returns:
        the title, such as ``pump-3: new tone at 3 kHz since 14:05``, and a body of a few lines.
    """
    here = ZoneInfo(zone)
    name = _cut(one_line(event["name"]), _LONGEST_NAME) or "(no name)"
    words = [one_line(sentence) for sentence in event["words"]]
    what = _clause(words[0]) if words else _WITHOUT_WORDS.get(event["kind"], event["kind"])
    started, ended = event["started"], event["ended"]
    since = _time_of_day(started, here)
    if event["phase"] == "end":
        until = since if ended is None else _time_of_day(ended, here)
        title = f"{name}: over: {what}, {since} to {until}"
    else:
        level = f"{event['level']}: " if event["phase"] == "update" else ""
        title = f"{name}: {level}{what} since {since}"
    where = f" at {one_line(site)}" if site else ""
    lines = [f"{event['level'].capitalize()}{where}"]
    lines.append(f"Since {_moment(started, here)}")
    if ended is not None:
        lines.append(f"Until {_moment(ended, here)} ({_duration(ended - started)})")
    lines += words[:_WORDS_SHOWN]
    return _cut(title, _LONGEST_TITLE), _cut("\n".join(lines), _LONGEST_BODY)


def _clause(sentence: str) -> str:
    """A sentence as part of another one."""
    text = sentence.strip().rstrip(".")
    # An abbreviation such as RMS stays as it is.
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def _time_of_day(moment: float, zone: ZoneInfo) -> str:
    """Hours and minutes, with the name of the zone in the hour that the clocks show twice."""
    local = _local(moment, zone)
    twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    return f"{local:%H:%M %Z}" if twice else f"{local:%H:%M}"


def _moment(moment: float, zone: ZoneInfo) -> str:
    return f"{_local(moment, zone):%Y-%m-%d %H:%M:%S %Z}"


def _local(moment: float, zone: ZoneInfo) -> datetime:
    # Not `fromtimestamp`, which fails far from now on some systems.
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=moment)).astimezone(zone)


def _duration(seconds: float) -> str:
    minutes = round(max(seconds, 0) / 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
