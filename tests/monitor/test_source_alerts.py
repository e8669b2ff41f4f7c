"""Events of sources, from faults that are made up; nothing waits."""

import json
from collections.abc import Callable, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from audio_anomaly_detector.monitor.alert_config import SourceAlertConfig
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.source_alerts import SourcesState, advance_sources

RULES = SourceAlertConfig(lasting=30, recovered=60, cooldown=600, together=3)
START = 1_800_000_000.0
STEP = 5.0
Faults = Mapping[str, Mapping[str, str]]


def sentence(kind: str) -> dict[str, str]:
    return {kind: f"{kind}: look at it"}


def watched(
    seconds: float,
    faults: Callable[[float], Faults],
    state: SourcesState | None = None,
    start: float = START,
) -> tuple[SourcesState, list[Event]]:
    """State and events after calls every few seconds; faults by seconds since the start."""
    state, told = state or SourcesState(), []
    for call in range(int(seconds / STEP)):
        at = start + call * STEP
        state, events = advance_sources(state, at, faults(at - start), RULES)
        told += events
    return state, told


def phases(events: list[Event]) -> list[tuple[str, str, str]]:
    return [(event.subject, event.kind, event.phase) for event in events]


def test_a_source_that_is_lost_is_told_once_and_when_it_is_back() -> None:
    _, events = watched(400, lambda at: {"hall": sentence("stale") if 50 <= at < 200 else {}})
    assert phases(events) == [("source", "stale", "new"), ("source", "stale", "end")]
    new, end = events
    assert new.started == START + 50
    assert new.updated == START + 80
    assert new.words == ("stale: look at it",)
    assert (end.id, end.ended) == (new.id, START + 195 + RULES.recovered)


def test_a_short_fault_is_not_told_but_one_that_comes_and_goes_is_told_once() -> None:
    assert watched(400, lambda at: {"a": sentence("stale") if at < 25 else {}})[1] == []
    _, events = watched(3600, lambda at: {"a": sentence("silence") if at % 30 < 15 else {}})
    assert phases(events) == [("source", "silence", "new")]


def test_a_fault_that_grows_worse_is_told_anew_and_a_smaller_one_is_not() -> None:
    def faults(at: float) -> Faults:
        kinds = (
            ("clipping",) if at < 100 else ("clipping", "unreachable") if at < 200 else ("loss",)
        )
        return {"a": {kind: kind for kind in kinds}}

    _, events = watched(400, faults)
    assert phases(events) == [("source", "clipping", "new"), ("source", "unreachable", "update")]
    assert events[1].words == ("unreachable", "clipping")


def test_the_cooldown_holds_back_until_it_is_over_also_while_nobody_looks() -> None:
    state, _ = watched(200, lambda at: {"a": sentence("stale") if at < 100 else {}})
    assert state.sources["a"].waiting > 500
    later = START + 200
    again, events = watched(500, lambda _: {"a": sentence("stale")}, state, later)
    assert events == []
    assert phases(watched(300, lambda _: {"a": sentence("stale")}, again, later + 500)[1]) == [
        ("source", "stale", "new")
    ]
    _, events = watched(100, lambda _: {"a": sentence("stale")}, state, later + 86_400)
    assert phases(events) == [("source", "stale", "new")]


def test_a_thousand_lost_sources_are_one_event() -> None:
    names = [f"microphone {number}" for number in range(1000)]

    def faults(at: float) -> Faults:
        # They are found to be lost one after the other, within ten seconds.
        return {
            name: sentence("unreachable") if 20 + number % 10 <= at < 300 else {}
            for number, name in enumerate(names)
        }

    _, events = watched(500, faults)
    assert phases(events) == [
        ("service", "sources lost", "new"),
        ("service", "sources lost", "end"),
    ]
    assert events[0].words[0].startswith("1000 of 1000 sources bring no sound: microphone 0, ")
    assert events[0].words[0].endswith(" and 995 more")
    assert events[0].level == "alarm"


def test_while_more_are_lost_than_are_told_each_one_event_stays() -> None:
    def faults(at: float) -> Faults:
        return {name: {} if at > 200 and name > "d" else sentence("stale") for name in "abcdefg"}

    assert phases(watched(500, faults)[1]) == [("service", "sources lost", "new")]


def test_when_most_are_back_the_others_are_told_by_name() -> None:
    def faults(at: float) -> Faults:
        return {name: {} if at > 200 and name > "b" else sentence("stale") for name in "abcdefg"}

    _, events = watched(500, faults)
    assert phases(events)[1] == ("service", "sources lost", "end")
    assert [event.name for event in events[2:]] == ["a", "b"]


