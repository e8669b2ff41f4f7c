"""Events to an MQTT broker, with entities for Home Assistant."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, SecretStr, field_validator

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.monitor.sinks.home_assistant import (
    Entity,
    Publication,
    discovery,
    entity_of,
    state,
)
from audio_anomaly_detector.monitor.sinks.sink import SinkConfig, SinkError, Site, payload

if TYPE_CHECKING:
    from paho.mqtt.client import Client

_KEEP_ALIVE_S = 30  # after 1.5 times as long the broker says that we are gone
_ONLINE, _OFFLINE = "online", "offline"
# Entities whose states are repeated to a Home Assistant that starts.
_MOST_ENTITIES = 20_000


class MqttConfig(SinkConfig):
    """Events as JSON under PREFIX/events, the newest state of each machine under PREFIX/machine."""

    mqtt: str = Field(min_length=1, description="host of the broker")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="default: 1883, with tls 8883"
    )
    user: str | None = Field(default=None, description="of the broker")
    password: SecretStr | None = Field(default=None, description="of the user")
    tls: bool = Field(default=False, description="encrypt, and check the broker's certificate")
    ca_file: str | None = Field(
        default=None, description="certificates that are trusted; default: the system's"
    )
    prefix: str = Field(default="audio-anomaly-detector", description="of all topics")
    client_id: str = Field(default="", description="default: the broker gives one")
    home_assistant: str | None = Field(
        default="homeassistant",
        description="prefix of the topics by which Home Assistant finds entities; null: none",
    )
    timeout_s: float = Field(default=10, gt=0, description="for each answer of the broker")

    @field_validator("prefix", "home_assistant")
    @classmethod
    def _is_a_topic(cls, value: str | None) -> str | None:
        if value is not None and (not value.strip("/") or set(value) & set("#+\0")):
            raise ValueError("is no beginning of a topic: give words with / between, no # or +")
        return value

    def make(self, site: Site) -> "MqttSink":
        """The sink.

        Raises:
            UserError: paho-mqtt is missing.
        """
        try:
            import paho.mqtt.client  # noqa: F401, PLC0415 - only this sink needs it
        except ImportError as error:
            raise UserError(
                "mqtt: paho-mqtt is not installed; pip install 'audio-anomaly-detector[watch]'"
            ) from error
        return MqttSink(self, site)


class MqttSink:
    """See `Sink`.

    A client that lost its connection is discarded with all that it had queued: what did not arrive
    is still in the store, and would be sent twice and out of order by a client of its own queue.
    """

    def __init__(self, config: MqttConfig, site: Site) -> None:
        self.name = config.name or "mqtt"
        self.wants = config.wants
        self._config, self._site = config, site
        self._lock = threading.RLock()  # an attempt that hangs may still be using the client
        self._client: Client | None = None
        self._repeat = threading.Event()
        opened = [one.to_dict() for one in site.open_events]
        self._entities: OrderedDict[Entity, Publication] = OrderedDict()
        for name in site.machines:
            entity = Entity("machine", name, "sound")
            self._entities[entity] = state(config.prefix, entity, None)
        for event in opened:
            self._entities[entity_of(event)] = state(config.prefix, entity_of(event), event)

    def send(self, event: Mapping[str, Any], key: str) -> None:
        """See `Sink`."""
        with self._lock:
            client = self._connected()
            self._publish(client, f"{self._config.prefix}/events", payload(event, key, self._site))
            if self._config.home_assistant is not None:
                self._show(client, event)

    def tend(self) -> None:
        """See `Sink`."""
        with self._lock:
            client = self._connected()
            if self._repeat.is_set():
                self._repeat.clear()
                self._show_all(client)

    def close(self) -> None:
        """See `Sink`."""
        client = self._client
        self._client = None
        if client is not None:
            if client.is_connected():
                topic = f"{self._config.prefix}/availability"
                client.publish(topic, _OFFLINE, qos=1, retain=True).wait_for_publish(1)
            client.disconnect()
            client.loop_stop()

    def _show(self, client: "Client", event: Mapping[str, Any]) -> None:
        entity = entity_of(event)
        if entity not in self._entities:
            self._publish(client, *self._discovery(entity), retain=True)
        self._entities[entity] = state(self._config.prefix, entity, event)
        self._entities.move_to_end(entity)
        while len(self._entities) > _MOST_ENTITIES:
            self._entities.popitem(last=False)
        self._publish(client, *self._entities[entity], retain=True)

    def _show_all(self, client: "Client") -> None:
        if self._config.home_assistant is None:
            return
        for entity, newest in self._entities.items():
            self._publish(client, *self._discovery(entity), retain=True)
            self._publish(client, *newest, retain=True)

    def _discovery(self, entity: Entity) -> Publication:
        config = self._config
        return discovery(config.prefix, str(config.home_assistant), self._site.name, entity)

    def _publish(self, client: "Client", topic: str, content: str, retain: bool = False) -> None:
        """Publish, and wait until the broker has it."""
        sent = client.publish(topic, content, qos=1, retain=retain)
        try:
            sent.wait_for_publish(self._config.timeout_s)
            arrived = sent.is_published()
        except (RuntimeError, ValueError):  # the connection is lost, or the client's queue full
            arrived = False
        if not arrived:
            self._discard()
            raise SinkError(f"{self._named()} does not confirm what it gets; check the broker")

    def _connected(self) -> "Client":
        if self._client is not None and self._client.is_connected():
            return self._client
        self._discard()
        self._client = self._connect()
        availability = f"{self._config.prefix}/availability"
        self._publish(self._client, availability, _ONLINE, retain=True)
        self._repeat.clear()
        self._show_all(self._client)
        return self._client

    def _connect(self) -> "Client":
        from paho.mqtt.client import Client  # noqa: PLC0415 - only this sink needs it
        from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415

        config = self._config
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=config.client_id, reconnect_on_failure=False
        )
        answered, refusal = threading.Event(), []

        def on_connect(*arguments: Any) -> None:
            reason = arguments[3]
            if reason.is_failure:
                refusal.append(str(reason))
            answered.set()

        def on_message(*arguments: Any) -> None:
            # Of the thread of the client, which must not wait for its own confirmations.
            if arguments[2].payload == _ONLINE.encode():
                self._repeat.set()

        client.on_connect, client.on_message = on_connect, on_message
        client.will_set(f"{config.prefix}/availability", _OFFLINE, qos=1, retain=True)
        client.connect_timeout = config.timeout_s
        try:
            if config.user is not None:
                secret = config.password
                client.username_pw_set(config.user, secret.get_secret_value() if secret else None)
            if config.tls:
                client.tls_set(config.ca_file)
            client.connect(
                config.mqtt, config.port or (8883 if config.tls else 1883), _KEEP_ALIVE_S
            )
        except (OSError, ValueError) as error:
            raise SinkError(
                f"{self._named()} cannot be reached ({one_line(error)}); "
                "check its address and the network"
            ) from error
        client.loop_start()
        if not answered.wait(config.timeout_s) or refusal:
            client.disconnect()
            client.loop_stop()
            why = f"refuses the connection ({refusal[0]})" if refusal else "does not answer"
            raise SinkError(f"{self._named()} {why}; check user, password and tls")
        if config.home_assistant is not None:
            client.subscribe(f"{config.home_assistant}/status", qos=1)
        return client

    def _discard(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _named(self) -> str:
        return f"{self.name}: the broker {one_line(self._config.mqtt)}"
