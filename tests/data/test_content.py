import pytest

from audio_anomaly_detector.data.content import content_hash
from audio_anomaly_detector.errors import ClipError


def test_content_hash_is_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert content_hash(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")
    with pytest.raises(ClipError, match="cannot be read"):
        content_hash(tmp_path / "missing")
