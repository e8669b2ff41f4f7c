"""Events arrive in order and at least once, however a receiver is away."""

import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from audio_anomaly_detector.monitor.sinks.delivery import DeliveryConfig, DeliveryThread
from audio_anomaly_detector.monitor.sinks.sink import SinkError
from audio_anomaly_detector.monitor.store.database import StoreError
from audio_anomaly_detector.monitor.store.store import Store
from monitor.told_events import SetClock, event


class Receiver:
    """A sink that notes what it gets, and can be away."""

    name = "receiver"

    def __init__(self) -> None:
        self.got: list[str] = []
        self.away = False
        self.refuses: set[str] = set()
        self.attempts = 0
        self.hangs = threading.Event()
        self.hangs.set()

    def wants(self, event: Mapping[str, Any]) -> bool:
        return bool(event["subject"] == "machine")

    def send(self, event: Mapping[str, Any], key: str) -> None:
        self.attempts += 1
        self.hangs.wait()
        if self.away:
            raise SinkError("receiver: cannot be reached; check the network")
        if key in self.refuses:
            raise SinkError("receiver: answered 400; check what it takes", refused=True)
        self.got.append(key)

    def tend(self) -> None:
        if self.away:
            raise SinkError("receiver: cannot be reached; check the network")

    def close(self) -> None:
        self.hangs.set()


class Scene:
    """A store, a receiver and the delivery between them."""

    def __init__(self, folder: Path, **settings: float) -> None:
        self.store = Store.open(folder / "watch.db")
        self.receiver, self.clock = Receiver(), SetClock()
        self.given_up: list[int] = []
        self.delivery = self.again(**settings)

    def again(self, **settings: float) -> DeliveryThread:
        return DeliveryThread(
            self.store,
            self.receiver,
            self.clock,
            DeliveryConfig.model_validate(settings),
            on_given_up=lambda name, count: self.given_up.append(count),
            jitter=lambda: 0.0,
        )

    def save(self, *numbers: int, revision: int = 0) -> None:
        for number in numbers:
            one = event(number, revision, at=self.clock.wall())
            self.store.save([one], {}, ["receiver"])

    def pass_time(self, seconds: float) -> None:
        until = self.clock.monotonic() + seconds
        while self.clock.monotonic() < until:
            self.clock.go(min(max(self.delivery.step(), 0.01), until - self.clock.monotonic()))
        self.delivery.step()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.receiver.hangs.set()


def _keys(*numbers: int) -> list[str]:
    return [f"event-{number}:0" for number in numbers]


def test_events_arrive_in_order(scene: Scene) -> None:
    scene.save(*range(120))
    scene.pass_time(1)
    assert scene.receiver.got == _keys(*range(120))
    status = scene.delivery.status()
    assert (status.delivered, status.waiting, status.error) == (120, 0, None)


def test_what_is_not_wanted_is_not_sent(scene: Scene) -> None:
    from dataclasses import replace

    scene.store.save([replace(event(1), subject="source"), event(2)], {}, ["receiver"])
    scene.pass_time(1)
    assert scene.receiver.got == _keys(2) and scene.store.waiting("receiver") == 0


