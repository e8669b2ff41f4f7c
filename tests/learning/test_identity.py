"""What makes two fits the same."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.learning.identity import fit_identity, same_fit

Clips = list[Clip]


@pytest.fixture
def three(tmp_path: Path) -> Clips:
    for name in "abc":
        (tmp_path / name).write_text(name)
    machine = MachineKey("0_dB_fan", "fan", "id_00")
    return [Clip(tmp_path / name, name, 0, machine) for name in "abc"]


def test_the_decision_is_no_part_of_a_fit(three: Clips) -> None:
    one = load_config("instant")
    other = load_config("instant", overrides=["scoring.threshold.method=conformal"])
    assert one != other
    assert same_fit(one, other)
    assert fit_identity(one, three) == fit_identity(other, three)


@pytest.mark.parametrize("setting", ["seed=1", "scoring.views=2", "audio.channels=mean"])
def test_every_other_setting_is(three: Clips, setting: str) -> None:
    one, other = load_config("instant"), load_config("instant", overrides=[setting])
    assert not same_fit(one, other)
    assert fit_identity(one, three) != fit_identity(other, three)


def rewritten(clips: Clips) -> Clips:
    clips[0].path.write_text("longer")
    return clips


def touched(clips: Clips) -> Clips:
    os.utime(clips[0].path, (0, 0))
    return clips


@pytest.mark.parametrize(
    "change",
    [
        lambda clips: clips[:2],
        lambda clips: [replace(clips[0], label=None), *clips[1:]],
        lambda clips: [replace(clips[0], name="z"), *clips[1:]],
        lambda clips: [replace(clips[0], start=1.0), *clips[1:]],
        lambda clips: [replace(clips[0], duration=1.0), *clips[1:]],
        rewritten,
        touched,
    ],
)
def test_so_are_the_clips_and_their_files(three: Clips, change: Callable[[Clips], Clips]) -> None:
    config = load_config("instant")
    before = fit_identity(config, three)
    assert fit_identity(config, change(three)) != before


def test_the_order_of_the_clips_is_not(three: Clips) -> None:
    config = load_config("instant")
    assert fit_identity(config, three) == fit_identity(config, three[::-1])
