"""Recordings from folders: whole ones only, in order, whatever else lies there."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.monitor.sources.files import FileQueue, FolderConfig
from audio_anomaly_detector.monitor.sources.folder_changes import FolderChanges
from audio_anomaly_detector.monitor.sources.source import Connection, Received, SourceError
from wav_files import RATE, SOUND, wav


def config(folder: Path, **settings: object) -> FolderConfig:
    return FolderConfig.model_validate(
        {"folder": folder, "settled": 0.1, "polling": True, **settings}
    )


def queue(folder: Path, **settings: object) -> FileQueue:
    return FileQueue(folder, config(folder, **settings), None)


def ready(queue: FileQueue) -> list[str]:
    names = [file.name for file in queue._ready]
    queue._ready.clear()
    return names


def read_until_problem_or_end(connection: Connection, pieces: int) -> list[Received]:
    received = []
    while len(received) < pieces:
        one = connection.read()
        if one is None:
            break
        received.append(one)
    return received


def test_one_file_from_start_to_end(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(wav())
    os.utime(file, (5000, 5000))
    connection = FolderConfig(file=file).make().open()
    pieces = read_until_problem_or_end(connection, 10)
    assert connection.sample_rate == RATE
    np.testing.assert_array_equal(
        np.concatenate([piece.samples[0] for piece in pieces]), SOUND / np.float32(32768)
    )
    assert [piece.starts for piece in pieces] == [True, False]
    assert pieces[0].at == 5000 - 2  # it ended when it was last written to
    assert connection.read() is None


def test_a_file_is_left_until_it_is_whole(tmp_path: Path) -> None:
    waiting = queue(tmp_path)
    file = tmp_path / "a.wav"
    content = wav()
    for part, now in ((1000, 0.0), (30_000, 0.09), (len(content), 0.18)):
        file.write_bytes(content[:part])
        waiting.look(now)
        assert ready(waiting) == []
    waiting.look(0.27)
    assert ready(waiting) == []
    waiting.look(0.29)
    assert ready(waiting) == ["a.wav"]
    waiting.look(10.0)
    assert ready(waiting) == []


def test_a_file_that_pauses_while_it_is_written_is_waited_for(tmp_path: Path) -> None:
    waiting = queue(tmp_path)
    file = tmp_path / "a.wav"
    file.write_bytes(wav()[:30_000])
    waiting.look(0.0)
    waiting.look(1.0)
    assert ready(waiting) == ["a.wav"]
    assert waiting.later(file)
    waiting.look(1.1)
    assert ready(waiting) == []
    file.write_bytes(wav())
    waiting.look(2.0)
    waiting.look(3.0)
    assert ready(waiting) == ["a.wav"]


def test_a_file_that_stays_cut_short_is_left_out_and_named(tmp_path: Path) -> None:
    source = config(tmp_path, existing=True).make()
    (tmp_path / "cut.wav").write_bytes(wav()[:30_000])
    os.utime(tmp_path / "cut.wav", (5000, 5000))
    connection = source.open()
    [received] = read_until_problem_or_end(connection, 1)
    assert "cut.wav: is cut short" in received.problem
    connection.close()
    assert connection.read() is None


def test_hostile_files_and_names_stop_nothing(tmp_path: Path) -> None:
    names = [
        b"-rf.wav",
        b"a\nb.wav",
        b"\x1b[31mred.wav",
        b"no text \xff\xfe.wav",
        "\u202egnp.wav".encode(),
        b"x" * 240 + b".wav",
        b"noise.WAV",
    ]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(wav())
    (tmp_path / "page.wav").write_text("<html>not found</html>")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.txt").write_text("no audio")
    (tmp_path / ".hidden.wav").write_bytes(wav())
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "fifo.wav")
    (tmp_path / "nowhere.wav").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path)
    connection = config(tmp_path, existing=True).make().open()
    received = read_until_problem_or_end(connection, 2 * len(names) + 2)
    connection.close()
    problems = sorted(one.problem for one in received if one.problem)
    assert len(problems) == 2
    assert "is empty" in problems[0] + problems[1]
    assert "web page" in problems[0] + problems[1]
    assert all(problem.isprintable() for problem in problems)
    assert sum(one.starts for one in received) == len(names)


def test_files_come_in_the_order_of_their_time(tmp_path: Path) -> None:
    for name, time in (("b", 1000), ("a", 3000), ("c", 2000)):
        (tmp_path / f"{name}.wav").write_bytes(wav())
        os.utime(tmp_path / f"{name}.wav", (time, time))
    waiting = queue(tmp_path, existing=True)
    waiting.look(0.0)
    waiting.look(1.0)
    assert ready(waiting) == ["b.wav", "c.wav", "a.wav"]


def test_what_was_there_is_passed_over_and_what_is_overwritten_is_new(tmp_path: Path) -> None:
    (tmp_path / "old.wav").write_bytes(wav())
    waiting = queue(tmp_path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/new.wav").write_bytes(wav())
    waiting.look(0.0)
    waiting.look(1.0)
    assert ready(waiting) == ["new.wav"]
    (tmp_path / "old.wav").write_bytes(wav(bytes(4000)))
    waiting.look(2.0)
    waiting.look(3.0)
    assert ready(waiting) == ["old.wav"]


def test_memory_is_that_of_the_files_that_are_there(tmp_path: Path) -> None:
    waiting = queue(tmp_path)
    for number in range(50):
        file = tmp_path / f"{number}.wav"
        file.write_bytes(b"x" * number)
        waiting.look(2.0 * number)
        waiting.look(2.0 * number + 1)
        file.unlink()
    waiting.look(200.0)
    assert len(ready(waiting)) == 50
    assert not waiting.seen
    assert not waiting._waiting


def test_what_was_read_is_not_read_again_after_a_share_was_away(tmp_path: Path) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    source = config(folder, existing=True).make()
    (folder / "a.wav").write_bytes(wav())
    connection = source.open()
    assert len(read_until_problem_or_end(connection, 2)) == 2
    folder.rename(tmp_path / "away")
    with pytest.raises(SourceError, match="the folder cannot be read"):
        connection.read()
    connection.close()
    with pytest.raises(SourceError, match="the folder cannot be read"):
        source.open()
    (tmp_path / "away").rename(folder)
    connection = source.open()
    soundfile.write(folder / "b.flac", np.full((800, 3), 0.5), 8000)
    [piece] = read_until_problem_or_end(connection, 1)
    assert piece.samples.shape == (3, 800)
    assert (connection.sample_rate, connection.channels) == (8000, 3)
    connection.close()


@pytest.mark.parametrize("polling", [True, False])
def test_changes_are_told_and_waiting_ends(tmp_path: Path, polling: bool) -> None:
    changes = FolderChanges(tmp_path, recursive=True, polling=polling)
    over = threading.Event()
    seen: list[bool] = []

    def wait() -> None:
        while not over.is_set():
            changes.wait(None)
            seen.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    for number in range(200):
        (tmp_path / f"{number}.wav").touch()
        if over.wait(0.05) or seen:
            break
    over.set()
    changes.close()
    thread.join(30)
    assert seen
    assert not thread.is_alive()


def test_either_folder_or_file(tmp_path: Path) -> None:
    for bad in (FolderConfig(), FolderConfig(folder=tmp_path, file=tmp_path)):
        with pytest.raises(SourceError, match="either 'folder' or 'file'"):
            bad.make()
    with pytest.raises(SourceError, match="cannot be read"):
        FolderConfig(file=tmp_path / "none.wav").make().open()