def test_a_receiver_away_for_an_hour(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.receiver.away = True
    with caplog.at_level(logging.INFO):
        for number in range(60):
            scene.save(number)
            scene.pass_time(60)
        assert scene.receiver.got == [] and scene.delivery.status().waiting == 60
        # About once a minute, and one line in the log.
        assert 60 <= scene.receiver.attempts <= 80
        assert len(caplog.records) == 1
        scene.receiver.away = False
        scene.save(60)
        scene.pass_time(60)
    assert scene.receiver.got == _keys(*range(61))
    assert scene.delivery.status().error is None and scene.given_up == []
    assert "arrive again" in caplog.messages[-1] and len(caplog.records) == 2


def test_a_clock_set_back_an_hour(scene: Scene) -> None:
    scene.receiver.away = True
    scene.save(1)
    scene.pass_time(600)
    scene.clock.set_wall(-3600)
    scene.save(2)
    scene.receiver.away = False
    scene.pass_time(60)
    assert scene.receiver.got == _keys(1, 2)


def test_a_clock_set_forward_by_years_gives_nothing_up(scene: Scene) -> None:
    # Boards without a battery start in 1970, until the network tells the time.
    scene.save(1)
    scene.clock.set_wall(50 * 365 * 86400.0)
    scene.pass_time(1)
    assert scene.receiver.got == _keys(1) and scene.given_up == []


def test_a_restart_goes_on_where_it_was(scene: Scene) -> None:
    scene.receiver.away = True
    scene.save(1, 2)
    scene.pass_time(10)
    scene.receiver.away = False
    scene.delivery = scene.again()
    scene.pass_time(60)
    assert scene.receiver.got == _keys(1, 2)


def test_what_waits_is_bounded_by_number_and_age(tmp_path: Path) -> None:
    scene = Scene(tmp_path, most_waiting=10, most_days=1)
    scene.receiver.away = True
    scene.save(*range(30))
    scene.pass_time(60)
    assert scene.store.waiting("receiver") == 10 and sum(scene.given_up) == 20
    scene.clock.go(2 * 86400)
    scene.pass_time(1)
    assert scene.store.waiting("receiver") == 0 and sum(scene.given_up) == 30
    assert scene.delivery.status().given_up == 30
    scene.receiver.away = False
    scene.save(30)
    scene.pass_time(120)
    assert scene.receiver.got == _keys(30)


def test_an_event_that_is_refused_does_not_hold_up_others(scene: Scene) -> None:
    scene.receiver.refuses = {"event-1:0"}
    scene.save(1, 2)
    scene.pass_time(120)
    assert scene.receiver.got == _keys(2)
    assert scene.receiver.attempts == 5 + 1 and scene.given_up == [1]


def test_a_fault_of_the_program_in_one_event_does_not_hold_up_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = scene.receiver.send

    def broken(event: Mapping[str, Any], key: str) -> None:
        if key == "event-1:0":
            raise KeyError("words")
        send(event, key)

    monkeypatch.setattr(scene.receiver, "send", broken)
    scene.save(1, 2)
    scene.pass_time(120)
    assert scene.receiver.got == _keys(2) and scene.given_up == [1]


def test_a_sink_that_hangs(tmp_path: Path) -> None:
    scene = Scene(tmp_path, timeout_s=0.02)
    scene.receiver.hangs.clear()
    scene.save(1, 2)
    scene.pass_time(600)
    # Threads that hang are few, however often it is tried.
    assert scene.receiver.attempts == 3
    assert "attempts hang" in str(scene.delivery.status().error)
    assert scene.store.waiting("receiver") == 2
    scene.receiver.hangs.set()
    for thread in threading.enumerate():
        if thread.name == "sending to receiver":
            thread.join(5)
    scene.pass_time(120)
    assert set(scene.receiver.got) == set(_keys(1, 2)) and scene.receiver.got[-1] == _keys(2)[0]
    assert scene.store.waiting("receiver") == 0


def test_a_store_that_cannot_note_what_was_sent(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("watch.db: the disk is full; free some space")

    scene.save(1)
    with monkeypatch.context() as patch:
        patch.setattr(scene.store, "delivered", full)
        scene.pass_time(600)
        assert scene.receiver.got == _keys(1)  # once, not every few seconds
        assert "the disk is full" in str(scene.delivery.status().error)
    scene.save(2)
    scene.pass_time(10)
    assert scene.receiver.got == _keys(1, 2) and scene.store.waiting("receiver") == 0


def test_the_thread_delivers_at_once_and_ends(scene: Scene) -> None:
    arrived = threading.Event()
    send = scene.receiver.send

    def told(event: Mapping[str, Any], key: str) -> None:
        send(event, key)
        arrived.set()

    scene.receiver.send = told  # type: ignore[method-assign]
    scene.delivery.start()
    scene.save(1)
    scene.delivery.wake()
    assert arrived.wait(10)
    scene.delivery.stop()
    assert scene.receiver.got == _keys(1)
    assert not [one for one in threading.enumerate() if one.name == "sink receiver"]
