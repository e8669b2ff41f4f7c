"""Decisions under the conditions of the field: what is asked of each machine, and its answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf
import torch
from numpy.typing import NDArray
from scipy import stats

from audio_anomaly_detector.benchmark.classical import LogMelStatistics, mahalanobis
from audio_anomaly_detector.benchmark.conditions import (
    CONDITIONS,
    SNR_DB,
    Take,
    Waveform,
    quantised,
)
from audio_anomaly_detector.config import Config, load_config
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import ClipError
from audio_anomaly_detector.files import temporary_folder
from audio_anomaly_detector.score import Score
from audio_anomaly_detector.scoring.threshold import ThresholdConfig
from audio_anomaly_detector.seeding import derive_seed
from audio_anomaly_detector.synthesis.data_set import MachineName, Site, SyntheticConfig

NORMALS = (4, 8, 20, 50, 200)
USUAL = 20  # normals of the detector that is asked about other conditions and lengths
RARE = 0.01  # the other nominal rate of false alarms, from the most normals
TYPES: tuple[MachineName, ...] = ("fan", "pump", "slider", "valve")
_ASKED = 8  # unseen clips of each label
_UNSEEN = 1000  # number of the first of them
_LENGTHS = (1.0, 3.0)  # s, cut from the unseen clips
_LONG = ((60.0, 4), (300.0, 1))  # s, and how many recordings
# Shares of the normal clips, in the order of recording, after which learning ends.
_ENDS = (0.4, 0.5, 0.6, 0.7)


class Answer(NamedTuple):
    """What a detector says of one clip.

    Attributes:
        machine: that it was fitted to.
        learned: what it was fitted on.
        asked: what the clip is.
        label: 0 normal, 1 anomalous.
        p_value: of the clip; empty for methods without one.
        p_step: steps in which p-values come.
        verdict: see `Score.verdict`.
    """

    machine: str
    learned: str
    asked: str
    label: int
    p_value: float | str
    p_step: float | str
    verdict: str


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

    def answers(self) -> Iterator[Answer]:
        """All answers of its detectors."""
        site, others = self._site(10.0), self._other_sites()
        unseen = {
            label: [self._take(site, others[0], condition, number) for number in _numbers()]
            for label, condition in enumerate(("normal", "abnormal"))
        }
        asked = {
            label: [quantised(take.mixed()) for take in takes] for label, takes in unseen.items()
        }
        rate = site.config.sample_rate
        with temporary_folder() as folder:
            for number in range(max(NORMALS)):
                _write(folder / f"{number:04d}.wav", self._mixed(site, "normal", number), rate)
            clips = sorted(find_clips(folder).clips, key=lambda clip: clip.name)
            for count in NORMALS:
                learned = f"{count} clips"
                detector = _fit(clips[:count])
                for label, waveforms in asked.items():
                    yield from self._of(detector, learned, "as learned", label, waveforms)
                yield from self._baselines(detector.config, clips[:count], learned, asked)
                if count == max(NORMALS):
                    rare = detector.with_threshold(ThresholdConfig(false_alarm_rate=RARE))
                    for label, waveforms in asked.items():
                        yield from self._of(rare, learned, f"at {RARE:.0%}", label, waveforms)
                if count == USUAL:
                    yield from self._other_conditions(detector, learned, unseen, others)
                    yield from self._other_lengths(detector, learned, asked)
        for learned, seconds, count in (
            ("3 recordings of 100 s", 100.0, 3),
            ("12 recordings of 60 s", 60.0, 12),
            ("one recording of 5 min", 300.0, 1),
        ):
            yield from self._of_recordings(learned, seconds, count, asked)

    def _of_recordings(
        self, learned: str, seconds: float, count: int, asked: dict[int, list[Waveform]]
    ) -> Iterator[Answer]:
        """Fitted on long recordings, asked about clips."""
        site = self._site(seconds)
        with temporary_folder() as folder:
            for number in range(count):
                recording = self._mixed(site, "normal", number)
                _write(folder / f"{number}.wav", recording, site.config.sample_rate)
            detector = _fit(list(find_clips(folder).clips))
        for label, waveforms in asked.items():
            yield from self._of(detector, learned, "as learned", label, waveforms)

    def _other_conditions(
        self,
        detector: Detector,
        learned: str,
        unseen: dict[int, list[Take]],
        others: Sequence[Site],
    ) -> Iterator[Answer]:
        for name, change in CONDITIONS.items():
            if name == "as learned":
                continue
            for label, takes in unseen.items():
                changed = [quantised(change(take)) for take in takes]
                yield from self._of(detector, learned, name, label, changed)
        for name, site in zip(
            ("machine of another type", "machine of its type"), others, strict=True
        ):
            foreign = [self._mixed(site, "normal", number) for number in _numbers()]
            yield from self._of(detector, learned, name, 1, foreign)

    def _other_lengths(
        self, detector: Detector, learned: str, asked: dict[int, list[Waveform]]
    ) -> Iterator[Answer]:
        rate = detector.sample_rate
        for seconds in _LENGTHS:
            for label, waveforms in asked.items():
                start = rate  # one second in
                cut = [whole[:, start : start + round(seconds * rate)] for whole in waveforms]
                yield from self._of(detector, learned, f"{seconds:.0f} s", label, cut)
        for seconds, count in _LONG:
            site = self._site(seconds)
            for label, condition in enumerate(("normal", "abnormal")):
                numbers = _numbers()[:count]
                long = [self._mixed(site, condition, number) for number in numbers]
                yield from self._of(detector, learned, f"{seconds:.0f} s", label, long)

    def _baselines(
        self, config: Config, clips: Sequence[Clip], learned: str, asked: dict[int, list[Waveform]]
    ) -> Iterator[Answer]:
        """What common ways to a threshold decide on the scores of a common method."""
        logmel = LogMelStatistics(mahalanobis)
        waveforms = [sf.read(clip.path, dtype="float32", always_2d=True)[0].T for clip in clips]
        known = _features(logmel, waveforms)
        own = _scores(logmel, known, known)
        thresholds = {
            "gamma fit to training scores, as the DCASE baseline": _gamma_threshold(own),
            "contamination of 10 % of the training scores, as PyOD": float(np.quantile(own, 0.9)),
        }
        held_out = len(clips) // 2
        of_split = _scores(logmel, known[held_out:], known[:held_out])
        for label, unseen in asked.items():
            features = _features(logmel, unseen)
            scores = _scores(logmel, known, features)
            for name, threshold in thresholds.items():
                for score in scores:
                    yield self._decided(learned, name, label, score > threshold)
            calibrated = _scores(logmel, known[held_out:], features)
            for score in calibrated:
                p_value = (1 + np.sum(of_split >= score)) / (held_out + 1)
                name = "split conformal, half of the clips"
                yield self._decided(learned, name, label, bool(p_value <= 0.1))

    def _decided(self, learned: str, name: str, label: int, anomalous: bool) -> Answer:
        verdict = "anomalous" if anomalous else "normal"
        return Answer(str(self), learned, name, label, "", "", verdict)

    def _of(
        self,
        detector: Detector,
        learned: str,
        asked: str,
        label: int,
        waveforms: Sequence[Waveform],
    ) -> Iterator[Answer]:
        scores = detector.score_waveforms(waveforms)
        return (_answer(detector, str(self), learned, asked, label, score) for score in scores)

    def _site(self, seconds: float, kind: MachineName | None = None, step: int = 0) -> Site:
        kind = kind or self.kind
        config = SyntheticConfig(
            machines=(kind,),
            ids=50,
            channels=1,
            seconds=seconds,
            faults="held_out",
            snr_db=(round(SNR_DB),),
            seed=self.seed,
        )
        return Site(config, kind, (self.index + step) % 50)

    def _other_sites(self) -> tuple[Site, Site]:
        """A machine of another type, and another one of its own."""
        other = TYPES[(TYPES.index(self.kind) + 1) % len(TYPES)]
        return self._site(10.0, other), self._site(10.0, step=25)

    def _take(self, site: Site, second: Site, condition: str, number: int) -> Take:
        seed = derive_seed(self.seed, f"{self} {condition} {number}")
        return Take(
            site.render(condition, number),
            second.render("normal", number),
            np.random.default_rng(seed),
            site.config.sample_rate,
        )

    def _mixed(self, site: Site, condition: str, number: int) -> Waveform:
        return (site.render(condition, number).mix(SNR_DB).T / 32768).astype(np.float32)


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

    @property
    def key(self) -> str:
        """Name of its file of answers."""
        return self.name

    def answers(self) -> Iterator[Answer]:
        """Fitted on the first part of the normal clips, asked about the later ones."""
        clips = sorted(find_clips(self.folder).clips, key=lambda clip: clip.name)
        normal = [clip for clip in clips if clip.label == 0]
        anomalous = [clip for clip in clips if clip.label == 1]
        for end in _ENDS:
            count = round(end * len(normal))
            learned = f"first {end:.0%} of the normal clips"
            detector = _fit(normal[:count])
            for clip, score in detector.score_clips([*normal[count:], *anomalous]):
                if isinstance(score, ClipError):
                    raise score
                assert clip.label is not None
                yield _answer(detector, self.name, learned, "later clips", clip.label, score)


def _answer(
    detector: Detector, machine: str, learned: str, asked: str, label: int, score: Score
) -> Answer:
    step = detector.normal_scores.of_usual.p_step(detector.threshold_config)
    return Answer(machine, learned, asked, label, score.p_value, step, score.verdict)


def _fit(clips: Sequence[Clip]) -> Detector:
    return Detector.fit(clips, load_config("instant"), device="cpu", on_error="stop").detector


def _numbers() -> list[int]:
    return list(range(_UNSEEN, _UNSEEN + _ASKED))


def _write(path: Path, waveform: Waveform, sample_rate: int) -> None:
    sf.write(path, waveform.T, sample_rate, "PCM_16")


def _features(logmel: LogMelStatistics, waveforms: Sequence[Waveform]) -> NDArray[np.float32]:
    with torch.no_grad():
        return torch.stack([logmel.features(torch.from_numpy(one)) for one in waveforms]).numpy()


def _scores(
    logmel: LogMelStatistics, known: NDArray[np.float32], asked: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Scores of one microphone's clips, ``(n, 1, D), (m, 1, D) -> (m,)``."""
    raw = logmel.fit(torch.from_numpy(known), 0)(torch.from_numpy(asked))
    return raw["score"][:, 0]


def _gamma_threshold(scores: NDArray[np.float64]) -> float:
    """The 90th percentile of a gamma distribution fitted to the scores of the training clips."""
    shape, start, scale = stats.gamma.fit(scores)
    return float(stats.gamma.ppf(0.9, shape, loc=start, scale=scale))
