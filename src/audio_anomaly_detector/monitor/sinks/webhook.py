"""Events to an HTTP address, signed after the convention of Standard Webhooks."""

import base64
import binascii
import hashlib
import hmac
import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import Field, SecretStr, field_validator

from audio_anomaly_detector.errors import one_line
from audio_anomaly_detector.monitor.clock import Clock, SystemClock
from audio_anomaly_detector.monitor.sinks.sink import SinkConfig, SinkError, Site, payload

# The receiver understood and does not want it: bad content, too long, wrong kind.
_REFUSALS = {400, 410, 413, 415, 422}
_KEPT = 200  # bytes of an answer that a message repeats


class WebhookConfig(SinkConfig):
    """Each event is posted as JSON to an address."""

    webhook: SecretStr = Field(description="the address, http:// or https://")
    secret: SecretStr | None = Field(
        default=None,
        description="signs what is sent; text, or ``whsec_`` and base64",
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="that are sent along, such as Authorization"
    )
    timeout_s: float = Field(default=10, gt=0, description="for each answer of the receiver")

    @field_validator("webhook")
    @classmethod
    def _is_an_address(cls, value: SecretStr) -> SecretStr:
        try:
            parts = urlsplit(value.get_secret_value())
            known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            known = False
        if not known:
            raise ValueError("is no address that begins with http:// or https:// and names a host")
        return value

    @field_validator("secret")
    @classmethod
    def _can_be_used(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _key(value)
        return value

    def make(self, site: Site) -> "WebhookSink":
        """The sink."""
        return WebhookSink(self, site, SystemClock())


class WebhookSink:
    """See `Sink`. Any answer of 200 to 299 is a success; redirections are not followed."""

    def __init__(self, config: WebhookConfig, site: Site, clock: Clock) -> None:
        self.name = config.name or "webhook"
        self.wants = config.wants
        self._config, self._site, self._clock = config, site, clock
        self._opener = urllib.request.build_opener(_NoRedirection)
        self._address, self._host, self._login = _parts(config.webhook.get_secret_value())

    def send(self, event: Mapping[str, Any], key: str) -> None:
        """See `Sink`."""
        body = payload(event, key, self._site).encode()
        headers = {name: value.get_secret_value() for name, value in self._config.headers.items()}
        headers = {**self._login, **headers, "Content-Type": "application/json"}
        headers["Idempotency-Key"] = _header_value(key)
        headers |= signed(key, int(self._clock.wall()), body, self._config.secret)
        request = urllib.request.Request(self._address, data=body, headers=headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._config.timeout_s):
                pass
        except urllib.error.HTTPError as error:
            with error:
                said = one_line(_beginning(error))
            raise SinkError(
                f"{self.name}: {self._host} answered {error.code}{': ' if said else ''}{said}; "
                "check its address and what it takes",
                refused=error.code in _REFUSALS,
            ) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise SinkError(
                f"{self.name}: {self._host} cannot be reached "
                f"({one_line(reason) or type(error).__name__}); check the network and the address"
            ) from error

    def tend(self) -> None:
        """See `Sink`."""

    def close(self) -> None:
        """See `Sink`."""


def signed(key: str, at: int, body: bytes, secret: SecretStr | None) -> dict[str, str]:
    """The headers that say what a message is, when it was sent, and that it is ours.

    The signature is HMAC-SHA256 of ``ID.TIMESTAMP.BODY``:
    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

    Args:
        key: of the message.
        at: when it is sent, s since 1970 UTC; a receiver refuses what is old.
        body: that is sent.
        secret: None: it is not signed.
    """
    identity = _header_value(key)
    headers = {"webhook-id": identity, "webhook-timestamp": str(at)}
    if secret is not None:
        content = f"{identity}.{at}.".encode() + body
        digest = hmac.new(_key(secret), content, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def _parts(address: str) -> tuple[str, str, dict[str, str]]:
    """An address without its user and password, its host, and the header that holds these two.

    Messages show only the host: the rest is often a secret.
    """
    parts = urlsplit(address)
    login, at, place = parts.netloc.rpartition("@")
    code = base64.b64encode(unquote(login).encode()).decode()
    header = {"Authorization": f"Basic {code}"} if at else {}
    return urlunsplit(parts._replace(netloc=place)), parts.hostname or "", header


def _key(secret: SecretStr) -> bytes:
    text = secret.get_secret_value()
    if not text.startswith("whsec_"):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ is no base64") from None


def _header_value(text: str) -> str:
    """Text that can stand in a header: one line of visible ASCII."""
    escaped = text.encode("unicode-escape", "backslashreplace").decode("ascii")
    return escaped.replace(" ", "\\x20")


def _beginning(answer: IO[bytes]) -> str:
    try:
        return answer.read(_KEPT).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return ""


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its content."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Follow none."""
