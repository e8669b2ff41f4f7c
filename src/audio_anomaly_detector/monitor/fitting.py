"""A fit to the normals of a machine, in a process of its own beside the one that listens."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom

from audio_anomaly_detector.config import Config
from audio_anomaly_detector.data.audio import examine_clip
from audio_anomaly_detector.data.clips import Clip, independent_groups
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import ClipError, UserError, one_line
from audio_anomaly_detector.files import hold_folder, write_json
from audio_anomaly_detector.monitor.hearing import prepared
from audio_anomaly_detector.monitor.machine_config import MachineConfig
from audio_anomaly_detector.monitor.normals import Normals, held_out, hour_of
from audio_anomaly_detector.monitor.running import States, band_levels, find_states
from audio_anomaly_detector.monitor.verdict import MachineState
from audio_anomaly_detector.monitor.versions import Version, Versions
from audio_anomaly_detector.scoring.conditions import Conditions

# Five minutes of a state, of which a sixth is held out.
LEAST_WINDOWS = 30
# Mean difference of the levels in bands below which two windows are the same sound, dB: of noise
# that is steady for ten seconds they differ by several times as much by chance.
_SAME_DB = 0.05
# A model fails its test if so many held-out normals lie above the threshold as come by chance in
# one of a hundred tests, were the rate twice the nominal one.
_RATE_ALLOWED = 2.0
_CHANCE = 0.01
_NICENESS = 19

OUTCOME = "fit.json"


@dataclass(frozen=True)
class Job:
    """What is to be fitted.

    Args:
        machine: its name.
        settings: of the machine.
        at: time of the fit, s since 1970 UTC.
        full: the learning period is over.
        config: see `Version.config`.
    """

    machine: str
    settings: MachineConfig
    at: float
    full: bool
    config: dict[str, Any] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a fit.

    Args:
        version: that was made; None: none, see `words`.
        words: what it was made of or why none was, a sentence each.
        refused: normals that are not to be learned from, by reason.
    """

    version: int | None
    words: tuple[str, ...]
    refused: dict[str, list[str]] = field(default_factory=dict)


def learn(folder: Path, job: Job) -> Outcome:
    """Fit a version of the models to the normals in a machine's folder and test it.

    Args:
        folder: of the machine.
        job: what is to be fitted.

    Raises:
        UserError: another fit is writing there, or it cannot be written.
    """
    with hold_folder(folder / "models"):
        normals = Normals(folder / "normals", job.settings.kept_windows)
        return _learn(normals, Versions(folder / "models"), job)


def _learn(normals: Normals, versions: Versions, job: Job) -> Outcome:
    config = prepared(job.settings.detector_config(job.config))
    clips = normals.clips(job.machine, normals.names)
    levels = {
        clip.name: band_levels(of, config.audio.sample_rate) for clip, of in _read(clips, config)
    }
    if not levels:
        return Outcome(None, ("there is no normal sound that can be read",))
    clips = [clip for clip in clips if clip.name in levels]
    refused = {"repeated": _repeated(levels)}
    clips = _without(clips, refused["repeated"])
    if len(clips) < LEAST_WINDOWS:
        problem = (
            f"too little variety: of {len(levels)} pieces of sound {len(refused['repeated'])} "
            "repeat others exactly; is a recording played again and again?"
        )
        return Outcome(None, (problem,), refused)
    states, doing = find_states(
        np.stack([levels[clip.name] for clip in clips]), job.settings.quietest
    )
    of_state: dict[MachineState, list[Clip]] = {}
    for clip, state in zip(clips, doing, strict=True):
        of_state.setdefault(state, []).append(clip)
    detectors: dict[MachineState, Detector] = {}
    speech: list[str] = []
    words: list[str] = []
    passed = True
    judged: tuple[MachineState, ...] = ("running", "idle")
    for state in judged:
        own = of_state.get(state, [])
        over = _with_speech(own, config)
        speech += over
        own = _without(own, over)
        if len(own) < LEAST_WINDOWS:
            if own or state == "running":
                words.append(_too_few(state, own, over, config))
            continue
        try:
            detector, tested = _fitted(own, config)
        except UserError as error:
            words.append(f"{state}: {one_line(error)}")
            continue
        passed = passed and tested.passed
        words.append(f"{state}: {tested.words}")
        detectors[state] = detector
    words += _of_other_states(of_state, states)
    refused["speech"] = speech
    if "running" not in detectors or not passed:
        return Outcome(None, tuple(words), refused)
    version = versions.add(
        Version(
            number=0,
            made=job.at,
            origin="learned",
            full=job.full,
            words=tuple(words),
            states=states.to_plain(),
            models=(),
            before=versions.current,
            config=job.config,
        ),
        detectors,
    )
    return Outcome(version.number, version.words, refused)


