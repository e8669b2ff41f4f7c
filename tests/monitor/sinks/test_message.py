"""Notifications in words, with the time of the site."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.sinks.message import message
from monitor.told_events import ended, event


def _at(*moment: int) -> float:
    return datetime(*moment, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


def _title(one: Event, zone: str = "Europe/Berlin") -> str:
    return message(one.to_dict(), "Plant", zone)[0]


def test_the_course_of_an_event() -> None:
    one = event(at=_at(2026, 9, 21, 12, 5))
    assert _title(one) == "pump-3: new tone at 3 kHz since 14:05"
    alarm = replace(one, phase="update", level="alarm", revision=1)
    assert _title(alarm) == "pump-3: alarm: new tone at 3 kHz since 14:05"
    assert _title(ended(one)) == "pump-3: over: new tone at 3 kHz, 14:05 to 14:06"
    body = message(ended(one).to_dict(), "Plant", "Europe/Berlin")[1]
    assert body.splitlines() == [
        "Warning at Plant",
        "Since 2026-09-21 14:05:00 CEST",
        "Until 2026-09-21 14:06:00 CEST (1 min)",
        "New tone at 3 kHz.",
        "revision 0",
    ]


def test_the_hour_that_the_clocks_show_twice() -> None:
    # On 25 October 2026 clocks in Germany go from 3:00 CEST back to 2:00 CET, at 1:00 UTC.
    first, second = event(at=_at(2026, 10, 25, 0, 30)), event(at=_at(2026, 10, 25, 1, 30))
    assert _title(first).endswith("since 02:30 CEST")
    assert _title(second).endswith("since 02:30 CET")
    assert _title(event(at=_at(2026, 10, 25, 2, 30))).endswith("since 03:30")
    over = replace(first, phase="end", ended=_at(2026, 10, 25, 1, 30))
    title, body = message(over.to_dict(), "", "Europe/Berlin")
    assert title.endswith("02:30 CEST to 02:30 CET")
    assert "(1 h 0 min)" in body


def test_the_hour_that_the_clocks_skip() -> None:
    # On 29 March 2026 from 2:00 CET to 3:00 CEST, at 1:00 UTC.
    one = event(at=_at(2026, 3, 29, 0, 59))
    title, body = message(
        replace(one, phase="end", ended=_at(2026, 3, 29, 1, 1)).to_dict(), "", "Europe/Berlin"
    )
    assert title.endswith("01:59 to 03:01") and "(2 min)" in body


def test_times_are_those_of_the_site() -> None:
    one = event(at=_at(2026, 9, 21, 12, 5))
    assert _title(one, "Asia/Kolkata").endswith("17:35")
    assert _title(one, "UTC").endswith("12:05")


def test_a_clock_that_was_set_back_during_an_event() -> None:
    one = event(at=_at(2026, 9, 21, 12, 5))
    body = message(replace(one, ended=one.started - 3600).to_dict(), "", "UTC")[1]
    assert "(0 min)" in body


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "pump-3: sounds unusual since"),
        (("RMS level +6 dB.",), "pump-3: RMS level +6 dB since"),
        (("Repeats 17.3 times a second",), "pump-3: repeats 17.3 times a second since"),
    ],
)
def test_first_words(words: tuple[str, ...], said: str) -> None:
    assert _title(replace(event(), words=words)).startswith(said)


@pytest.mark.parametrize("name", ["a\nBcc: all@x", "\x1b[2J", "\u202egnp", "\udcff", "", "x" * 999])
def test_hostile_names_stay_on_one_short_line(name: str) -> None:
    one = replace(event(name=name), words=(f"{name} sounds {name}.",) * 50)
    title, body = message(one.to_dict(), name, "UTC")
    assert title.isprintable() and len(title) <= 200
    assert all(line.isprintable() for line in body.splitlines()) and len(body) <= 1000
    assert len(body.splitlines()) <= 10
    title.encode(), body.encode()
