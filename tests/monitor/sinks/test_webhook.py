"""Webhooks are signed, repeated where that helps, and show no secret."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.sinks.sink import SinkError, Site
from audio_anomaly_detector.monitor.sinks.webhook import WebhookConfig, WebhookSink, signed
from audio_anomaly_detector.settings import validated
from monitor.told_events import SetClock, event

SITE = Site("Plant", "Europe/Berlin")


class Handler(http.server.BaseHTTPRequestHandler):
    """Notes what it gets and answers as it is told."""

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.got.append((dict(self.headers.items()), body))
        if server.hangs:
            server.release.wait(10)
        self.send_response(server.answer)
        if 300 <= server.answer < 400:
            self.send_header("Location", f"http://localhost:{server.server_port}/elsewhere")
        self.end_headers()
        self.wfile.write(b"no \x1b[2J" * 100_000 if server.answer >= 400 else b"")

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Any]:
    made: Any = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    made.got, made.answer, made.hangs, made.release = [], 200, False, threading.Event()
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.release.set()
    made.shutdown()
    thread.join()
    made.server_close()


def _sink(server: Any, **settings: object) -> WebhookSink:
    address = f"http://user:pass@localhost:{server.server_port}/hook?token=hidden"
    config = validated(WebhookConfig, {"webhook": address, **settings})
    return WebhookSink(config, SITE, SetClock(1000.0))


def test_what_arrives(server: Any) -> None:
    sink = _sink(server, secret="s3cret", headers={"Authorization": "Bearer hidden"})
    one = event(name="\udcff\n")
    sink.send(one.to_dict(), "event-0:0")
    headers, body = server.got[0]
    content = json.loads(body)
    assert content.items() >= one.to_dict().items()
    assert content["key"] == "event-0:0" and content["site"] == "Plant"
    assert content["title"].endswith(": new tone at 3 kHz since 16:13")
    assert headers["Idempotency-Key"] == headers["Webhook-Id"] == "event-0:0"
    assert headers["Authorization"] == "Bearer hidden"
    expected = signed("event-0:0", 1000, body, SecretStr("s3cret"))
    assert headers["Webhook-Signature"] == expected["webhook-signature"]


def test_user_and_password_of_the_address(server: Any) -> None:
    _sink(server).send(event().to_dict(), "event-0:0")
    assert server.got[0][0]["Authorization"] == "Basic dXNlcjpwYXNz"  # user:pass


def test_the_signature_is_that_of_the_published_example() -> None:
    headers = signed(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_hostile_key_stays_in_its_header(server: Any) -> None:
    _sink(server).send(event().to_dict(), "a\r\nX-Evil: 1 \udcff:0")
    headers, _ = server.got[0]
    assert "X-Evil" not in headers and headers["Webhook-Id"].isascii()


@pytest.mark.parametrize(
    ("answer", "refused"), [(400, True), (422, True), (404, False), (401, False), (503, False)]
)
def test_answers_that_are_errors(server: Any, answer: int, refused: bool) -> None:
    server.answer = answer
    with pytest.raises(SinkError, match=f"localhost answered {answer}") as raised:
        _sink(server).send(event().to_dict(), "event-0:0")
    assert raised.value.refused == refused
    text = str(raised.value)
    assert text.isprintable() and len(text) < 1000
    assert "hidden" not in text and "pass" not in text


def test_a_redirection_is_not_followed(server: Any) -> None:
    server.answer = 302
    with pytest.raises(SinkError, match="answered 302"):
        _sink(server).send(event().to_dict(), "event-0:0")
    assert len(server.got) == 1


def test_a_receiver_that_does_not_answer(server: Any) -> None:
    server.hangs = True
    with pytest.raises(SinkError, match=r"cannot be reached .*timed out"):
        _sink(server, timeout_s=0.05).send(event().to_dict(), "event-0:0")


def test_a_receiver_that_is_not_there() -> None:
    config = validated(WebhookConfig, {"webhook": "http://localhost:1/hidden"})
    with pytest.raises(SinkError, match="localhost cannot be reached") as raised:
        config.make(SITE).send(event().to_dict(), "event-0:0")
    assert "hidden" not in str(raised.value) and not raised.value.refused


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"webhook": "ftp://host/hidden"}, "begins with http"),
        ({"webhook": "http://[hidden"}, "begins with http"),
        ({"webhook": "http://h/", "secret": "whsec_hidden!"}, "is no base64"),
        ({"webhook": "http://h/", "retries": 3}, "unknown setting 'retries'; known here: name"),
        ({"webhook": "http://h/", "level": "loud"}, "'notice', 'warning' or 'alarm'"),
    ],
)
def test_wrong_settings(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        validated(WebhookConfig, settings)


def test_settings_show_no_secrets() -> None:
    config = validated(
        WebhookConfig,
        {"webhook": "http://h/hidden", "secret": "hidden", "headers": {"A": "hidden"}},
    )
    assert "hidden" not in repr(config)