@dataclass(frozen=True)
class Tested:
    """How a model did on held-out normals.

    Args:
        passed: it may be used.
        words: in figures.
    """

    passed: bool
    words: str


def _fitted(clips: Sequence[Clip], config: Config) -> tuple[Detector, Tested]:
    """A detector of all but the held-out clips, tested on these."""
    held = [clip for clip in clips if held_out(clip.name)]
    fitted = [clip for clip in clips if not held_out(clip.name)]
    detector = Detector.fit(fitted, config, device="cpu").detector
    tested = tested_on(detector, held)
    hours = len({hour_of(clip.name) for clip in clips})
    learned = (
        f"learned from {len(fitted)} pieces of {hours} hour{'s' * (hours > 1)}, {tested.words}"
    )
    return detector, replace(tested, words=learned)


def tested_on(detector: Detector, held: Sequence[Clip]) -> Tested:
    """Whether a detector calls no more of held-out normals anomalous than it should."""
    scores = [score for _, score in detector.score_clips(held)]
    judged = [score for score in scores if not isinstance(score, ClipError)]
    above = sum(score.is_anomalous for score in judged)
    rate = min(0.5, _RATE_ALLOWED * detector.threshold_config.false_alarm_rate)
    allowed = int(binom.ppf(1 - _CHANCE, len(judged), rate)) if judged else 0
    words = f"{above} of {len(judged)} held-out ones called anomalous, at most {allowed} allowed"
    return Tested(above <= allowed, words)


def _too_few(state: str, own: Sequence[Clip], speech: Sequence[str], config: Config) -> str:
    minutes = config.audio.window_seconds / 60
    heard = " but for pieces with speech" if speech else ""
    return (
        f"{state}: {len(own) * minutes:.0f} of the {LEAST_WINDOWS * minutes:.0f} minutes of normal "
        f"sound that are needed{heard}"
    )


def _of_other_states(of_state: dict[MachineState, list[Clip]], states: States) -> Iterator[str]:
    if "off" in states.names:
        yield f"off in {len(of_state.get('off', []))} pieces, which are not learned from"
    between = len(of_state.get("unknown", []))
    if between:
        yield f"starting or stopping in {between} pieces, which are not learned from"


def _read(clips: Sequence[Clip], config: Config) -> Iterator[tuple[Clip, NDArray[np.float32]]]:
    """The clips that can be read, one after the other."""
    for clip in clips:
        try:
            yield clip, examine_clip(clip, config.audio).waveform
        except ClipError:
            continue


def _repeated(levels: dict[str, NDArray[np.float64]]) -> list[str]:
    """Names of windows that are the same sound as an earlier one."""
    kept: list[NDArray[np.float64]] = []
    repeated = []
    for name, of in levels.items():
        mean = of.mean(0)
        if kept and np.abs(np.stack(kept) - mean).mean(1).min() < _SAME_DB:
            repeated.append(name)
        else:
            kept.append(mean)
    return repeated


def _with_speech(clips: Sequence[Clip], config: Config) -> list[str]:
    """Names of the clips over which somebody speaks, by what they have beside the others."""
    if len(clips) < LEAST_WINDOWS // 2:
        return []
    groups = independent_groups(clips)
    usual = Conditions.fit(
        (waveform for _, waveform in _read(clips, config)), groups, config.audio.sample_rate
    )
    if usual is None:
        return []
    return [
        clip.name
        for clip, waveform in _read(clips, config)
        if usual.heard(waveform, usual.compare(waveform)) is not None
    ]


def _without(clips: Sequence[Clip], names: Sequence[str]) -> list[Clip]:
    return [clip for clip in clips if clip.name not in set(names)]


def main(arguments: Sequence[str]) -> None:
    """Fit as the file of a job says, and leave the outcome beside it.

    Args:
        arguments: the folder of the machine, and the job as JSON.
    """
    os.nice(_NICENESS)  # what listens goes first
    torch.set_num_threads(1)
    folder, content = Path(arguments[0]), json.loads(arguments[1])
    job = Job(**{**content, "settings": MachineConfig(**content["settings"])})
    try:
        outcome = learn(folder, job)
    except UserError as error:
        outcome = Outcome(None, (one_line(error),))
    write_json(folder / OUTCOME, asdict(outcome))


if __name__ == "__main__":
    main(sys.argv[1:])