def test_sources_that_are_back_are_not_said_to_bring_no_sound() -> None:
    # a and b were lost for a moment, and are back when the others have been lost for long enough.
    def faults(at: float) -> Faults:
        return {
            name: sentence("stale") if (at < 20 if name in "ab" else at >= 10) else {}
            for name in "abcde"
        }

    _, events = watched(65, faults)
    assert [event.name for event in events] == ["c", "d", "e"]


def test_the_event_of_many_names_what_is_wrong_with_the_one_it_names() -> None:
    def faults(at: float) -> Faults:
        lost = "a" if at < 10 else "abcdef" if at < 20 else "bcdef"
        return {name: {"stale": f"{name} is stale"} if name in lost else {} for name in "abcdef"}

    _, [event] = watched(65, faults)
    assert event.words == ("5 of 6 sources bring no sound: b, c, d, e, f", "b: b is stale")
    assert event.started == START + 10


def test_as_many_as_allowed_are_told_each() -> None:
    _, events = watched(100, lambda _: {name: sentence("stale") for name in "abc"})
    assert [event.name for event in events] == ["a", "b", "c"]


def test_other_faults_of_many_are_not_taken_for_loss() -> None:
    _, events = watched(100, lambda _: {name: sentence("clipping") for name in "abcdefg"})
    assert len(events) == 7
    assert {event.subject for event in events} == {"source"}


def test_twice_as_many_lost_are_told_anew() -> None:
    def faults(at: float) -> Faults:
        lost = 5 if at < 100 else 9 if at < 200 else 10
        return {str(number): sentence("stale") if number < lost else {} for number in range(12)}

    _, events = watched(300, faults)
    assert [event.phase for event in events] == ["new", "update"]
    assert events[1].words[0].startswith("10 of 12")


def test_a_source_that_is_no_longer_watched_leaves_no_open_event() -> None:
    state, [new] = watched(100, lambda _: {"a": sentence("stale")})
    state, [end] = advance_sources(state, START + 100, {}, RULES)
    assert (end.id, end.phase, end.words[0]) == (new.id, "end", "no longer watched")
    assert advance_sources(state, START + 105, {}, RULES)[1] == []


def test_a_clock_step_and_a_pause_of_the_program_are_no_fault() -> None:
    state, _ = advance_sources(SourcesState(), START, {"a": {}}, RULES)
    state, _ = advance_sources(state, START + 5, {"a": sentence("stale")}, RULES)
    state, events = advance_sources(state, START - 3600, {"a": sentence("stale")}, RULES)
    assert events == []
    state, [new] = watched(100, lambda _: {"a": sentence("stale")}, state, START - 3595)
    state, [end] = watched(100, lambda _: {"a": {}}, state, START - 9999)
    assert new.updated <= end.updated


_TICKS = st.lists(
    st.tuples(
        st.dictionaries(
            st.sampled_from("abcdef"),
            st.sampled_from([{}, sentence("stale"), sentence("clipping"), sentence("rate")]),
        ),
        st.integers(1, 15),
        st.sampled_from([5.0, 5.0, 61.0, 5000.0, -3600.0]),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=50)
@given(_TICKS, st.data())
def test_ids_end_once_and_a_restart_changes_nothing(
    ticks: list[tuple[Faults, int, float]], data: st.DataObject
) -> None:
    calls, now = [], START
    for faults, count, step in ticks:
        for _ in range(count):
            now += step
            calls.append((now, faults))
    stop = data.draw(st.integers(0, len(calls)))
    state, restarted = SourcesState(), SourcesState()
    open_events: dict[str, Event] = {}
    ended: set[str] = set()
    for number, (at, faults) in enumerate(calls):
        if number == stop:
            restarted = SourcesState.from_dict(json.loads(json.dumps(restarted.to_dict())))
        state, events = advance_sources(state, at, faults, RULES)
        restarted, same = advance_sources(restarted, at, faults, RULES)
        assert events == same
        for event in events:
            before = open_events.pop(event.id, None)
            assert (before is None) == (event.phase == "new")
            assert event.id not in ended
            assert before is None or event.revision == before.revision + 1
            assert before is None or event.updated >= before.updated
            if event.phase == "end":
                ended.add(event.id)
            else:
                open_events[event.id] = event
        of_sources = [event.name for event in open_events.values() if event.subject == "source"]
        assert len(of_sources) == len(set(of_sources))
        assert set(of_sources) <= set(faults)
