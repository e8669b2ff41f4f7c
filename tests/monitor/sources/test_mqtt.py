"""Sound from MQTT: a broker of a few lines, which breaks off, refuses and sends anything."""

import socket
import struct
import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from pydantic import ValidationError

from audio_anomaly_detector.monitor.sources import mqtt
from audio_anomaly_detector.monitor.sources.mqtt import MqttAudioConfig, MqttConnection, broker
from audio_anomaly_detector.monitor.sources.source import Connection, Received, SourceError
from wav_files import RATE, SOUND, wav

TOPIC = "hall/microphone"


@dataclass
class TinyBroker:
    """Accepts connections, answers what a subscriber asks, and publishes payloads to all.

    Args:
        refusal: code of the answer to CONNECT (MQTT 3.1.1, 3.2.2.3); 0: accepted.
        subscription: code of the answer to SUBSCRIBE; 128: refused.
    """

    refusal: int = 0
    subscription: int = 1
    asked: list[bytes] = field(default_factory=list)
    subscribed: threading.Event = field(default_factory=threading.Event)
    connections: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection: socket.socket) -> None:
        try:
            while data := connection.recv(65_536):
                self.asked.append(data)
                if data[0] >> 4 == 1:
                    connection.sendall(bytes([0x20, 2, 0, self.refusal]))
                elif data[0] >> 4 == 8:
                    connection.sendall(bytes([0x90, 3]) + data[2:4] + bytes([self.subscription]))
                    self.subscribed.set()
        except OSError:
            pass

    def publish(self, payload: bytes) -> None:
        body = struct.pack(">H", len(TOPIC)) + TOPIC.encode() + payload
        length, size = b"", len(body)
        while True:
            size, digit = divmod(size, 128)
            length += bytes([digit | (0x80 if size else 0)])
            if not size:
                break
        for connection in self.connections:
            connection.sendall(b"\x30" + length + body)

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)  # else it listens on while a thread accepts
        self.socket.close()
        for connection in self.connections:
            connection.close()


def config(tiny: TinyBroker, **settings: object) -> MqttAudioConfig:
    address = f"mqtt://me:s3cret@127.0.0.1:{tiny.port}"
    given = {"mqtt": address, "topic": TOPIC, "rate": 8000, **settings}
    return MqttAudioConfig.model_validate(given)


def opened(tiny: TinyBroker, **settings: object) -> Connection:
    connection = config(tiny, **settings).make().open()
    assert tiny.subscribed.wait(30)
    return connection


def read(connection: Connection) -> Received:
    received = connection.read()
    assert received is not None
    return received


def test_raw_payloads() -> None:
    tiny = TinyBroker()
    connection = opened(tiny, channels=2)
    assert (connection.sample_rate, connection.channels) == (8000, 2)
    assert b"s3cret" in tiny.asked[0]
    tiny.publish(struct.pack("<4h", 1, 2, 3, 4))
    np.testing.assert_array_equal(read(connection).samples * 32768, [[1, 3], [2, 4]])
    connection.close()
    assert connection.read() is None
    tiny.close()


def test_recordings_as_payloads_have_their_own_format() -> None:
    tiny = TinyBroker()
    connection = opened(tiny, payload="file", rate=None)
    tiny.publish(wav())
    received = read(connection)
    np.testing.assert_array_equal(received.samples[0] * 32768, SOUND)
    assert connection.sample_rate == RATE
    connection.close()
    tiny.close()


@pytest.mark.parametrize(
    "payload, kind, message",
    [
        (b"abc", "raw", "3 bytes are no whole frames of 2 bytes"),
        (b"", "file", "it is empty"),
        (b"<html>no sound</html>", "file", "web page"),
        (wav()[:1000], "file", "cut short"),
        (bytes(200), "raw", "200 bytes, more than 100"),
    ],
)
def test_hostile_payloads_are_left_out(
    monkeypatch: pytest.MonkeyPatch, payload: bytes, kind: str, message: str
) -> None:
    if "more than" in message:
        monkeypatch.setattr(mqtt, "_MOST_BYTES", 100)
    tiny = TinyBroker()
    connection = opened(tiny, payload=kind)
    tiny.publish(payload)
    received = read(connection)
    assert message in received.problem
    assert not received.samples.size
    good = bytes(100) if kind == "raw" else wav()
    tiny.publish(good)
    assert read(connection).samples.size
    connection.close()
    tiny.close()


def test_payloads_that_are_not_read_in_time_are_counted_as_lost() -> None:
    tiny = TinyBroker()
    connection = opened(tiny)
    assert isinstance(connection, MqttConnection)
    for number in range(250):
        connection.take(struct.pack("<2h", number, number))
    first = read(connection)
    assert first.lost == 300
    assert first.samples[0, 0] * 32768 == 150
    assert read(connection).lost == 0
    connection.close()
    tiny.close()


def test_a_broker_that_breaks_off_or_refuses() -> None:
    tiny = TinyBroker()
    connection = opened(tiny)
    tiny.connections[0].shutdown(socket.SHUT_RDWR)
    with pytest.raises(SourceError, match="the broker ended the connection"):
        connection.read()
    connection.close()
    tiny.close()
    with pytest.raises(SourceError, match="the broker cannot be reached") as error:
        config(tiny).make().open()
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"refusal": 5}, "the broker refuses .*; check user and password"),
        ({"subscription": 128}, "allows no subscription"),
    ],
)
def test_a_broker_that_refuses(settings: dict[str, int], message: str) -> None:
    tiny = TinyBroker(**settings)
    connection = config(tiny).make().open()
    with pytest.raises(SourceError, match=message):
        connection.read()
    connection.close()
    tiny.close()


def test_addresses() -> None:
    secure = broker("mqtts://me:p%40ss@host")
    assert (secure.host, secure.port, secure.tls, secure.password) == ("host", 8883, True, "p@ss")
    assert "p@ss" not in repr(secure)
    assert (broker("host").port, broker("host:1884").port) == (1883, 1884)
    for bad in ("http://me:s3cret@host", "mqtt://", "mqtt://host:port"):
        with pytest.raises(SourceError, match="is no address of an MQTT broker") as error:
            broker(bad)
        assert "s3cret" not in str(error.value)
    with pytest.raises(ValidationError, match="is no address of an MQTT broker"):
        MqttAudioConfig(mqtt="http://host", topic="t", rate=8000)
    with pytest.raises(ValidationError, match="need a 'rate'"):
        MqttAudioConfig(mqtt="host", topic="t")
    config = MqttAudioConfig(mqtt="mqtt://me:s3cret@host", topic="t", rate=8000)
    assert "s3cret" not in repr(config)
