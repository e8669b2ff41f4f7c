"""What is told and what is not."""

import json
from dataclasses import replace

import pytest

from audio_anomaly_detector.monitor.alerts import Quiet, ToldState, of_source, to_tell
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.verdict import Verdict

NOBODY = Quiet()
SILENCE = Quiet(silenced={"pump"})
NEW = Event("1", "machine", "pump", "sound", "new", "warning", 0, 100.0, 150.0)
WORSE = replace(NEW, phase="update", level="alarm", revision=1, updated=200.0)
END = replace(NEW, phase="end", revision=2, updated=300.0, ended=300.0)


def test_without_a_silence_everything_is_told_once() -> None:
    state, told = to_tell(ToldState(), [NEW, WORSE], NOBODY)
    assert told == [NEW, WORSE]
    state, told = to_tell(state, [], NOBODY)
    assert told == []
    state, told = to_tell(state, [END], NOBODY)
    assert told == [END]
    assert state == ToldState()


def test_what_begins_and_ends_in_a_silence_is_not_told() -> None:
    state, told = to_tell(ToldState(), [NEW], SILENCE)
    assert told == []
    state, told = to_tell(state, [END], SILENCE)
    assert told == []
    assert to_tell(state, [], NOBODY) == (ToldState(), [])


def test_what_lasts_beyond_a_silence_is_told_after_it_as_new() -> None:
    state, _ = to_tell(ToldState(), [NEW], SILENCE)
    state, _ = to_tell(state, [WORSE], SILENCE)
    state, told = to_tell(state, [], NOBODY)
    assert told == [replace(WORSE, phase="new")]
    assert to_tell(state, [], NOBODY)[1] == []


def test_the_end_of_what_was_told_is_told_in_a_silence_too() -> None:
    state, _ = to_tell(ToldState(), [NEW], NOBODY)
    state, told = to_tell(state, [WORSE], SILENCE)
    assert told == []
    state, told = to_tell(state, [END], SILENCE)
    assert told == [END]
    assert to_tell(state, [], NOBODY)[1] == []


def test_what_grows_worse_in_a_silence_is_told_after_it() -> None:
    state, _ = to_tell(ToldState(), [NEW], NOBODY)
    state, _ = to_tell(state, [WORSE], SILENCE)
    assert to_tell(state, [], NOBODY)[1] == [WORSE]


@pytest.mark.parametrize(
    ("quiet", "is_told"),
    [
        (Quiet(silenced={"*"}), False),
        (Quiet(silenced={"fan"}), True),
        (Quiet(faulty={"hall"}, source_of={"pump": "hall"}), False),
        (Quiet(faulty={"hall"}, source_of={"pump": "yard", "fan": "hall"}), True),
        (Quiet(faulty={"pump"}, source_of={"pump": "hall"}), True),
    ],
)
def test_a_source_with_a_fault_mutes_its_machines(quiet: Quiet, is_told: bool) -> None:
    assert bool(to_tell(ToldState(), [NEW], quiet)[1]) == is_told


def test_the_event_of_a_lost_source_is_told() -> None:
    lost = Event("2", "source", "hall", "stale", "new", "warning", 0, 100.0, 150.0)
    quiet = Quiet(faulty={"hall"}, source_of={"pump": "hall"})
    assert to_tell(ToldState(), [lost, NEW], quiet)[1] == [lost]


def test_what_people_know_survives_a_restart() -> None:
    state, _ = to_tell(ToldState(), [NEW], NOBODY)
    state, _ = to_tell(state, [WORSE], SILENCE)
    assert ToldState.from_dict(json.loads(json.dumps(state.to_dict()))) == state
    with pytest.raises(ValueError, match="no state of what was told"):
        ToldState.from_dict({"told": []})


def test_windows_of_a_source_with_a_fault_are_not_judged() -> None:
    window = Verdict(0.0, 10.0, 0, "running", True, None, 2.0, 1.0, 3.0, "warning", 0.01, 0.5)
    assert of_source(window, {}) == window
    muted = of_source(window, {"clipping": "it clips; turn it down"})
    assert (muted.judged, muted.level, muted.reason) == (False, "none", "it clips; turn it down")
    assert muted.ratio is None
