"""Sound from ffmpeg: a script in its place that fails in every way, and the real one."""

import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import fake_ffmpeg
from audio_anomaly_detector.monitor.clock import SystemClock
from audio_anomaly_detector.monitor.sound import Chunk
from audio_anomaly_detector.monitor.sources import supervisor as supervisor_module
from audio_anomaly_detector.monitor.sources.back_off import SupervisorConfig
from audio_anomaly_detector.monitor.sources.ffmpeg import FfmpegConfig, command
from audio_anomaly_detector.monitor.sources.source import Connection, SourceError
from audio_anomaly_detector.monitor.sources.supervisor import Supervisor

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
URL = "rtsp://admin:s3cret@camera/stream?token=abc"


def opened(folder: Path, body: str, **settings: object) -> Connection:
    program = fake_ffmpeg.write(folder, body)
    config = FfmpegConfig.model_validate({"url": URL, "program": program, **settings})
    return config.make().open()


def hear(connection: Connection, frames: int) -> np.ndarray:
    parts = [np.empty((connection.channels, 0), np.float32)]
    while sum(part.shape[1] for part in parts) < frames:
        received = connection.read()
        assert received is not None
        parts.append(received.samples)
    return np.concatenate(parts, axis=1)


def is_running(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_rate_and_channels_are_those_of_the_source(tmp_path: Path) -> None:
    connection = opened(tmp_path, "sound(1000); time.sleep(60)")
    assert (connection.sample_rate, connection.channels) == (8000, 2)
    samples = hear(connection, 1000)
    np.testing.assert_array_equal(samples, np.tile([[0.25], [-0.5]], (1, 1000)))
    connection.close()
    assert connection.read() is None


def test_how_it_is_called() -> None:
    config = FfmpegConfig(url=URL, arguments=("-timeout", "5000000"), rate=16_000, channels=1)
    line = " ".join(command(config))
    assert "-rtsp_flags prefer_tcp" in line
    assert f"-timeout 5000000 -i {URL}" in line
    assert "-ar 16000 -ac 1" in line
    plain = " ".join(command(FfmpegConfig(input="hw:CARD=Mic", arguments=("-f", "alsa"))))
    assert "rtsp" not in plain
    assert "-ar" not in plain
    assert "-f alsa -i hw:CARD=Mic" in plain


def test_its_end_is_a_failure_with_what_it_said_last_and_no_password(tmp_path: Path) -> None:
    body = f"sound(10); print('{URL}: Connection refused', file=sys.stderr); sys.exit(3)"
    connection = opened(tmp_path, body)
    hear(connection, 10)
    with pytest.raises(SourceError) as error:
        connection.read()
    message = str(error.value)
    assert "ffmpeg ended (exit status 3" in message
    assert "Connection refused" in message
    assert "s3cret" not in message
    assert "token=abc" not in message
    assert "\n" not in message


def test_why_it_ended_is_told_with_how_it_ended_and_not_where_it_lies_in_memory(
    tmp_path: Path,
) -> None:
    lines = ["earlier", "[tcp @ 0x55babbd79900] Failed to resolve hostname h", f"{URL}: I/O error"]
    body = f"sound(10); print(*{lines!r}, sep='\\n', file=sys.stderr); sys.exit(1)"
    connection = opened(tmp_path, body)
    hear(connection, 10)
    with pytest.raises(SourceError) as error:
        connection.read()
    hidden = "rtsp://admin:***@camera/stream?token=***"
    assert str(error.value) == (
        f"{hidden}: ffmpeg ended (exit status 1: Failed to resolve hostname h; I/O error); "
        "check the name of the host and the network"
    )


@pytest.mark.parametrize("sign", "/?#")
def test_a_password_that_is_not_escaped_is_refused(sign: str) -> None:
    with pytest.raises(ValidationError, match=rf"has '[{sign}]' in its password; write %2F for /"):
        FfmpegConfig(url=f"rtsp://me:s3{sign}cret@camera:554/a")


@pytest.mark.parametrize(
    "url",
    ["rtsp://me:s3@c:t@camera/a", "http://h:8000/a@b", "http://[::1]/a@b", "/a:b#c@d", "//h:/a@b"],
)
def test_other_addresses_are_taken(url: str) -> None:
    assert FfmpegConfig(url=url).url == url


@pytest.mark.parametrize("form", ["{}", "file:{}", "file://{}"])
def test_a_recording_is_no_live_source(tmp_path: Path, form: str) -> None:
    file = tmp_path / "a.wav"
    file.touch()
    program = fake_ffmpeg.write(tmp_path, "sound(10)")
    config = FfmpegConfig(url=form.format(file), program=program)
    with pytest.raises(SourceError, match=r"a\.wav: is a recording, which .* write 'file' in"):
        config.make().open()
    for settings in ({"live": False}, {"arguments": ("-re", "-stream_loop", "-1")}):
        connection = config.model_copy(update=settings).make().open()
        assert connection.sample_rate == 8000
        connection.close()


def test_a_recording_ends_for_good(tmp_path: Path) -> None:
    connection = opened(tmp_path, "sound(10)", live=False)
    hear(connection, 10)
    assert connection.read() is None


def test_messages_without_end_fill_no_memory_and_do_not_stop_it(tmp_path: Path) -> None:
    body = (
        "sys.stderr.write('x' * 3_000_000)\n"
        "for i in range(20000): print('line', i, file=sys.stderr)\n"
        "sound(10)"
    )
    tracemalloc.start()
    try:
        connection = opened(tmp_path, body)
        hear(connection, 10)
        with pytest.raises(SourceError, match=r"line 19999"):
            connection.read()
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    child = connection._child  # type: ignore[attr-defined]
    assert len(child._lines) <= 20
    assert max(map(len, child._lines)) <= 500


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    body = (
        "child = subprocess.Popen(['sleep', '600'])\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "sound(10); time.sleep(600)"
    )
    connection = opened(tmp_path, body)
    hear(connection, 10)
    processes = [int(pid) for pid in (tmp_path / "pid").read_text().split()]
    assert all(map(is_running, processes))
    connection.close()
    wait_for(lambda: not any(map(is_running, processes)))


_ENDS_WHILE_OPENING = """
import sys, threading, time
from pathlib import Path
from audio_anomaly_detector.monitor.sources.ffmpeg import FfmpegConfig
source = FfmpegConfig(url="http://host", program=sys.argv[1], first_sound=120).make()
threading.Thread(target=source.open, daemon=True).start()
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
"""


def test_a_program_that_ends_while_a_source_is_opened_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    program, pid = tmp_path / "fake-ffmpeg", tmp_path / "pid"
    program.write_text(f"#!/bin/sh\necho $$ > {pid}.new\nmv {pid}.new {pid}\nexec sleep 600\n")
    program.chmod(0o700)
    script = [sys.executable, "-c", _ENDS_WHILE_OPENING, str(program), str(pid)]
    subprocess.run(script, check=True, timeout=120)
    wait_for(lambda: not is_running(int(pid.read_text())))


def test_closing_ends_a_read_that_waits_and_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = open_files()
    for _ in range(5):
        connection = opened(tmp_path, "sound(10); time.sleep(600)")
        hear(connection, 10)
        results: list[object] = []
        reader = threading.Thread(
            target=lambda c=connection, r=results: r.append(c.read())  # type: ignore[misc]
        )
        reader.start()
        connection.close()
        reader.join(30)
        assert results == [None]
        connection.close()
    wait_for(lambda: open_files() <= before)


@pytest.mark.parametrize(
    "script, message",
    [
        (None, "is not there; install ffmpeg"),
        ("exit 0", "ffmpeg ended (exit status 0)"),
        ("while true; do echo yes; done", "ffmpeg wrote no WAV"),
    ],
)
def test_what_is_no_ffmpeg(tmp_path: Path, script: str | None, message: str) -> None:
    program = tmp_path / "fake-ffmpeg"
    if script is not None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
    with pytest.raises(SourceError) as error:
        FfmpegConfig(url=URL, program=str(program)).make().open()
    assert message in str(error.value)
    assert "s3cret" not in str(error.value)


def test_no_sound_in_time(tmp_path: Path) -> None:
    program = fake_ffmpeg.write(tmp_path, "")
    Path(program).write_text("#!/bin/sh\nexec sleep 600\n")
    config = FfmpegConfig(url=URL, program=program, first_sound=1)
    with pytest.raises(SourceError, match=r"no sound within 1 s; check that it runs"):
        config.make().open()


def test_either_url_or_input() -> None:
    for config in (FfmpegConfig(), FfmpegConfig(url=URL, input="x")):
        with pytest.raises(SourceError, match="either 'url' or 'input'"):
            config.make()
    assert "s3cret" not in repr(FfmpegConfig(url=URL))


class Listener:
    """What a supervised source brings."""

    def __init__(self) -> None:
        self.stretches: list[int] = []
        self.kinds: set[str] = set()

    def on_chunk(self, _: str, chunk: Chunk) -> None:
        if chunk.stretch not in self.stretches[-1:]:
            self.stretches.append(chunk.stretch)


@contextmanager
def supervised(config: FfmpegConfig) -> Iterator[tuple[Listener, Supervisor]]:
    listener = Listener()
    settings = SupervisorConfig.model_construct(
        stale_after=0.3, first_pause=0.05, longest_pause=0.2, longest_pause_unseen=0.2
    )
    supervisor = Supervisor(
        "camera",
        config.make(),
        SystemClock(),
        listener.on_chunk,
        lambda _, faults: listener.kinds.update(faults),
        settings,
    )
    supervisor.start()
    try:
        yield listener, supervisor
    finally:
        supervisor.stop()


REAL_CUTS = {
    "killed": "sound(800); os.kill(os.getpid(), signal.SIGKILL)",
    "frozen": "sound(800); time.sleep(600)",
    "stopped": "sound(800); os.kill(os.getpid(), signal.SIGSTOP)",
}


@pytest.mark.parametrize("kind", REAL_CUTS)
@pytest.mark.parametrize("cuts", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_real_processes_that_are_cut_are_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, cuts: int
) -> None:
    monkeypatch.setattr(supervisor_module, "_CHECK_S", 0.1)
    program = fake_ffmpeg.write(tmp_path, REAL_CUTS[kind])
    with supervised(FfmpegConfig(url=URL, program=program)) as (listener, supervisor):
        until = time.monotonic() + 10 * cuts
        while len(listener.stretches) <= cuts:
            assert time.monotonic() < until
            time.sleep(0.02)
    assert ("unreachable" if kind == "killed" else "stale") in listener.kinds
    assert supervisor.status().connections > cuts


class Server:
    """A web server of sound that stops sending, but keeps its connections open.

    Args:
        seconds: of sound that each connection gets.
    """

    def __init__(self, seconds: float) -> None:
        rate = 8000
        header = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack(
            "<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16
        )
        tone = 8000 * np.sin(np.arange(round(seconds * rate)) / 5)
        self.answer = b"HTTP/1.0 200 OK\r\nContent-Type: audio/wav\r\n\r\n" + header
        self.answer += b"data\xff\xff\xff\xff" + tone.astype("<i2").tobytes()
        self.connections: list[socket.socket] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://user:s3cret@127.0.0.1:{self.socket.getsockname()[1]}/sound.wav"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.recv(65_536)
            connection.sendall(self.answer)
            self.connections.append(connection)

    def close(self) -> None:
        self.socket.close()
        for connection in self.connections:
            connection.close()


@needs_ffmpeg
def test_the_real_ffmpeg_on_a_connection_that_stays_open_and_silent() -> None:
    server = Server(10.0)
    config = FfmpegConfig(url=server.url, first_sound=30)
    try:
        with supervised(config) as (listener, supervisor):
            wait_for(lambda: len(listener.stretches) >= 3)
            status = supervisor.status()
    finally:
        server.close()
    assert listener.kinds >= {"stale"}
    assert (status.sample_rate, status.channels) == (8000, 1)


@needs_ffmpeg
def test_the_real_ffmpeg_brings_the_samples_of_any_input() -> None:
    config = FfmpegConfig(
        input="sine=frequency=1000:sample_rate=22050:duration=2",
        arguments=("-f", "lavfi"),
        live=False,
    )
    connection = config.make().open()
    assert (connection.sample_rate, connection.channels) == (22_050, 1)
    samples = hear(connection, 44_100)
    spectrum = np.abs(np.fft.rfft(samples[0, :22_050]))
    assert spectrum.argmax() == 1000
    assert connection.read() is None


@needs_ffmpeg
def test_the_real_ffmpeg_on_a_video_without_sound() -> None:
    config = FfmpegConfig(input="testsrc=duration=1", arguments=("-f", "lavfi"), first_sound=30)
    with pytest.raises(SourceError, match=r"; it has no sound: switch it on in the camera"):
        config.make().open()


@needs_ffmpeg
def test_the_real_ffmpeg_says_why_it_cannot() -> None:
    config = FfmpegConfig(url="http://user:s3cret@127.0.0.1:9/none", first_sound=30)
    with pytest.raises(SourceError, match=r"failed: Connection refused\); check add") as error:
        config.make().open()
    assert "s3cret" not in str(error.value)
