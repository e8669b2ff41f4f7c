import pytest

from audio_anomaly_detector.errors import one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("정상/a b.wav", "정상/a b.wav"),
        ("\x1b[2Ja", "\\x1b[2Ja"),
        ("a\u202egpj.wav", "a\\u202egpj.wav"),
        ("b\udcff.wav", "b\\udcff.wav"),
        ("a\u2028b\x07", "a\\u2028b\\x07"),
        ("👩\u200d🔧.wav", "👩\u200d🔧.wav"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_nothing_that_is_shown_steers_a_terminal(text, shown):
    assert printable(text) == shown


def test_one_line():
    assert one_line(ValueError("a\n  b\x1bc\r\n")) == "a b\\x1bc"
