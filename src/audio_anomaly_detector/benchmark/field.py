"""Decisions under the conditions of the field: what is asked of each machine, and its answers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf

from audio_anomaly_detector.benchmark.conditions import (
    CONDITIONS,
    FILES,
    SNR_DB,
    Take,
    Waveform,
    can_be_written,
    quantised,
)
from audio_anomaly_detector.benchmark.origin import data_hash
from audio_anomaly_detector.benchmark.threshold_rules import LogMelBaselines, own_thresholds
from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.audio import read_clip
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.datasets import cut_long_recordings
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.files import temporary_folder
from audio_anomaly_detector.score import Score
from audio_anomaly_detector.scoring.threshold import ThresholdConfig
from audio_anomaly_detector.seeding import derive_seed
from audio_anomaly_detector.synthesis.data_set import (
    CONDITIONS as LABELS,
)
from audio_anomaly_detector.synthesis.data_set import (
    MachineName,
    Rendering,
    Site,
    SyntheticConfig,
)
from audio_anomaly_detector.synthesis.sounds import Array, Clock

NORMALS = (4, 8, 20, 50, 200)
USUAL, RARE = 0.1, 0.01  # nominal rates of false alarms
TYPES: tuple[MachineName, ...] = ("fan", "pump", "slider", "valve")
AS_LEARNED = "as learned"
OURS = "ours"

_NORMAL, _ANOMALOUS = 0, 1
_ASKED = {_NORMAL: 16, _ANOMALOUS: 8}  # unseen clips as learned
_CHANGED = 8  # those of each label that are changed
_UNSEEN = 1000  # number of the first of them
_SECONDS = 10.0
_SPARE_SECONDS = 1.0  # at the end of what clips are made of, for machines that run faster
_LENGTHS = (1.0, 3.0)  # s, cut from the unseen clips
_LONG = ((60.0, 4), (600.0, 1))  # s, and how many recordings
_RECORDINGS = (  # number, and seconds of each
    (3, 60.0),
    (12, 60.0),
    (1, 1200.0),
)
# The hall of a longer recording changes from minute to minute: what happens in it is synthesised
# over the whole of a clip, which takes minutes for long ones.
_HALL_SECONDS = 60.0
_CROSSFADE_SECONDS = 1.0
# Shares of the normal clips, in the order of recording, after which learning ends.
_ENDS = (0.4, 0.5, 0.6, 0.7)

# Those that are asked of detectors of several numbers of normals.
_ASKED_OF_SOME = ("lengths", *dict.fromkeys([*CONDITIONS, *FILES]), "machines")
SCENARIOS = ("normals", "recordings", *_ASKED_OF_SOME)
REAL = "real"  # the only scenario of real machines


class Part(NamedTuple):
    """What a machine is asked at a time.

    Attributes:
        scenario: of `SCENARIOS`, or `REAL`.
        normals: clips that the detector learned from; 0 where the scenario says from what.
    """

    scenario: str
    normals: int = 0

    def __str__(self) -> str:
        """Name it, as answers do."""
        return f"{self.scenario} {self.normals}" if self.normals else self.scenario


class Answer(NamedTuple):
    """What a method says of one clip.

    Attributes:
        machine: that it was fitted to.
        part: that the question belongs to.
        learned: what it was fitted on.
        asked: what the clip is.
        method: `OURS` or a baseline.
        nominal: rate of false alarms.
        label: 0 normal, 1 anomalous.
        p_value: of the clip; empty for baselines.
        p_step: steps in which p-values come.
        verdict: see `Score.verdict`.
    """

    machine: str
    part: str
    learned: str
    asked: str
    method: str
    nominal: float
    label: int
    p_value: float | str
    p_step: float | str
    verdict: str


@dataclass(frozen=True)
class _Fitted:
    """Our detector and the baselines, fitted on the same clips of a machine."""

    machine: str
    learned: str
    detector: Detector
    logmel: LogMelBaselines

    @classmethod
    def on(cls, machine: str, learned: str, clips: Sequence[Clip]) -> "_Fitted":
        detector = Detector.fit(
            clips, load_config("instant"), device="cpu", on_error="stop"
        ).detector
        audio = detector.config.audio
        cuts = cut_long_recordings(clips, audio)
        waveforms = [read_clip(clip, audio) for clip in cuts]
        return cls(machine, learned, detector, LogMelBaselines(waveforms, USUAL))

    def answers(
        self,
        part: Part,
        asked: str,
        label: int,
        waveforms: Sequence[Waveform],
        rare: bool = False,
    ) -> Iterator[Answer]:
        """Of clips from memory; on request of our detector at the other nominal rate, too."""
        scores = self.detector.score_waveforms(waveforms)
        yield from self._all(part, asked, label, scores, waveforms)
        if rare:
            config = ThresholdConfig(false_alarm_rate=RARE)
            other = self.detector.with_threshold(config)
            scores = other.score_waveforms(waveforms)
            yield from self._ours(part, asked, label, scores, other.threshold_config)

    def answers_on_files(
        self, part: Part, asked: str, label: int, clips: Sequence[Clip]
    ) -> Iterator[Answer]:
        """Of clips in files."""
        scores = []
        for _, score in self.detector.score_clips(clips):
            if isinstance(score, ClipError):
                raise score
            scores.append(score)
        waveforms = [read_clip(clip, self.detector.config.audio) for clip in clips]
        yield from self._all(part, asked, label, scores, waveforms)

    def _all(
        self,
        part: Part,
        asked: str,
        label: int,
        scores: Sequence[Score],
        waveforms: Sequence[Waveform],
    ) -> Iterator[Answer]:
        yield from self._ours(part, asked, label, scores, self.detector.threshold_config)
        seconds = waveforms[0].shape[1] / self.detector.sample_rate
        left_out = self.detector.normal_scores.near(seconds).scores
        verdicts = self.logmel.verdicts(waveforms) | {
            method: [score.score > threshold for score in scores]
            for method, threshold in own_thresholds(left_out, USUAL).items()
        }
        for method, decided in verdicts.items():
            for anomalous in decided:
                verdict = "anomalous" if anomalous else "normal"
                yield self._answer(part, asked, label, method, USUAL, "", "", verdict)

    def _ours(
        self,
        part: Part,
        asked: str,
        label: int,
        scores: Iterable[Score],
        config: ThresholdConfig,
    ) -> Iterator[Answer]:
        step = self.detector.normal_scores.of_usual.p_step(config)
        for score in scores:
            yield self._answer(
                part,
                asked,
                label,
                OURS,
                config.false_alarm_rate,
                score.p_value,
                step,
                score.verdict,
            )

    def _answer(
        self,
        part: Part,
        asked: str,
        label: int,
        method: str,
        nominal: float,
        p_value: float | str,
        p_step: float | str,
        verdict: str,
    ) -> Answer:
        return Answer(
            self.machine,
            str(part),
            self.learned,
            asked,
            method,
            nominal,
            label,
            p_value,
            p_step,
            verdict,
        )


@dataclass(frozen=True)
class SyntheticMachine:
    """A machine of the generator with faults that no tuning has seen.

    Args:
        kind: its type.
        index: its number among those of the type.
        seed: of the set.
    """

    kind: MachineName
    index: int
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}-{self.index:02d}"

    @property
    def key(self) -> str:
        """Name of its file of answers."""
        return f"{self}-seed-{self.seed}"

    @staticmethod
    def parts(scenarios: Sequence[str], normals: Sequence[int]) -> list[Part]:
        """What it is asked.

        Args:
            scenarios: names in `SCENARIOS`.
            normals: numbers of clips that the detectors learn from which are asked about other
                conditions and lengths.
        """
        return [
            Part(scenario, count)
            for scenario in scenarios
            for count in (normals if scenario in _ASKED_OF_SOME else (0,))
        ]

    def answers(self, parts: Sequence[Part]) -> Iterator[Answer]:
        """The answers of its detectors."""
        with temporary_folder() as folder:
            yield from _Questions(self, folder).answers(parts)

    def site(self, seconds: float, kind: MachineName | None = None, step: int = 0) -> Site:
        """The machine in its hall, recorded in clips of that length.

        Args:
            seconds: length of a clip.
            kind: another type.
            step: how many machines of the type further.
        """
        kind = kind or self.kind
        config = SyntheticConfig(
            machines=(kind,), ids=50, channels=1, faults="held_out", seed=self.seed
        )
        # Beyond the ten minutes that a data set may ask for, too.
        config = config.model_copy(update={"seconds": seconds})
        return Site(config, kind, (self.index + step) % 50)


class _Questions:
    """One run of questions to a synthetic machine; what several of them need is made once.

    Args:
        machine: that is asked.
        folder: for its recordings.
    """

    def __init__(self, machine: SyntheticMachine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        self.site = machine.site(_SECONDS)
        self.rate = self.site.config.sample_rate
        self.fitted: Callable[[int], _Fitted] = cache(self._fit)

    def answers(self, parts: Sequence[Part]) -> Iterator[Answer]:
        for part in parts:
            if part.scenario == "normals":
                for count in NORMALS:
                    yield from self._as_learned(part, self.fitted(count))
            elif part.scenario == "recordings":
                for count, seconds in _RECORDINGS:
                    yield from self._as_learned(part, self._of_recordings(count, seconds))
            elif part.scenario == "lengths":
                yield from self._other_lengths(part)
            elif part.scenario == "machines":
                yield from self._other_machines(part)
            else:
                yield from self._other_conditions(part)

    def _as_learned(self, part: Part, fitted: _Fitted) -> Iterator[Answer]:
        for label, takes in self.takes.items():
            unseen = [quantised(take.mixed()) for take in takes]
            yield from fitted.answers(part, AS_LEARNED, label, unseen, rare=True)

    def _other_conditions(self, part: Part) -> Iterator[Answer]:
        fitted = self.fitted(part.normals)
        for label, takes in self.takes.items():
            few = takes[:_CHANGED]
            for asked, change in CONDITIONS.get(part.scenario, {}).items():
                changed = [quantised(change(take)) for take in few]
                yield from fitted.answers(part, asked, label, changed)
            for (asked, extension), write in FILES.get(part.scenario, {}).items():
                if can_be_written(extension):
                    clips = [
                        self._clip(f"{part.scenario}-{label}-{number}.{extension}")
                        for number in range(len(few))
                    ]
                    for clip, take in zip(clips, few, strict=True):
                        write(take, clip.path)
                    yield from fitted.answers_on_files(part, asked, label, clips)

    def _other_lengths(self, part: Part) -> Iterator[Answer]:
        fitted = self.fitted(part.normals)
        for label, takes in self.takes.items():
            whole = [quantised(take.mixed()) for take in takes[:_CHANGED]]
            for seconds in _LENGTHS:
                start, end = self.rate, self.rate + round(seconds * self.rate)  # one second in
                cut = [one[:, start:end] for one in whole]
                yield from fitted.answers(part, f"{seconds:.0f} s", label, cut, rare=True)
            for seconds in self.long:
                recordings = self.long[seconds][label]
                yield from fitted.answers(part, f"{seconds:.0f} s", label, recordings, rare=True)

    def _other_machines(self, part: Part) -> Iterator[Answer]:
        """Healthy ones, which are not the machine all the same."""
        fitted = self.fitted(part.normals)
        of_its_type = self.machine.site(_SECONDS, step=25)
        for asked, site in (
            ("machine of its type", of_its_type),
            ("machine of another type", self._another(_SECONDS)),
        ):
            foreign = [_mixed(site.render("normal", n)) for n in _numbers(_CHANGED)]
            yield from fitted.answers(part, asked, _ANOMALOUS, foreign)

    @cached_property
    def takes(self) -> dict[int, list[Take]]:
        """Unseen clips by label."""
        own, other = (
            self.machine.site(_SECONDS + _SPARE_SECONDS),
            self._another(_SECONDS + _SPARE_SECONDS),
        )
        return {
            label: [
                Take(
                    own.render(LABELS[label], number),
                    other.render("normal", number),
                    self._generator(f"{LABELS[label]} {number}"),
                    self.rate,
                    round(_SECONDS * self.rate),
                )
                for number in _numbers(count)
            ]
            for label, count in _ASKED.items()
        }

    @cached_property
    def long(self) -> dict[float, dict[int, list[Waveform]]]:
        """Unseen long recordings by length and label."""
        return {
            seconds: {
                label: [self._recording(seconds, label, number) for number in _numbers(count)]
                for label in _ASKED
            }
            for seconds, count in _LONG
        }

    def _fit(self, count: int) -> _Fitted:
        clips = [self._clip(f"{number}.wav") for number in range(count)]
        for number, clip in enumerate(clips):
            if not clip.path.exists():
                self._write(clip, _mixed(self.site.render("normal", number)))
        return _Fitted.on(str(self.machine), f"{count} clips", clips)

    def _of_recordings(self, count: int, seconds: float) -> _Fitted:
        """Fitted on recordings that the program cuts."""
        clips = [self._clip(f"{seconds:.0f}s-{number}.wav") for number in range(count)]
        for number, clip in enumerate(clips):
            if not clip.path.exists():
                self._write(clip, self._recording(seconds, _NORMAL, number))
        return _Fitted.on(str(self.machine), f"{count} x {seconds:.0f} s", clips)

    def _recording(self, seconds: float, label: int, number: int) -> Waveform:
        site = self.machine.site(seconds)
        if seconds <= _HALL_SECONDS:
            return _mixed(site.render(LABELS[label], number))
        rng = self._generator(f"hall {seconds} {LABELS[label]} {number}")
        return _mixed(site.render_in(_long_hall(site, rng), LABELS[label], number))

    def _another(self, seconds: float) -> Site:
        """A machine of another type in the same hall."""
        other = TYPES[(TYPES.index(self.machine.kind) + 1) % len(TYPES)]
        return self.machine.site(seconds, other)

    def _generator(self, name: str) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self.machine.seed, f"{self.machine} {name}"))

    def _clip(self, name: str) -> Clip:
        return Clip(self.folder / name, name, _NORMAL, MachineKey("", self.machine.kind, ""))

    def _write(self, clip: Clip, waveform: Waveform) -> None:
        sf.write(clip.path, waveform.T, self.rate, "PCM_16")


@dataclass(frozen=True)
class RealMachine:
    """Recordings of a real machine in the order of their names.

    Args:
        name: of the machine.
        folder: of its clips.
    """

    name: str
    folder: Path

    def __str__(self) -> str:
        return self.name

    @cached_property
    def clips(self) -> list[Clip]:
        """In the order of their names.

        Raises:
            UserError: there are none, or names leave open which are normal.
        """
        found = find_clips(self.folder)
        found.require_labels(found.clips)
        return sorted(found.clips, key=lambda clip: clip.name)

    @cached_property
    def key(self) -> str:
        """Name of its file of answers.

        Raises:
            UserError: as `clips`.
            ClipError: a file cannot be read.
        """
        return f"{self.name}-{data_hash(self.clips).removeprefix('sha256:')}"

    @staticmethod
    def parts(scenarios: Sequence[str], normals: Sequence[int]) -> list[Part]:
        """What it is asked, whatever synthetic machines are."""
        return [Part(REAL)]

    def answers(self, parts: Sequence[Part]) -> Iterator[Answer]:
        """Fitted on the first part of the normal clips, asked about the later ones.

        Raises:
            UserError: as `clips`; or there are too few normal ones.
            ClipError: a clip cannot be used.
        """
        normal = [clip for clip in self.clips if clip.label == _NORMAL]
        anomalous = [clip for clip in self.clips if clip.label == _ANOMALOUS]
        for part, end in ((part, end) for part in parts for end in _ENDS):
            count = round(end * len(normal))
            if count in (0, len(normal)):
                raise UserError(f"{self.folder}: too few normal clips to learn from a part of them")
            fitted = _Fitted.on(self.name, f"first {end:.0%}", normal[:count])
            for label, later in ((_NORMAL, normal[count:]), (_ANOMALOUS, anomalous)):
                if later:
                    yield from fitted.answers_on_files(part, "later clips", label, later)


def _long_hall(site: Site, rng: np.random.Generator) -> Array:
    """Noise of the hall, another mixture every minute, ``(C, T)``, mean square one over all."""
    samples, rate = site.clock.samples, site.config.sample_rate
    fade = round(_CROSSFADE_SECONDS * rate)
    step = round(_HALL_SECONDS * rate)
    rise = np.sin(np.linspace(0, np.pi / 2, fade))  # equal power: the parts are independent
    hall = np.zeros((site.config.channels, samples + step + fade))
    for start in range(0, samples, step):
        piece = site.hall.noise(rng, Clock(step + fade, rate))
        if start:
            piece[:, :fade] *= rise
        piece[:, -fade:] *= rise[::-1]
        hall[:, start : start + step + fade] += piece
    hall = hall[:, :samples]
    return np.asarray(hall / np.sqrt(np.mean(hall**2)))


def _mixed(rendering: Rendering) -> Waveform:
    return (rendering.mix(SNR_DB).T / 32768).astype(np.float32)


def _numbers(count: int) -> range:
    return range(_UNSEEN, _UNSEEN + count)
