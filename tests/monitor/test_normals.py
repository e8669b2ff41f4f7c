"""Normals on disk: of many hours, bounded, and none but what the files say."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.normals import Normals, held_out, hour_of, name_of, time_of

BEGAN = 1_795_748_400.0  # 2026-11-27 03:00 UTC
SOUND = (0.1 * np.random.default_rng(0).standard_normal((2, 800))).astype(np.float32)


def filled(folder: Path, most: int, times: list[float]) -> Normals:
    normals = Normals(folder, most)
    for at in times:
        normals.add(SOUND, 8000, at)
    return normals


def test_names_are_times() -> None:
    assert name_of(BEGAN + 0.25) == "2026-11-27T030000.25Z.flac"
    assert name_of(BEGAN + 59.999) == "2026-11-27T030100.00Z.flac"
    assert time_of(name_of(BEGAN + 3723.5)) == BEGAN + 3723.5
    assert hour_of(name_of(BEGAN + 3600)) == "2026-11-27T04"


def test_a_piece_is_kept_as_it_is(tmp_path: Path) -> None:
    normals = filled(tmp_path, 10, [BEGAN])
    (clip,) = normals.clips("pump-3", normals.names)
    samples, rate = soundfile.read(clip.path, dtype="float32", always_2d=True)
    assert rate == 8000
    np.testing.assert_allclose(samples.T, SOUND, atol=2**-23)
    assert clip.label == 0


def test_pieces_of_an_hour_are_one_group_where_there_are_enough_hours(tmp_path: Path) -> None:
    times = [BEGAN + 3600 * hour + 10 * number for hour in range(4) for number in range(2)]
    normals = filled(tmp_path, 10, times)
    groups = [clip.group for clip in normals.clips("pump-3", normals.names)]
    assert groups[:3] == ["hour=2026-11-27T03", "hour=2026-11-27T03", "hour=2026-11-27T04"]
    assert {clip.group for clip in normals.clips("pump-3", normals.names[:6])} == {""}


def test_the_fullest_hour_gives_way_and_stays_spread(tmp_path: Path) -> None:
    first = [BEGAN + 10 * number for number in range(20)]
    later = [BEGAN + 3600 * hour + 60 * number for hour in (1, 2) for number in range(5)]
    normals = filled(tmp_path, 15, first + later)
    assert dict(normals.hours) == {"2026-11-27T03": 5, "2026-11-27T04": 5, "2026-11-27T05": 5}
    times = [time_of(name) for name in normals.names if hour_of(name) == "2026-11-27T03"]
    assert times[-1] - times[0] >= 100
    assert sorted(path.name for path in tmp_path.iterdir()) == normals.names


def test_the_files_are_all_that_is_known(tmp_path: Path) -> None:
    names = filled(tmp_path, 10, [BEGAN, BEGAN + 10, BEGAN + 20]).names
    (tmp_path / names[1]).unlink()
    (tmp_path / "holiday.flac").write_bytes(b"")
    assert Normals(tmp_path, 10).names == [names[0], names[2]]


def test_between(tmp_path: Path) -> None:
    normals = filled(tmp_path, 10, [BEGAN, BEGAN + 10, BEGAN + 20])
    assert normals.between(BEGAN + 10, BEGAN + 20) == [name_of(BEGAN + 10)]
    normals.remove(normals.between(BEGAN + 5, BEGAN + 15))
    assert normals.names == [name_of(BEGAN), name_of(BEGAN + 20)]


def test_about_a_sixth_is_held_out_and_always_the_same() -> None:
    names = [name_of(BEGAN + 10 * number) for number in range(2000)]
    held = [name for name in names if held_out(name)]
    assert 0.13 < len(held) / len(names) < 0.2
    assert held == [name for name in names if held_out(name)]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "normals").write_text("a file")
    with pytest.raises(UserError):
        filled(tmp_path / "normals", 10, [BEGAN])
