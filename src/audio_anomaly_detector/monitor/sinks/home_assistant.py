"""What Home Assistant is told by MQTT: an entity for each machine, which is on while events last.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from audio_anomaly_detector.errors import one_line

_LONGEST = 40  # characters of a name in a topic
_MODEL = "audio-anomaly-detector"


class Entity(NamedTuple):
    """Something whose trouble is shown: a kind of event of a machine or source."""

    subject: str
    name: str
    kind: str

    @property
    def topic(self) -> str:
        """Its part of a topic: letters, digits, ``_`` and ``-``; different for different ones."""
        return f"{self.subject}/{topic_name(self.name)}/{topic_name(self.kind)}"

    @property
    def identity(self) -> str:
        """The same as one word."""
        return self.topic.replace("/", "-")


class Publication(NamedTuple):
    """A message that the broker keeps for those who come later."""

    topic: str
    payload: str


def entity_of(event: Mapping[str, Any]) -> Entity:
    """The entity that an event, as plain data, is about."""
    return Entity(event["subject"], event["name"], event["kind"])


def state(prefix: str, entity: Entity, event: Mapping[str, Any] | None) -> Publication:
    """Whether an entity is in trouble: by its newest event, as plain data; None: it has none."""
    lasts = event is not None and event["phase"] != "end"
    shown: dict[str, Any] = {"state": "ON" if lasts else "OFF"}
    if event is not None:
        shown |= {key: event[key] for key in ("id", "level", "words", "folder")}
        shown |= {key: _iso(event[key]) for key in ("started", "updated", "ended")}
    return Publication(f"{prefix}/{entity.topic}", json.dumps(shown))


def discovery(prefix: str, discovery_prefix: str, site: str, entity: Entity) -> Publication:
    """What makes Home Assistant show an entity."""
    node = topic_name(prefix)
    identity = f"{node}-{entity.identity}"
    name = one_line(entity.name)
    content = {
        "name": entity.kind,
        "unique_id": identity,
        "device_class": "problem",
        "state_topic": f"{prefix}/{entity.topic}",
        "value_template": "{{ value_json.state }}",
        "json_attributes_topic": f"{prefix}/{entity.topic}",
        "availability_topic": f"{prefix}/availability",
        "device": {
            "identifiers": [f"{node}-{entity.subject}-{topic_name(entity.name)}"],
            "name": f"{name} ({one_line(site)})" if site else name,
            "model": _MODEL,
        },
        "origin": {"name": _MODEL},
    }
    return Publication(f"{discovery_prefix}/binary_sensor/{identity}/config", json.dumps(content))


def topic_name(name: str) -> str:
    """A name as part of a topic; what had to be altered has a hash, so that it stays different."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:_LONGEST]
    if plain == name and name:
        return name
    code = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{plain}_{code}"


def _iso(moment: float | None) -> str | None:
    """A time in UTC as Home Assistant reads it."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
