"""Events of a machine, from verdicts that are made up."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audio_anomaly_detector.monitor.alert_config import AlertConfig
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.tracker import (
    TrackerState,
    advance,
    end_event,
    with_details,
)
from audio_anomaly_detector.monitor.verdict import Verdict

SECONDS = 10.0
START = 1_800_000_000.0
# Four of five, for short courses.
RULES = AlertConfig(
    needed=4,
    of=5,
    warning_after=0,
    alarm_after=0,
    keep_firing=60,
    cooldown=200,
    unjudged=100,
    settling=100,
    lasting=600,
)
# Of a window: normal, warning, alarm; alarm, but recorded otherwise; not judged; machine off.
KINDS = "nwaru-"


def verdict(kind: str, at: float, seconds: float = SECONDS) -> Verdict:
    score = {"n": 0.5, "w": 1.5, "a": 3.0, "r": 3.0}.get(kind)
    level = {"w": "warning", "a": "alarm", "r": "alarm"}.get(kind, "none")
    return Verdict(
        at,
        at + seconds,
        stretch=0,
        state="off" if kind == "-" else "running",
        judged=score is not None,
        reason={"u": "speech over it", "-": "the machine is off"}.get(kind),
        score=score,
        threshold=None if score is None else 1.0,
        alarm_threshold=None if score is None else 2.0,
        level=level,  # type: ignore[arg-type]
        p_value=None if score is None else 0.1,
        p_recording={"r": 1e-4, "-": None, "u": None}.get(kind, 0.5),
    )


def verdicts(kinds: str, start: float = START, hop: float = SECONDS) -> list[Verdict]:
    return [verdict(kind, start + number * hop) for number, kind in enumerate(kinds)]


def heard(
    windows: Sequence[Verdict],
    state: TrackerState | None = None,
    settings: AlertConfig = RULES,
) -> tuple[TrackerState, list[Event]]:
    """State and events after the windows."""
    state, told = state or TrackerState("pump-3"), []
    for window in windows:
        state, events = advance(state, window, settings)
        told += events
    return state, told


def told(windows: Sequence[Verdict], settings: AlertConfig = RULES) -> list[tuple[str, str]]:
    """Phase and level of each telling."""
    return [(event.phase, event.level) for event in heard(windows, settings=settings)[1]]


def test_a_fault_is_told_once_within_five_windows_and_when_it_is_over() -> None:
    windows = verdicts("nnnn" + "w" * 20 + "n" * 20)
    _, events = heard(windows)
    assert [event.phase for event in events] == ["new", "end"]
    new, end = events
    assert new.id == end.id
    assert (new.revision, end.revision) == (0, 1)
    assert new.started == windows[4].at
    assert new.updated == windows[7].end, "four windows of the last five"
    assert end.ended == end.updated > windows[23].end
    assert (new.subject, new.name, new.kind) == ("machine", "pump-3", "sound")


@pytest.mark.parametrize("kinds", ["nwnnnw" * 20, "wwwnn" * 20, "a" + "n" * 9])
def test_too_few_windows_are_no_event(kinds: str) -> None:
    assert told(verdicts(kinds)) == []


def test_a_warning_becomes_an_alarm_and_never_less_again() -> None:
    assert told(verdicts("w" * 6 + "a" * 6 + "w" * 6 + "n" * 20)) == [
        ("new", "warning"),
        ("update", "alarm"),
        ("end", "alarm"),
    ]
    assert told(verdicts("a" * 6)) == [("new", "alarm")]


def test_an_alarm_has_lasted_for_some_time() -> None:
    rules = RULES.model_copy(update={"alarm_after": 100})
    _, events = heard(verdicts("a" * 30), settings=rules)
    assert [(event.phase, event.level) for event in events] == [
        ("new", "warning"),
        ("update", "alarm"),
    ]
    assert events[1].updated - events[0].updated == 100
    assert told(verdicts("a" * 8 + "w" * 20), rules) == [("new", "warning")]
    over = "w" * 6 + "n" * 12
    assert told(verdicts(over + "a" * 13), rules)[2:] == [], "no worse than before yet"
    assert told(verdicts(over + "a" * 14), rules)[2:] == [("new", "alarm")]


def test_a_warning_has_lasted_for_some_time() -> None:
    rules = RULES.model_copy(update={"warning_after": 100, "alarm_after": 150})
    _, events = heard(verdicts("a" * 30), settings=rules)
    assert [(event.phase, event.level) for event in events] == [
        ("new", "notice"),
        ("update", "warning"),
        ("update", "alarm"),
    ]
    assert [event.updated - events[0].updated for event in events] == [0, 100, 150]
    assert told(verdicts("w" * 12 + "n" * 12), rules) == [("new", "notice"), ("end", "notice")]


def test_what_lasts_through_the_cooldown_is_told_as_soon_as_it_is_worse() -> None:
    rules = RULES.model_copy(update={"warning_after": 100, "alarm_after": 150})
    over = "w" * 6 + "n" * 12  # a notice
    assert told(verdicts(over + "w" * 13), rules)[2:] == []
    assert told(verdicts(over + "w" * 14), rules)[2:] == [("new", "warning")]
    # What was calm in between begins anew.
    assert told(verdicts(over + "w" * 8 + "n" * 12 + "w" * 8), rules)[2:] == [("new", "notice")]


def test_short_calm_does_not_end_an_event() -> None:
    assert told(verdicts("w" * 6 + "nnnnww" * 20)) == [("new", "warning")]
    assert told(verdicts("w" * 6 + "wwnnn" * 20)) == [("new", "warning")], "two of five: no calm"
    assert told(verdicts("w" * 6 + "wnnnn" * 20)) == [("new", "warning"), ("end", "warning")]


def test_windows_that_are_not_judged_neither_open_nor_end() -> None:
    assert told(verdicts("wuwuw" * 3 + "n" * 5)) == []
    assert told(verdicts("w" * 6 + "u" * 9)) == [("new", "warning")]
    assert told(verdicts("w" * 6 + "-" * 500)) == [("new", "warning")], "off for hours"


def test_a_machine_that_cannot_be_judged_is_told_of_once() -> None:
    windows = verdicts("n" * 5 + "u" * 300 + "n" * 10)
    _, events = heard(windows)
    assert [(event.phase, event.level, event.kind) for event in events] == [
        ("new", "notice", "unjudged"),
        ("end", "notice", "unjudged"),
    ]
    assert events[0].started == windows[5].at
    assert events[0].words == ("cannot be judged: speech over it",)
    assert told(verdicts("-" * 300)) == [], "off is no fault"
    assert told(verdicts("uuuuuuuun" * 50)) == [], "now and then it can be judged"


def test_an_open_event_says_that_it_cannot_be_judged_any_more() -> None:
    _, events = heard(verdicts("w" * 6 + "u" * 60 + "w" + "u" * 60))
    assert [event.phase for event in events] == ["new", "update", "update"]
    assert events[-1].words == ("cannot be judged: speech over it",), "said once"


def test_a_fault_heard_after_a_notice_ends_the_notice_first() -> None:
    _, events = heard(verdicts("u" * 20 + "w" * 20))
    assert [(event.kind, event.phase) for event in events] == [
        ("unjudged", "new"),
        ("unjudged", "end"),
        ("sound", "new"),
        ("sound", "update"),
    ]
    assert [event.level for event in events] == ["notice", "notice", "notice", "warning"]


def test_the_cooldown_holds_warnings_back_but_no_alarm() -> None:
    over = "w" * 6 + "n" * 12  # ended, 20 windows of cooldown
    assert told(verdicts(over + "wwwwnnnn"))[2:] == []
    assert told(verdicts(over + "w" * 30))[2:] == [("new", "warning")], "it lasts: told afterwards"
    assert told(verdicts(over + "aaaa"))[2:] == [("new", "alarm")]
    after_alarm = "a" * 6 + "n" * 12
    assert told(verdicts(after_alarm + "aaaannnn"))[2:] == []


def test_the_cooldown_goes_on_while_nobody_listens() -> None:
    state, _ = heard(verdicts("w" * 6 + "n" * 12))
    assert state.waiting > 100
    _, soon = heard(verdicts("wwww", START + 18 * SECONDS), state)
    _, later = heard(verdicts("wwww", START + 18 * SECONDS + 300), state)
    assert not soon
    assert [event.phase for event in later] == ["new"]


def test_windows_before_a_gap_are_no_evidence_and_gaps_are_no_calm() -> None:
    first = verdicts("www")
    assert told([*first, *verdicts("w", first[-1].end + SECONDS)]) == [("new", "warning")]
    assert told([*first, *verdicts("w", first[-1].end + 2 * SECONDS)]) == []
    state, _ = heard(verdicts("w" * 6))
    calm = verdicts("nn", START + 1_000_000)
    assert heard(calm, state)[1] == []


def test_what_a_model_of_the_learning_period_finds_is_a_notice() -> None:
    tentative = [replace(one, tentative=True) for one in verdicts("wwwwww")]
    assert told(tentative) == [("new", "notice")]
    later = [replace(one, at=one.at + 60, end=one.end + 60) for one in verdicts("wwwwww")]
    assert told([*tentative, *later]) == [("new", "notice"), ("update", "warning")]


def test_rain_is_a_notice() -> None:
    assert told(verdicts("n" * 5 + "r" * 30 + "n" * 30)) == [("new", "notice"), ("end", "notice")]
    assert told(verdicts("r" * 6 + "w" * 5 + "n" * 20))[1:] == [("end", "notice")], "it abates"


def test_talk_casts_doubt_on_what_is_heard_beside_it() -> None:
    assert told(verdicts("nuuu" + "wwww" + "nnnn")) == [("new", "notice")]
    assert told(verdicts("nnwu" + "wwww")) == [("new", "warning")], "one window is no talk"
    assert told(verdicts("n--" + "wwww")) == [("new", "warning")], "off is no talk"


def test_other_surroundings_that_stay_are_told_as_what_they_amount_to() -> None:
    _, events = heard(verdicts("r" * 100))
    assert [(event.phase, event.level) for event in events] == [
        ("new", "notice"),
        ("update", "alarm"),
    ]
    assert events[1].updated - events[0].updated == RULES.lasting


def test_a_fault_that_is_heard_after_rain_becomes_a_warning() -> None:
    assert told(verdicts("r" * 6 + "w" * 30)) == [("new", "notice"), ("update", "warning")]
    assert told(verdicts("rn" * 6 + "w" * 30)) == [("new", "notice"), ("update", "warning")]
    assert told(verdicts("rnnn" + "w" * 30)) == [("new", "warning")], "one window is no rain"


def test_a_clock_that_is_set_back_an_hour_changes_no_order() -> None:
    state, [new] = heard(verdicts("w" * 6))
    back = new.updated - 3600
    state, events = heard(verdicts("a" * 6 + "n" * 20, back), state)
    assert [event.phase for event in events] == ["update", "end"]
    assert new.updated <= events[0].updated <= events[1].updated == events[1].ended
    assert {event.id for event in events} == {new.id}
    _, again = heard(verdicts("w" * 200, back + 260), state)
    assert [event.phase for event in again] == ["new"]
    assert again[0].id != new.id


def test_overlapping_windows_count_by_the_time_that_they_cover() -> None:
    hop = SECONDS / 4
    # 30 s are covered, then 40 s.
    assert told(verdicts("n" * 20 + "w" * 9 + "n" * 40, hop=hop)) == []
    assert told(verdicts("n" * 20 + "w" * 13, hop=hop)) == [("new", "warning")]


def test_a_person_ends_an_event() -> None:
    state, [new] = heard(verdicts("w" * 6))
    state, [end] = end_event(state, START + 70, ["marked as normal"], RULES)
    assert (end.id, end.phase, end.words[0]) == (new.id, "end", "marked as normal")
    assert state.event is None
    assert end_event(state, START + 80, [], RULES)[1] == []
    assert heard(verdicts("www", START + 80), state)[1] == [], "earlier windows count no more"


def test_what_was_found_out_is_told_to_the_end() -> None:
    state, _ = heard(verdicts("w" * 6))
    state = with_details(state, ["new tone at 3 kHz"], "folder")
    _, events = heard(verdicts("a" * 6 + "n" * 20, START + 60), state)
    assert [(event.words, event.folder) for event in events] == [
        (("new tone at 3 kHz",), "folder")
    ] * 2


def test_the_course_stays_short_and_keeps_its_ends() -> None:
    state, [new] = heard(verdicts("nw" + "w" * 5000))
    assert new.course[0] == (START, 0.5), "how it was before"
    event = state.event
    assert event is not None
    assert 100 <= len(event.course) <= 200
    times = [at for at, _ in event.course]
    assert times == sorted(times)
    assert times[0] == START
    assert times[-1] > START + 4900 * SECONDS


@pytest.mark.parametrize(
    "change",
    [{"needed": 7}, {"calm": 5}, {"needed": 0}, {"cooldown": float("nan")}, {"nedeed": 3}],
)
def test_rules_that_cannot_be_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        AlertConfig(**change)  # type: ignore[arg-type]


def test_a_state_that_is_none_is_refused() -> None:
    for content in ({}, {**TrackerState("a").to_dict(), "more": 1}, {"recent": None}):
        with pytest.raises(ValueError, match="no state of a tracker"):
            TrackerState.from_dict(content)


# Windows with the time that passes before each: none, gaps, steps of the clock back and forth.
_STEPS = st.sampled_from([0.0, 0.0, 0.0, 0.0, -7.5, 30.0, 500.0, -3600.0, 3600.0])
_COURSES = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(1, 12), _STEPS), min_size=1, max_size=25
)


def windows_of(course: list[tuple[str, int, float]]) -> list[Verdict]:
    windows, at = [], START
    for kind, count, step in course:
        at += step
        for _ in range(count):
            windows.append(verdict(kind, at))
            at += SECONDS
    return windows


@settings(deadline=None)
@given(_COURSES)
def test_there_is_never_more_than_one_event_and_each_ends_once(
    course: list[tuple[str, int, float]],
) -> None:
    state, open_event, seen = TrackerState("a"), None, set()
    for window in windows_of(course):
        state, events = advance(state, window, RULES)
        for event in events:
            if event.phase == "new":
                assert open_event is None
                assert event.id not in seen
                assert event.revision == 0
                seen.add(event.id)
            else:
                assert open_event is not None
                assert event.id == open_event.id
                assert event.revision == open_event.revision + 1
                assert event.updated >= open_event.updated
                assert event.started == open_event.started
            assert (event.ended is not None) == (event.phase == "end")
            assert event.started <= event.updated
            open_event = None if event.phase == "end" else event
        assert (state.event and state.event.id) == (open_event and open_event.id)
        # However windows overlap, what is looked back upon is a span of sound.
        begins = [one.at for one in state.recent]
        assert begins == sorted(set(begins))
        assert window.end - begins[0] <= (RULES.of + 1e-3) * SECONDS


@settings(deadline=None)
@given(_COURSES, st.data())
def test_a_watch_that_is_started_again_tells_the_same(
    course: list[tuple[str, int, float]], data: st.DataObject
) -> None:
    windows = windows_of(course)
    stop = data.draw(st.integers(0, len(windows)))
    whole = heard(windows)
    state, before = heard(windows[:stop])
    read = TrackerState.from_dict(json.loads(json.dumps(state.to_dict())))
    assert read == state
    after = heard(windows[stop:], read)
    assert (after[0], before + after[1]) == whole


@settings(deadline=None)
@given(st.lists(st.sampled_from("nu-"), max_size=60))
def test_windows_that_are_not_above_the_threshold_never_warn(kinds: list[str]) -> None:
    assert all(level == "notice" for _, level in told(verdicts("".join(kinds))))


@settings(deadline=None)
@given(st.integers(1, 10), st.data())
def test_as_many_windows_as_are_needed_open_an_event(of: int, data: st.DataObject) -> None:
    needed = data.draw(st.integers(1, of))
    rules = RULES.model_copy(update={"needed": needed, "of": of, "calm": 0})
    kinds = data.draw(st.permutations("w" * needed + "n" * (of - needed)))
    assert len(told(verdicts("".join(kinds)), rules)) == 1
    kinds = data.draw(st.permutations("w" * (needed - 1) + "n" * (of - needed + 1)))
    assert told(verdicts("".join(kinds)), rules) == []


def test_state_is_not_changed_in_place() -> None:
    state, _ = heard(verdicts("www"))
    copy = replace(state)
    advance(state, verdict("w", START + 30), RULES)
    assert state == copy
