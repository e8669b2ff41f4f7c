"""A source that is cut is back within ten seconds of its return, however it was cut."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest

from audio_anomaly_detector.monitor.clock import SystemClock
from audio_anomaly_detector.monitor.sound import Chunk
from audio_anomaly_detector.monitor.sources import supervisor as module
from audio_anomaly_detector.monitor.sources.back_off import BackOff, SupervisorConfig
from audio_anomaly_detector.monitor.sources.faults import SourceFaults
from audio_anomaly_detector.monitor.sources.source import Received, SourceError
from audio_anomaly_detector.monitor.sources.supervisor import Supervisor

RATE, BLOCK = 100, 50
SOUND = Received(np.random.default_rng(0).uniform(-0.5, 0.5, (1, BLOCK)).astype(np.float32))


@dataclass
class FakeClock:
    now: float = 1000.0

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now

    def monotonic(self) -> float:
        return self.now


@dataclass
class Plant:
    """A source that is cut again and again, on a clock that its waiting moves on.

    While a read waits, the supervisor's check runs, as its thread would.

    Args:
        cut: what happens to an open connection: it breaks off, or stays open and silent.
        away: how opening fails meanwhile: it is refused, hangs for 6 s, or works at once.
    """

    cut: str
    away: str
    cuts: int = 100
    live: bool = True
    clock: FakeClock = field(default_factory=FakeClock)
    cut_at: float = 1030.0
    back_at: float = 0.0
    delays: list[float] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)
    chance: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    supervisor: Supervisor = field(init=False)
    told: list[SourceFaults] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(
            "hall",
            self,
            self.clock,
            lambda _, chunk: self.chunks.append(chunk),
            lambda _, faults: self.told.append(faults),
            SupervisorConfig(),
        )

    @property
    def is_cut(self) -> bool:
        return self.cut_at <= self.clock.now

    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        self.supervisor.check()

    def open(self) -> "PlantConnection":
        self.opened.append(self.clock.now)
        if self.is_cut and self.clock.now < self.back_at:
            if self.away == "hangs":
                for _ in range(12):
                    self.wait(0.5)
            raise SourceError("rtsp://me:secret@cam cannot be reached; check the cable")
        self.wait(0.5)  # what connecting takes
        return PlantConnection(self)

    def run(self) -> None:
        while (pause := self.supervisor.turn()) is not None:
            self.clock.now += pause


@dataclass
class PlantConnection:
    plant: Plant
    sample_rate: int = RATE
    channels: int = 1
    closed: bool = False
    was_cut: bool = False

    def read(self) -> Received | None:
        plant = self.plant
        plant.wait(BLOCK / RATE)
        if plant.is_cut and self.plant.opened[-1] >= plant.cut_at:
            # The first sound after a cut.
            plant.delays.append(plant.clock.now - max(plant.back_at, plant.cut_at))
            if len(plant.delays) == plant.cuts:
                return None
            plant.cut_at = plant.clock.now + float(plant.chance.uniform(1, 30))
            away = 0 if plant.away == "works" else float(plant.chance.uniform(0, 90))
            plant.back_at = plant.cut_at + away
        if not plant.is_cut:
            return SOUND
        if plant.cut == "breaks off":
            raise SourceError("ffmpeg was killed")
        while not self.closed:
            plant.wait(0.5)
        return None

    def close(self) -> None:
        self.closed = True


CUTS = {
    "process killed": ("breaks off", "refused"),
    "half-open TCP": ("silent", "hangs"),
    "frozen ffmpeg": ("silent", "works"),
    "device unplugged": ("breaks off", "hangs"),
    "host that is gone": ("silent", "refused"),
}


@pytest.mark.parametrize("kind", CUTS)
def test_a_hundred_cuts_and_back_within_ten_seconds_of_each(kind: str) -> None:
    plant = Plant(*CUTS[kind])
    plant.run()
    assert len(plant.delays) == 100
    assert max(plant.delays) <= 10
    # It is not hammered meanwhile: attempts are spaced.
    assert min(b - a for a, b in pairwise(plant.opened)) >= 0.25
    # Each connection has stretches of its own.
    assert len({chunk.stretch for chunk in plant.chunks}) >= 100
    status = plant.supervisor.status()
    assert status.state == "ended"
    lived = plant.clock.now - 1000
    assert status.heard_s + status.lost_s == pytest.approx(lived, rel=1e-3)


def test_faults_are_told_when_they_come_and_go_and_without_passwords() -> None:
    plant = Plant("silent", "refused", cuts=2, back_at=1060.0)
    plant.run()
    kinds = [sorted(faults.kinds) for faults in plant.told]
    assert kinds[:4] == [["stale"], ["unreachable"], [], ["stale"]]
    words = " ".join(s for faults in plant.told for s in faults.sentences.values())
    assert "secret" not in words
    assert "rtsp://me:***@cam cannot be reached" in words


def test_a_source_that_never_worked_is_tried_less_and_less_often() -> None:
    plant = Plant("breaks off", "refused", cut_at=0.0, back_at=4000.0, cuts=1)
    plant.run()
    spaces = [b - a for a, b in pairwise(plant.opened)]
    assert max(spaces) <= 60
    assert min(spaces[8:]) >= 45
    assert plant.delays[0] <= 61


def test_a_thousand_sources_do_not_come_back_at_the_same_moment() -> None:
    import random

    pauses = set()
    for name in range(1000):
        back_off = BackOff(SupervisorConfig(), random.Random(name), failures=20)
        pauses.add(back_off.pause(0.0, worked=False, ever_worked=True))
    assert len(pauses) > 990
    assert min(pauses) >= 6
    assert max(pauses) <= 8


def test_files_are_not_stale_and_waiting_for_others_is_no_age() -> None:
    plant = Plant("silent", "works", live=False)
    plant.clock.now = 1029.5
    connection = PlantConnection(plant)
    waited = [0]

    def read() -> Received | None:
        waited[0] += 1
        plant.wait(3600)
        return SOUND if waited[0] < 4 else None

    connection.read = read  # type: ignore[method-assign]
    plant.open = lambda: connection  # type: ignore[method-assign]
    assert plant.supervisor.turn() is None
    assert not plant.told


def test_time_that_a_consumer_takes_is_no_age_of_the_source() -> None:
    plant = Plant("silent", "works", cuts=1)
    supervisor = Supervisor(
        "hall",
        plant,
        plant.clock,
        lambda *_: plant.wait(20),
        lambda _, faults: plant.told.append(faults),
        SupervisorConfig(),
    )
    plant.supervisor, plant.cut_at = supervisor, 1200.0
    assert supervisor.turn() is not None
    assert {kind for faults in plant.told for kind in faults} == {"stale", "loss"}
    assert len(plant.opened) == 1
    assert plant.clock.now >= 1200


def test_log_lines_of_a_broken_source_are_few(caplog: pytest.LogCaptureFixture) -> None:
    plant = Plant("breaks off", "refused", cuts=20)
    with caplog.at_level(logging.WARNING):
        plant.run()
    minutes = (plant.clock.now - 1000) / 60
    assert len(plant.opened) > 100
    assert len(caplog.records) <= minutes + 1
    assert "more such lines were left out" in caplog.text
    assert "secret" not in caplog.text


@dataclass
class Hanging:
    """Opens into a connection that ignores being closed, then works; or hangs already on opening.

    Only an event that the test sets ends the hanging.
    """

    on_open: bool
    hangs: int
    over: threading.Event = field(default_factory=threading.Event)
    live: bool = True
    opened: int = 0

    def open(self) -> "HangingConnection":
        self.opened += 1
        works = self.opened > self.hangs
        if self.on_open and not works:
            self.over.wait(60)
        return HangingConnection(self, works)


@dataclass
class HangingConnection:
    source: Hanging
    works: bool
    sample_rate: int = RATE
    channels: int = 1
    closed: threading.Event = field(default_factory=threading.Event)

    def read(self) -> Received | None:
        if self.works:
            return None if self.closed.wait(0.02) else SOUND
        self.source.over.wait(60)
        return None

    def close(self) -> None:
        self.closed.set()


def run_hanging(
    source: Hanging, monkeypatch: pytest.MonkeyPatch, until: Callable[[Supervisor], bool]
) -> list[SourceFaults]:
    """Run in real threads, with limits of fractions of seconds, until something has happened."""
    monkeypatch.setattr(module, "_CHECK_S", 0.02)
    monkeypatch.setattr(module, "_OPEN_S", 0.2)
    monkeypatch.setattr(module, "_CLOSE_S", 0.2)
    told: list[SourceFaults] = []
    heard = threading.Event()
    settings = SupervisorConfig.model_construct(
        stale_after=0.2, first_pause=0.01, longest_pause=0.05, longest_pause_unseen=0.05
    )
    supervisor = Supervisor(
        "usb", source, SystemClock(), lambda *_: heard.set(), lambda _, f: told.append(f), settings
    )
    supervisor.start()
    for _ in range(1000):
        if until(supervisor):
            break
        threading.Event().wait(0.02)
    assert until(supervisor)
    supervisor.stop()
    source.over.set()
    assert supervisor.status().state == "stopped"
    return told


@pytest.mark.parametrize("on_open", [True, False])
def test_what_hangs_in_a_driver_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, on_open: bool
) -> None:
    source = Hanging(on_open, hangs=2)
    told = run_hanging(source, monkeypatch, lambda s: s.status().heard_s > 1)
    assert source.opened == 3
    assert any("hangs" in words for faults in told for words in faults.sentences.values())


def test_threads_that_hang_do_not_become_more_and_more(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Hanging(on_open=True, hangs=1000)
    told = run_hanging(
        source,
        monkeypatch,
        lambda s: "start the program again" in s.status().faults.sentences.get("unreachable", ""),
    )
    assert source.opened == 5
    assert told


def test_an_error_nobody_foresaw_does_not_end_the_source() -> None:
    plant = Plant("breaks off", "works", cuts=1)
    plant.cut_at = 1005.0
    fail = [True]

    def on_chunk(_: str, chunk: Chunk) -> None:
        if fail.pop() if fail else False:
            raise ZeroDivisionError("oops")
        plant.chunks.append(chunk)

    plant.supervisor = Supervisor(
        "hall",
        plant,
        plant.clock,
        on_chunk,
        lambda _, faults: plant.told.append(faults),
        SupervisorConfig(),
    )
    plant.run()
    assert plant.told[0].sentences == {"unreachable": "ZeroDivisionError: oops"}
    assert plant.chunks
