"""Sound in the payloads of an MQTT topic."""

import threading
from collections import deque
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

import numpy as np
from pydantic import BaseModel, Field, field_validator, model_validator

from audio_anomaly_detector.data.decoding import open_sound
from audio_anomaly_detector.errors import ClipError, one_line, without_passwords
from audio_anomaly_detector.files import temporary_folder
from audio_anomaly_detector.monitor.sources.pcm import SampleFormat, to_samples, width
from audio_anomaly_detector.monitor.sources.source import Received, SourceError

# What waits to be read: ten seconds of a payload each tenth of a second, or so many bytes.
_MOST_WAITING = 100
_MOST_BYTES = 16 * 2**20
_MOST_SAMPLES = 2**25  # that a recording in a payload may unpack to
_CONNECT_S = 5.0
_KEEP_ALIVE_S = 10


class MqttAudioConfig(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """A topic whose payloads are sound."""

    mqtt: str = Field(
        min_length=1,
        repr=False,
        description="address of the broker: mqtt://user:password@host:1883, mqtts:// for TLS",
    )
    topic: str = Field(min_length=1, max_length=65_535, description="topic, of one device only")
    payload: Literal["raw", "file"] = Field(
        default="raw", description="raw: samples; file: a whole recording such as WAV or FLAC"
    )
    rate: int | None = Field(
        default=None, ge=1000, le=1_000_000, description="of raw samples: in Hz"
    )
    channels: int = Field(default=1, ge=1, le=128, description="of raw samples: interleaved")
    format: SampleFormat = Field(default="s16le", description="of raw samples")

    @field_validator("mqtt")
    @classmethod
    def _is_an_address(cls, address: str) -> str:
        try:
            broker(address)
        except SourceError as error:
            raise ValueError(str(error)) from error
        return address

    @model_validator(mode="after")
    def _raw_samples_have_a_rate(self) -> Self:
        if self.payload == "raw" and self.rate is None:
            raise ValueError("raw MQTT payloads need a 'rate' in Hz, or give 'payload: file'")
        return self

    def make(self) -> "MqttAudio":
        """The source."""
        return MqttAudio(self, broker(self.mqtt))


class Broker:
    """Address of a broker.

    Args:
        host: name or address.
        port: number.
        tls: the connection is encrypted.
        user: None: nobody.
        password: likewise.
    """

    def __init__(
        self, host: str, port: int, tls: bool, user: str | None, password: str | None
    ) -> None:
        self.host, self.port, self.tls = host, port, tls
        self.user, self.password = user, password

    def __repr__(self) -> str:
        return f"{self.host}:{self.port}"


def broker(address: str) -> Broker:
    """Read ``mqtt://user:password@host:port``.

    Raises:
        SourceError: it is none.
    """
    wrong = SourceError(
        f"{without_passwords(one_line(address))}: is no address of an MQTT broker; write "
        "mqtt://host or mqtts://user:password@host:8883"
    )
    try:
        parts = urlsplit(address if "://" in address else f"mqtt://{address}")
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise wrong
    tls = parts.scheme == "mqtts"
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    return Broker(parts.hostname, port or (8883 if tls else 1883), tls, user, password)


class MqttAudio:
    """Subscribes to one topic."""

    live = True

    def __init__(self, config: MqttAudioConfig, address: Broker) -> None:
        self._config, self._address = config, address

    def open(self) -> "MqttConnection":
        """See `Source`."""
        return MqttConnection(self._config, self._address)


class MqttConnection:
    """See `Connection`. The client's thread puts payloads into a bounded queue.

    Raises:
        SourceError: the broker cannot be reached, or refuses.
    """

    def __init__(self, config: MqttAudioConfig, address: Broker) -> None:
        self._config, self._name = config, f"{address} {config.topic}"
        self.sample_rate, self.channels = config.rate or 1, config.channels
        self._waiting: deque[bytes] = deque()
        self._lost = self._too_large = 0
        self._news = threading.Condition()
        self._closed, self._failure = False, ""
        self._client = self._connected(address)

    def read(self) -> Received | None:
        """See `Connection`."""
        with self._news:
            self._news.wait_for(
                lambda: self._waiting or self._too_large or self._closed or self._failure
            )
            if self._closed:
                return None
            if self._too_large:
                size, self._too_large = self._too_large, 0
                return self._left_out(f"{size} bytes, more than {_MOST_BYTES}")
            if not self._waiting:
                raise SourceError(f"{self._name}: {self._failure}")
            payload, lost, self._lost = self._waiting.popleft(), self._lost, 0
        return self._sound(payload)._replace(lost=lost)

    def close(self) -> None:
        """See `Connection`."""
        with self._news:
            if self._closed:
                return
            self._closed = True
            self._waiting.clear()
            self._news.notify_all()
        self._client.disconnect()
        self._client.loop_stop()

    def take(self, payload: bytes) -> None:
        """A payload has come; the oldest make room if they are not read fast enough."""
        with self._news:
            if len(payload) <= _MOST_BYTES:
                self._waiting.append(payload)
            else:
                self._too_large = len(payload)
            while len(self._waiting) > _MOST_WAITING or sum(map(len, self._waiting)) > _MOST_BYTES:
                self._lost += self._frames(self._waiting.popleft())
            self._news.notify_all()

    def fail(self, why: str) -> None:
        """The connection is over."""
        with self._news:
            self._failure = why
            self._news.notify_all()

    def _connected(self, address: Broker) -> Any:
        try:
            from paho.mqtt.client import Client  # noqa: PLC0415
            from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415
        except ImportError as error:
            raise SourceError(
                "MQTT needs paho-mqtt; pip install 'audio-anomaly-detector[watch]'"
            ) from error
        client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        client.connect_timeout = _CONNECT_S
        if address.user is not None:
            client.username_pw_set(address.user, address.password)
        if address.tls:
            client.tls_set()

        def on_connect(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
            if reason.is_failure:
                self.fail(f"the broker refuses ({reason}); check user and password")
            else:
                client.subscribe(self._config.topic, qos=1)

        def on_subscribe(client: Any, data: Any, mid: Any, codes: Any, properties: Any) -> None:
            if any(code.is_failure for code in codes):
                self.fail("the broker allows no subscription; check the user's rights")

        def on_disconnect(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
            self.fail(self._failure or f"the broker ended the connection ({reason})")

        client.on_connect, client.on_subscribe = on_connect, on_subscribe
        client.on_disconnect = on_disconnect
        client.on_message = lambda client, data, message: self.take(bytes(message.payload))
        try:
            client.connect(address.host, address.port, keepalive=_KEEP_ALIVE_S)
        except (OSError, ValueError) as error:
            raise SourceError(
                f"{self._name}: the broker cannot be reached ({one_line(error)}); check address "
                "and network"
            ) from error
        client.loop_start()
        return client

    def _frames(self, payload: bytes) -> int:
        """Samples of each channel in a raw payload."""
        if self._config.payload == "file":
            return self.sample_rate  # not known without reading it; about a second
        return len(payload) // (width(self._config.format) * self.channels)

    def _sound(self, payload: bytes) -> Received:
        if self._config.payload == "file":
            return self._of_file(payload)
        frame = width(self._config.format) * self.channels
        if len(payload) % frame:
            return self._left_out(f"{len(payload)} bytes are no whole frames of {frame} bytes")
        return Received(to_samples(payload, self._config.format, self.channels))

    def _of_file(self, payload: bytes) -> Received:
        with temporary_folder() as folder:
            file = Path(folder, "payload")
            file.write_bytes(payload)
            try:
                sound = open_sound(file)
                if sound.info.frames * sound.info.channels > _MOST_SAMPLES:
                    return self._left_out(f"{sound.info.seconds:.0f} s of sound are too much")
                parts = list(sound.blocks(0, sound.info.frames))
            except ClipError as error:
                return self._left_out(f"it {error.reason}")
        self.sample_rate, self.channels = sound.info.sample_rate, sound.info.channels
        samples = np.concatenate(parts).T
        return Received(np.ascontiguousarray(samples, np.float32))

    def _left_out(self, why: str) -> Received:
        empty = np.empty((self.channels, 0), np.float32)
        return Received(empty, problem=f"{self._name}: a payload is left out: {why}")
