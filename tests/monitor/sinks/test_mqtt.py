"""Events by MQTT, against a broker."""

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.sinks.delivery import DeliveryConfig, DeliveryThread
from audio_anomaly_detector.monitor.sinks.home_assistant import topic_name
from audio_anomaly_detector.monitor.sinks.mqtt import MqttConfig, MqttSink
from audio_anomaly_detector.monitor.sinks.sink import SinkError, Site
from audio_anomaly_detector.monitor.store.store import Store
from audio_anomaly_detector.settings import validated
from monitor.told_events import SetClock, ended, event

pytest.importorskip("paho.mqtt.client", reason="the extra 'watch' is not installed")
amqtt_broker = pytest.importorskip(
    "amqtt.broker", reason="amqtt, a broker to test with, is missing"
)
SITE = Site("Plant", "UTC", machines=("pump-3", "fan/1"))
_PATIENCE_S = 20


class Broker:
    """A broker in a thread, which can be stopped and started again at its port."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._broker: Any = None

    def _run(self, make: Callable[[], Any]) -> None:
        async def run() -> None:
            await make()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(_PATIENCE_S)

    def start(self) -> None:
        anonymous = "amqtt.plugins.authentication.AnonymousAuthPlugin"
        settings = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}},
            "plugins": {anonymous: {"allow_anonymous": True}},
        }
        self._broker = amqtt_broker.Broker(settings, loop=self._loop)
        self._run(self._broker.start)

    def stop(self) -> None:
        if self._broker is not None:
            broker, self._broker = self._broker, None
            self._run(broker.shutdown)

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)


class Listener:
    """A client that notes what the broker hands out."""

    def __init__(self, port: int) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.got: list[tuple[str, str]] = []
        subscribed = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_message = lambda _, __, message: self.got.append(
            (message.topic, message.payload.decode())
        )
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert subscribed.wait(_PATIENCE_S)

    def wait(self, holds: Callable[["Listener"], bool]) -> None:
        until = time.monotonic() + _PATIENCE_S
        while not holds(self):
            assert time.monotonic() < until, self.got
            time.sleep(0.01)

    def of(self, topic: str) -> list[str]:
        return [payload for name, payload in self.got if name == topic]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    # Its end waits so long for messages that nobody fetches.
    monkeypatch.setattr(amqtt_broker, "_BROADCAST_SHUTDOWN_TIMEOUT", 0.01)
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    made = Broker()
    made.start()
    yield made
    made.close()


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    made = Listener(broker.port)
    yield made
    made.close()


def _sink(broker: Broker, site: Site = SITE, **settings: object) -> MqttSink:
    given = {"mqtt": "127.0.0.1", "port": broker.port, "prefix": "aad", "timeout_s": 5, **settings}
    return validated(MqttConfig, given).make(site)


def test_an_event_arrives_with_its_state(broker: Broker, listener: Listener) -> None:
    sink = _sink(broker)
    one = event()
    sink.send(one.to_dict(), "event-0:0")
    sink.send(ended(one).to_dict(), "event-0:1")
    listener.wait(lambda self: len(self.of("aad/machine/pump-3/sound")) == 3)
    told = [json.loads(payload) for payload in listener.of("aad/events")]
    assert [one["key"] for one in told] == ["event-0:0", "event-0:1"]
    assert told[0].items() >= one.to_dict().items()
    states = [json.loads(payload) for payload in listener.of("aad/machine/pump-3/sound")]
    assert [one["state"] for one in states] == ["OFF", "ON", "OFF"]
    assert states[1]["started"] == "2026-09-21T14:13:20+00:00"
    assert states[1]["level"] == "warning" and states[1]["words"][0] == "New tone at 3 kHz."
    sink.close()
    listener.wait(lambda self: self.of("aad/availability") == ["online", "offline"])


def test_home_assistant_finds_the_machines(broker: Broker, listener: Listener) -> None:
    opened = Site("Plant", "UTC", SITE.machines, (event(name="fan/1"),))
    sink = _sink(broker, opened)
    sink.tend()
    slug = topic_name("fan/1")
    topics = {
        f"homeassistant/binary_sensor/aad-machine-{name}-sound/config": f"aad/machine/{name}/sound"
        for name in ("pump-3", slug)
    }
    listener.wait(lambda self: all(self.of(topic) for topic in topics))
    for topic, state_topic in topics.items():
        content = json.loads(listener.of(topic)[0])
        assert content["state_topic"] == content["json_attributes_topic"] == state_topic
        assert content["availability_topic"] == "aad/availability"
    listener.wait(lambda self: bool(self.of(f"aad/machine/{slug}/sound")))
    assert json.loads(listener.of(f"aad/machine/{slug}/sound")[-1])["state"] == "ON"
    assert json.loads(listener.of("aad/machine/pump-3/sound")[-1])["state"] == "OFF"
    # What it tells stays with the broker.
    late = Listener(broker.port)
    late.wait(lambda self: all(self.of(topic) for topic in topics))
    late.close()
    sink.close()


def test_home_assistant_that_starts_is_told_again(broker: Broker, listener: Listener) -> None:
    sink = _sink(broker)
    sink.tend()
    topic = "homeassistant/binary_sensor/aad-machine-pump-3-sound/config"
    listener.wait(lambda self: len(self.of(topic)) == 1)
    sink.tend()
    listener.client.publish("homeassistant/status", "online", qos=1).wait_for_publish(5)
    until = time.monotonic() + _PATIENCE_S
    while len(listener.of(topic)) < 2:
        assert time.monotonic() < until
        sink.tend()
        time.sleep(0.01)
    sink.close()


def test_without_home_assistant(broker: Broker, listener: Listener) -> None:
    sink = _sink(broker, home_assistant=None)
    sink.send(event().to_dict(), "event-0:0")
    listener.wait(lambda self: bool(self.of("aad/events")))
    sink.close()
    listener.wait(lambda self: len(self.of("aad/availability")) == 2)
    assert {topic for topic, _ in listener.got} == {"aad/availability", "aad/events"}


def test_a_program_that_is_gone_is_said_to_be_offline(broker: Broker, listener: Listener) -> None:
    sink = _sink(broker)
    sink.tend()
    listener.wait(lambda self: self.of("aad/availability") == ["online"])
    client: Any = sink._client
    client.socket().shutdown(socket.SHUT_RDWR)  # as when it is killed
    listener.wait(lambda self: self.of("aad/availability")[-1] == "offline")
    sink.tend()
    listener.wait(lambda self: self.of("aad/availability")[-1] == "online")
    sink.close()


def test_a_broker_that_is_away(broker: Broker, tmp_path: Path) -> None:
    store, clock = Store.open(tmp_path / "watch.db"), SetClock()
    sink = _sink(broker, timeout_s=2)
    delivery = DeliveryThread(store, sink, clock, DeliveryConfig(), jitter=lambda: 0.0)
    store.save([event(0)], {}, ["mqtt"])
    delivery.step()
    assert store.waiting("mqtt") == 0
    broker.stop()
    for minute in range(60):
        store.save([event(1 + minute)], {}, ["mqtt"])
        delivery.step()
        clock.go(60)
    assert store.waiting("mqtt") == 60 and delivery.status().error is not None
    broker.start()
    listener = Listener(broker.port)
    while store.waiting("mqtt"):
        clock.go(60)
        delivery.step()
    listener.wait(lambda self: len(self.of("aad/events")) >= 60)
    keys = [json.loads(payload)["key"] for payload in listener.of("aad/events")]
    assert list(dict.fromkeys(keys)) == [f"event-{number}:0" for number in range(1, 61)]
    assert delivery.status().error is None
    listener.close()
    sink.close()


def test_a_broker_that_is_not_there() -> None:
    sink = validated(MqttConfig, {"mqtt": "localhost", "port": 1}).make(SITE)
    with pytest.raises(SinkError, match="the broker localhost cannot be reached"):
        sink.tend()
    sink.close()


def test_something_that_is_no_broker() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings = {"mqtt": "127.0.0.1", "port": silent.getsockname()[1], "timeout_s": 0.2}
        sink = validated(MqttConfig, settings).make(SITE)
        with pytest.raises(SinkError, match="does not answer"):
            sink.tend()
        sink.close()


@pytest.mark.parametrize("name", ["a/b", "#", "+", "\0", "", "\udcff", "x" * 999, "pump 3", "a\nb"])
def test_any_name_is_one_part_of_a_topic(name: str, broker: Broker, listener: Listener) -> None:
    slug = topic_name(name)
    assert slug.isascii() and slug.replace("_", "").replace("-", "").isalnum() and len(slug) < 60
    sink = _sink(broker, Site("", "UTC"))
    sink.send(event(name=name).to_dict(), "event-0:0")
    listener.wait(lambda self: bool(self.of(f"aad/machine/{slug}/sound")))
    assert json.loads(listener.of("aad/events")[0])["name"] == name
    sink.close()


def test_different_names_have_different_topics() -> None:
    names = ["a/b", "a b", "a_b", "A_b", "", "x" * 100, "x" * 101]
    assert len({topic_name(name) for name in names}) == len(names)


@pytest.mark.parametrize("prefix", ["", "/", "a/#", "+/b"])
def test_a_prefix_that_is_no_topic(prefix: str) -> None:
    with pytest.raises(UserError, match="no beginning of a topic"):
        validated(MqttConfig, {"mqtt": "localhost", "prefix": prefix})


def test_settings_show_no_password() -> None:
    config = validated(MqttConfig, {"mqtt": "h", "user": "u", "password": "hidden"})
    assert "hidden" not in repr(config)
