"""Sound that waits to be scored: nothing is lost unseen, and memory is bounded."""

import threading

import numpy as np
import pytest

from audio_anomaly_detector.monitor.intake import Intake
from audio_anomaly_detector.monitor.sound import Chunk

RATE = 100


def chunk(at: float, stretch: int = 0) -> Chunk:
    return Chunk(np.full((1, RATE), at, np.float32), RATE, stretch, at)


def test_chunks_are_taken_once_and_in_order() -> None:
    intake = Intake()
    for at in range(3):
        intake.put("yard", chunk(at), live=True)
    intake.put("hall", chunk(0), live=True)
    taken = intake.take(0)
    assert [(source, one.at) for source, one in taken] == [
        ("yard", 0), ("yard", 1), ("yard", 2), ("hall", 0)
    ]  # fmt: skip
    assert intake.take(0) == []


def test_what_falls_behind_is_given_up_counted_and_no_window_reaches_over_it() -> None:
    intake = Intake(most_seconds=3)
    intake.put("yard", chunk(0), live=True)
    before = intake.take(0)[0][1]
    for at in range(1, 7):
        intake.put("yard", chunk(at), live=True)
    kept = [one for _, one in intake.take(0)]
    assert [one.at for one in kept] == [4, 5, 6]
    assert intake.overtaken_seconds() == {"yard": pytest.approx(3)}
    assert len({one.stretch for one in kept}) == 1
    assert kept[0].stretch != before.stretch
    intake.put("yard", chunk(7), live=True)
    assert intake.take(0)[0][1].stretch == kept[0].stretch


def test_a_new_stretch_of_the_source_is_one_here_too() -> None:
    intake = Intake(most_seconds=2)
    for at in range(3):
        intake.put("yard", chunk(at, stretch=0), live=True)
    intake.put("yard", chunk(3, stretch=1), live=True)
    stretches = [one.stretch for _, one in intake.take(0)]
    assert stretches == sorted(set(stretches))


def test_taking_waits_for_sound() -> None:
    intake = Intake()
    threading.Timer(0.05, lambda: intake.put("yard", chunk(0), live=True)).start()
    assert [source for source, _ in intake.take(5)] == ["yard"]


def test_files_wait_for_the_scoring() -> None:
    intake = Intake(most_seconds=2)
    done = threading.Event()

    def read() -> None:
        for at in range(5):
            intake.put("file", chunk(at), live=False)
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert not done.wait(0.1)
    taken = []
    while not done.is_set() or not taken or taken[-1].at < 4:
        taken += [one for _, one in intake.take(5)]
    assert [one.at for one in taken] == [0, 1, 2, 3, 4]
    assert {one.stretch for one in taken} == {0}


def test_closing_frees_who_waits() -> None:
    intake = Intake(most_seconds=1)
    intake.put("file", chunk(0), live=False)
    waiting = threading.Thread(target=intake.put, args=("file", chunk(1), False), daemon=True)
    waiting.start()
    intake.close()
    waiting.join(5)
    assert not waiting.is_alive()
