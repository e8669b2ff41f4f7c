"""E-mail, chat and push services, through apprise."""

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import Field, SecretStr

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.monitor.sinks.message import message
from audio_anomaly_detector.monitor.sinks.sink import SinkConfig, SinkError, Site

# The look that services give a notification, by the level of the event.
_LOOKS = {"notice": "info", "warning": "warning", "alarm": "failure"}


class Service(Protocol):
    """What apprise makes of an address."""

    def notify(
        self, body: str, title: str, notify_type: str, body_format: str, attach: str | None
    ) -> bool:
        """Send; returns whether the service took it. Services without attachments ignore it."""


class NotifyConfig(SinkConfig):
    """Each event is a message of a few lines, with its picture where the service takes one.

    Several addresses are several sinks.
    """

    notify: SecretStr = Field(
        description="the address in the form of apprise, such as mailto:// or ntfy://"
    )

    def make(self, site: Site) -> "NotifySink":
        """The sink.

        Raises:
            UserError: apprise is missing or does not know the address.
        """
        return NotifySink(self, site, _service(self.notify.get_secret_value()))


class NotifySink:
    """See `Sink`. One address: of several, those that worked would be told again with the rest."""

    def __init__(self, config: NotifyConfig, site: Site, service: Service) -> None:
        self.name = config.name or "notify"
        self.wants = config.wants
        self._site, self._service = site, service

    def send(self, event: Mapping[str, Any], key: str) -> None:
        """See `Sink`."""
        title, body = message(event, self._site.name, self._site.zone)
        is_over = event["phase"] == "end"
        picture = None if is_over else self._site.picture(event)
        try:
            taken = self._service.notify(
                body=body,
                title=title,
                notify_type="success" if is_over else _LOOKS[event["level"]],
                # Lines stay lines where the service sends HTML.
                body_format="text",
                attach=None if picture is None else str(picture),
            )
        # Plugins of a hundred services: what they raise is as various.
        except Exception as error:
            kind = type(error).__name__
            raise SinkError(
                f"{self.name}: the service failed ({kind}); check its address with `apprise`"
            ) from error
        if not taken:
            raise SinkError(
                f"{self.name}: the service did not take it; check its address with `apprise`"
            )

    def tend(self) -> None:
        """See `Sink`."""

    def close(self) -> None:
        """See `Sink`."""


def _service(address: str) -> Service:
    try:
        import apprise  # noqa: PLC0415 - takes a second, and only this sink needs it
    except ImportError as error:
        raise UserError(
            "notify: apprise is not installed; pip install 'audio-anomaly-detector[watch]'"
        ) from error
    # Its log repeats addresses, which hold passwords, with every attempt.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    service: Any = apprise.Apprise()
    if not service.add(address):
        scheme = one_line(address.partition("://")[0]) if "://" in address else "no scheme"
        raise UserError(
            f"notify: apprise cannot use this address ({scheme}); see the services that it lists"
        )
    return service
