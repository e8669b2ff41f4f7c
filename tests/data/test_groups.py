"""Which recordings vary together."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from audio_anomaly_detector.data.audio import AudioConfig
from audio_anomaly_detector.data.clips import Clip, MachineKey, independent_groups
from audio_anomaly_detector.data.groups import with_groups
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.errors import UserError


def clip(name):
    return Clip(Path(name), name, 0, MachineKey("", "", ""))


def groups(names, rule):
    return [one.group.partition("=")[2] for one in with_groups([clip(n) for n in names], rule)]


@pytest.mark.parametrize(
    ("names", "rule", "expected"),
    [
        (["a/1.wav", "a/2.wav", "b/1.wav", "3.wav"], "folder", ["a", "a", "b", "."]),
        (
            ["2026-11-26_14-05.wav", "20261126T150000.wav", "2026.11.27 14.05.wav"],
            "day",
            ["2026-11-26", "2026-11-26", "2026-11-27"],
        ),
        (
            ["2026-11-26/14h05.wav", "20261126_145900.wav", "x20261126-1500.wav"],
            "hour",
            ["2026-11-26-14", "2026-11-26-14", "2026-11-26-15"],
        ),
        (
            ["fan_run3_1.wav", "fan_run3_2.wav", "fan_run12_1.wav"],
            r"name:run\d+",
            ["run3", "run3", "run12"],
        ),
        (["load5_a.wav", "load7_a.wav"], r"name:load(\d)", ["5", "7"]),
    ],
)
def test_rules(names, rule, expected):
    assert groups(names, rule) == expected


def test_cuts_of_one_recording_stay_in_its_group():
    cuts = [clip("2026-11-26_14-05.wav").cut(10.0 * i, 10.0) for i in range(2)]
    assert len({one.group for one in with_groups(cuts, "day")}) == 1


@pytest.mark.parametrize("rule", ["day", "hour", "name:run"])
def test_a_name_without_what_the_rule_asks_for_is_told(rule):
    with pytest.raises(UserError, match=r"1 of 2 clips have no.* \(such as b.wav\)"):
        with_groups([clip("run_2026-11-26_10-00.wav"), clip("b.wav")], rule)


@pytest.mark.parametrize("rule", ["days", "name:(", ""])
def test_an_unknown_rule_is_refused(rule):
    with pytest.raises(ValidationError, match="group"):
        AudioConfig(group=rule)


def test_numbers_that_are_no_dates_are_none():
    with pytest.raises(UserError, match="no day"):
        groups(["00000012.wav", "20261399.wav"], "day")


def test_a_manifest_states_groups(tmp_path):
    (tmp_path / "a.csv").write_text("path,session\na.wav,monday\nb.wav,monday\nc.wav,\nd.wav,\n")
    clips = find_clips(tmp_path / "a.csv").clips
    numbers = independent_groups(clips)
    assert numbers[0] == numbers[1] != numbers[2]
