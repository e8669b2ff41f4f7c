"""Notifications through apprise."""

import logging
from dataclasses import replace
from email import message_from_string, policy
from pathlib import Path

import pytest

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.sinks.notify import NotifyConfig, NotifySink
from audio_anomaly_detector.monitor.sinks.sink import SinkError, Site
from audio_anomaly_detector.monitor.store.clips import PICTURE
from audio_anomaly_detector.settings import validated
from monitor.told_events import ended, event

SITE = Site("Plant", "Europe/Berlin")


class Service:
    """Notes what it is given."""

    def __init__(self, answer: bool = True, error: Exception | None = None) -> None:
        self.got: list[tuple[str, str]] = []
        self.attached: list[str | None] = []
        self._answer, self._error = answer, error

    def notify(
        self, body: str, title: str, notify_type: str, body_format: str, attach: str | None
    ) -> bool:
        if self._error is not None:
            raise self._error
        self.got.append((title, notify_type))
        self.attached.append(attach)
        return self._answer


def _sink(service: Service, site: Site = SITE) -> NotifySink:
    return NotifySink(validated(NotifyConfig, {"notify": "json://host"}), site, service)


def test_title_and_look_of_each_phase() -> None:
    service = Service()
    sink, one = _sink(service), event()
    for state in (one, replace(one, phase="update", level="alarm"), ended(one)):
        sink.send(state.to_dict(), "key")
    assert service.got == [
        ("pump-3: new tone at 3 kHz since 16:13", "warning"),
        ("pump-3: alarm: new tone at 3 kHz since 16:13", "failure"),
        ("pump-3: over: new tone at 3 kHz, 16:13 to 16:14", "success"),
    ]


def test_the_picture_goes_along_while_the_event_lasts(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / PICTURE).write_bytes(b"png")
    service, site = Service(), replace(SITE, events=tmp_path)
    sink, one = _sink(service, site), replace(event(), folder="kept")
    for state in (one, ended(one), replace(one, folder="removed"), replace(one, folder=None)):
        sink.send(state.to_dict(), "key")
    assert service.attached == [str(tmp_path / "kept" / PICTURE), None, None, None]


@pytest.mark.parametrize(
    "service", [Service(answer=False), Service(error=RuntimeError("https://hidden@host"))]
)
def test_a_service_that_fails(service: Service) -> None:
    with pytest.raises(SinkError, match="the service") as raised:
        _sink(service).send(event().to_dict(), "key")
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("address", ["nosuch://hidden", "hidden", "\x1b[2J://hidden"])
def test_an_address_that_apprise_does_not_know(address: str) -> None:
    pytest.importorskip("apprise", reason="the extra 'watch' is not installed")
    with pytest.raises(UserError, match="cannot use this address") as raised:
        validated(NotifyConfig, {"notify": address}).make(SITE)
    assert "hidden" not in str(raised.value) and str(raised.value).isprintable()


def test_apprise_itself(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("apprise", reason="the extra 'watch' is not installed")
    with caplog.at_level(logging.DEBUG):
        sink = validated(NotifyConfig, {"notify": "json://user:hidden@localhost:1/"}).make(SITE)
        with pytest.raises(SinkError, match="did not take it"):
            sink.send(event().to_dict(), "key")
    assert "hidden" not in caplog.text


def test_lines_are_lines_in_an_email(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("apprise", reason="the extra 'watch' is not installed")
    sent: list[str] = []

    class Server:
        """An SMTP server that notes what it is given."""

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def sendmail(self, _: str, __: object, content: str) -> None:
            sent.append(content)

        def quit(self) -> None:
            pass

    monkeypatch.setattr("smtplib.SMTP", Server)
    address = "mailto://localhost?from=a@x.example&to=b@x.example&mode=insecure"
    one = replace(event(), words=("New tone at 3 kHz.", "Louder above 5 kHz."))
    validated(NotifyConfig, {"notify": address}).make(SITE).send(one.to_dict(), "key")
    text = message_from_string(sent[0], policy=policy.default).get_body(("plain",))
    assert text is not None
    assert "\nNew tone at 3 kHz.\nLouder above 5 kHz." in text.get_content()


def test_settings_show_no_secrets() -> None:
    assert "hidden" not in repr(validated(NotifyConfig, {"notify": "json://hidden"}))
