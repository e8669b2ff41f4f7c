import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audio_anomaly_detector.data import media
from audio_anomaly_detector.data.audio import AudioConfig, examine_clip
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.errors import ClipError

av = pytest.importorskip("av")

FILES = {  # name: format, codec, rate
    "a.m4a": ("ipod", "aac", 44_100),
    "a.mp4": ("mp4", "aac", 48_000),
    "a.aac": ("adts", "aac", 44_100),
    "a.3gp": ("3gp", "aac", 16_000),
    "a.wma": ("asf", "wmav2", 44_100),
    "a.webm": ("webm", "libopus", 48_000),
}


def write(path: Path, container: str, codec: str, rate: int, **options: str) -> Path:
    """Three seconds of a tone of 440 Hz."""
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * rate) / rate)
    tone += 0.01 * np.random.default_rng(0).standard_normal(len(tone))
    with av.open(str(path), "w", format=container, options=options) as output:
        stream: Any = output.add_stream(codec, rate=rate)
        stream.layout = "mono"
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(tone.astype("f4")[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        sizes = {"frame_size": stream.codec_context.frame_size or 1024}
        form = stream.codec_context.format.name
        resampler = av.AudioResampler(format=form, layout="mono", rate=rate, **sizes)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return path


def read(path: Path) -> tuple[np.ndarray, list[str]]:
    reading = examine_clip(Clip(path, path.name, 0, MachineKey("c", "m", "i")), AudioConfig())
    return reading.waveform, reading.remarks


def loudest_hz(waveform: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(waveform[0, 8000:40_000]))
    return float(spectrum.argmax()) / 2


@pytest.mark.parametrize("name", FILES)
def test_recordings_of_phones(tmp_path, name):
    path = write(tmp_path / name, *FILES[name])
    waveform, remarks = read(path)
    assert abs(waveform.shape[1] / 16_000 - 3) < 0.15
    assert loudest_hz(waveform) == pytest.approx(440, abs=1)
    assert remarks == []
    assert len(find_clips(tmp_path).clips) == 1
    part = Clip(path, name, 0, MachineKey("c", "m", "i")).cut(1, 1)
    assert examine_clip(part, AudioConfig()).waveform.shape == (1, 16_000)


@pytest.mark.parametrize("name", FILES)
def test_cut_short(tmp_path, name):
    options = {"movflags": "faststart"} if name == "a.mp4" else {}
    path = write(tmp_path / name, *FILES[name], **options)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ClipError, match="cut short"):
        read(path)


def test_headers_that_name_places_beyond_the_file_print_nothing(tmp_path, capfd):
    starts = (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), b"\0\0\0\x1cftypM4A ")
    for seed in range(20):
        for start in starts:
            path = tmp_path / "a.m4a"
            path.write_bytes(start + np.random.default_rng(seed).bytes(15_000))
            with pytest.raises(ClipError, match="damaged"):
                read(path)
    assert capfd.readouterr() == ("", "")


def test_a_list_of_other_files_is_not_followed(tmp_path):
    secret = write(tmp_path / "secret.aac", *FILES["a.aac"])
    path = tmp_path / "a.m4a"
    path.write_text(f"ffconcat version 1.0\nfile '{secret}'\n")
    with pytest.raises(ClipError, match="is not audio"):
        read(path)
    path.write_text(f"#EXTM3U\n#EXTINF:3,\n{secret}\n")
    with pytest.raises(ClipError, match="playlist"):
        read(path)


def without_av(monkeypatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(media, "import_module", missing)


def test_without_a_decoder_the_command_to_install_one(tmp_path, monkeypatch):
    path = write(tmp_path / "a.m4a", *FILES["a.m4a"])
    without_av(monkeypatch)
    monkeypatch.setattr(media.shutil, "which", lambda _name: None)
    with pytest.raises(ClipError) as error:
        read(path)
    assert error.value.remedy.startswith("pip install 'audio-anomaly-detector[media]'")


def test_ffmpeg_decodes_where_pyav_is_missing(tmp_path, monkeypatch):
    import soundfile

    path = write(tmp_path / "a.m4a", *FILES["a.m4a"])
    without_av(monkeypatch)
    monkeypatch.setattr(media.shutil, "which", lambda name: f"/usr/bin/{name}")
    commands = []

    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(3 * 44_100) / 44_100)
        soundfile.write(command[-1].removeprefix("file:"), tone, 44_100, subtype="FLOAT")
        return subprocess.CompletedProcess(command, 0, b"", b"")

    monkeypatch.setattr(media.subprocess, "run", run)
    waveform, _ = read(path)
    assert waveform.shape == (1, 48_000)
    assert "-nostdin" in commands[0]
    assert commands[0][commands[0].index("-protocol_whitelist") + 1] == "file"
    monkeypatch.setattr(
        media.subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 1, b"", b"moov atom not found"),
    )
    with pytest.raises(ClipError, match="moov atom not found"):
        read(path)
