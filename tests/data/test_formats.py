from audio_anomaly_detector.data.formats import mixed_notes, recording_formats, unlike_normals
from audio_anomaly_detector.data.kinds import AudioInfo


def info(rate: int = 16_000, channels: int = 1, subtype: str = "PCM_16") -> AudioInfo:
    return AudioInfo(10.0, rate, channels, 10 * rate, subtype)


def test_clips_that_are_alike_need_no_words() -> None:
    formats = recording_formats([info(), info(subtype="PCM_24"), info(48_000)])
    assert not mixed_notes(formats, 16_000)  # 48 kHz are brought to 16
    assert not unlike_normals(info(44_100, subtype="FLOAT"), formats, 16_000)


def test_mixed_normals_are_named() -> None:
    formats = recording_formats([info(), info(), info(8000), info(16_000, 2, "MPEG_LAYER_III")])
    rate, coding, channels = mixed_notes(formats, 16_000)
    assert "3 16000 Hz, 1 8000 Hz" in rate
    assert "3 without loss, 1 coded with loss" in coding
    assert "3 1 channel(s), 1 2 channel(s)" in channels


def test_a_clip_unlike_the_normals_gets_a_remark() -> None:
    formats = recording_formats([info(), info()])
    [slow] = unlike_normals(info(8000), formats, 16_000)
    assert "recorded at 8000 Hz, the normal clips at 16000 Hz" in slow and "4000 Hz" in slow
    [lossy] = unlike_normals(info(subtype="VORBIS"), formats, 16_000)
    assert "VORBIS" in lossy
    [lossy] = unlike_normals(info(subtype="MPEG_LAYER_III"), formats, 16_000)
    assert "coded with loss (MP3)" in lossy
    [stereo] = unlike_normals(info(channels=2), formats, 16_000)
    assert "2 channel(s)" in stereo


def test_of_a_model_that_does_not_say_the_rate_is_all_there_is() -> None:
    assert unlike_normals(info(8000), [], 16_000)
    assert not unlike_normals(info(16_000, 2, "VORBIS"), [], 16_000)
