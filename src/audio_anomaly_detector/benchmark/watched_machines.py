"""Pieces of sound of watched machines, each scored once: healthy, disturbed, faulty."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile as sf

from audio_anomaly_detector.benchmark.conditions import SNR_DB, Waveform, quantised
from audio_anomaly_detector.benchmark.disturbances import DISTURBANCES
from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.files import temporary_folder
from audio_anomaly_detector.monitor.machine_config import MachineConfig
from audio_anomaly_detector.synthesis.data_set import MachineName, Rendering, Site, SyntheticConfig
from audio_anomaly_detector.synthesis.sounds import Array

NORMAL, FAULT = "normal", "fault"
LEARNED = ("10 minutes", "a day")
_RATE = 16_000  # Hz
_WINDOW_S = 10
_MINUTES = 10  # of sound that the first detector learns from, each of another load
_HOURS, _PER_HOUR = 24, 6  # windows that the second one learns from
_PIECES, _PIECE_S = 40, 30.0  # of the healthy machine
_DISTURBED = 8  # of these, with each disturbance
_FAULTS, _FAULT_S = 12, 50.0
# Numbers of the first takes of the day, and of those that are not learned.
_DAY, _UNSEEN, _FAULTY = 100, 1000, 2000


class Line(NamedTuple):
    """What is known of one window.

    Attributes:
        machine: that it is of.
        learned: what the detector learned from.
        sound: `NORMAL`, a disturbance or `FAULT`.
        kind: of the fault; otherwise empty.
        piece: number of its piece.
        score: of the window alone.
        p_recording: see `Score`.
        verdict: of `aad score` at its usual rate of false alarms.
        threshold: of warnings of a watch.
        alarm_threshold: of its alarms; empty: there is none.
    """

    machine: str
    learned: str
    sound: str
    kind: str
    piece: int
    score: float
    p_recording: float
    verdict: str
    threshold: float
    alarm_threshold: float | str


@dataclass(frozen=True)
class Piece:
    """Consecutive windows of one take, each ``(n,)``.

    Args:
        scores: of the windows.
        p_recordings: see `Score`.
        unlike: whether a window that is above a threshold is recorded otherwise.
        found: share of the windows that `aad score` calls anomalous.
        kind: of its fault; otherwise empty.
    """

    scores: Array
    p_recordings: Array
    unlike: Array
    found: float
    kind: str


@dataclass(frozen=True)
class WatchedMachine:
    """A machine of the generator.

    Args:
        kind: its type.
        index: its number among those of the type.
        seed: of the set.
        faults: that it gets: those to choose rules on, or those to report on.
    """

    kind: MachineName
    index: int
    seed: int
    faults: Literal["tuning", "held_out"] = "held_out"

    def __str__(self) -> str:
        return f"{self.kind}-{self.index:02d}"

    @property
    def key(self) -> str:
        """Name of its file."""
        return f"{self}-seed-{self.seed}-{self.faults}"

    def lines(self) -> list[Line]:
        """Learn, and score every piece."""
        sounds = self._sounds()
        with temporary_folder() as folder:
            fitted = {
                learned: self._fit(folder, learned, windows)
                for learned, windows in zip(LEARNED, self._learned(), strict=True)
            }
        return [
            line
            for learned, detector in fitted.items()
            for sound, pieces in sounds.items()
            for line in self._scored(learned, detector, sound, pieces)
        ]

    def _learned(self) -> Iterator[list[Waveform]]:
        minutes = self._site(60.0)
        yield [
            window
            for number in range(_MINUTES)
            for window in _windows(_mixed(minutes.render("normal", number)))
        ]
        short = self._site(_WINDOW_S)
        numbers = range(_DAY, _DAY + _HOURS * _PER_HOUR)
        yield [quantised(_mixed(short.render("normal", number))) for number in numbers]

    def _sounds(self) -> dict[str, list[tuple[str, Array]]]:
        """Pieces ``(C, T)`` by sound, each with the kind of its fault."""
        site = self._site(_PIECE_S)
        normal = [_mixed(site.render("normal", _UNSEEN + number)) for number in range(_PIECES)]
        disturbed = {
            name: [
                ("", disturb(piece, np.random.default_rng([self.seed, place, number]), _RATE))
                for number, piece in enumerate(normal[:_DISTURBED])
            ]
            for place, (name, disturb) in enumerate(DISTURBANCES.items())
        }
        longer = self._site(_FAULT_S)
        takes = [longer.render("abnormal", _FAULTY + number) for number in range(_FAULTS)]
        return {
            NORMAL: [("", piece) for piece in normal],
            **disturbed,
            FAULT: [(take.fault.kind, _mixed(take)) for take in takes],
        }

    def _fit(self, folder: Path, learned: str, windows: Sequence[Waveform]) -> Detector:
        """Groups of windows that lie together: minutes of the first, hours of the second."""
        prefix = learned.replace(" ", "")
        clips = []
        for number, window in enumerate(windows):
            path = folder / f"{prefix}-{number:04d}.wav"
            sf.write(path, window.T, _RATE, "PCM_16")
            group = f"{prefix} {number // _PER_HOUR}"
            clips.append(Clip(path, path.name, 0, MachineKey("", self.kind, ""), group=group))
        return Detector.fit(clips, load_config("instant"), device="cpu", on_error="stop").detector

    def _scored(
        self, learned: str, detector: Detector, sound: str, pieces: Sequence[tuple[str, Array]]
    ) -> Iterator[Line]:
        normal = detector.normal_scores
        decided = MachineConfig().detector_config().scoring.threshold
        threshold = normal.threshold(_WINDOW_S, decided)
        alarm = normal.alarm(_WINDOW_S, 1, _WINDOW_S, decided)
        for number, (kind, piece) in enumerate(pieces):
            for score in detector.score_waveforms(_windows(piece)):
                yield Line(
                    str(self),
                    learned,
                    sound,
                    kind,
                    number,
                    score.score,
                    1.0 if score.p_recording is None else score.p_recording,
                    score.verdict,
                    threshold,
                    "" if alarm is None else alarm.threshold,
                )

    def _site(self, seconds: float) -> Site:
        config = SyntheticConfig(
            machines=(self.kind,),
            ids=50,
            channels=1,
            sample_rate=_RATE,
            faults=self.faults,
            seconds=seconds,
            seed=self.seed,
        )
        return Site(config, self.kind, self.index)


def pieces_of(lines: Sequence[Line]) -> dict[str, list[Piece]]:
    """Pieces by sound, from the lines of one machine and one detector."""
    grouped: dict[str, dict[int, list[Line]]] = {}
    for line in lines:
        grouped.setdefault(line.sound, {}).setdefault(line.piece, []).append(line)
    return {
        sound: [
            Piece(
                np.array([line.score for line in of_piece]),
                np.array([line.p_recording for line in of_piece]),
                np.array([line.verdict == "unlike" for line in of_piece]),
                float(np.mean([line.verdict == "anomalous" for line in of_piece])),
                of_piece[0].kind,
            )
            for of_piece in by_piece.values()
        ]
        for sound, by_piece in grouped.items()
    }


def _mixed(rendering: Rendering) -> Array:
    """The recording ``(C, T)``."""
    return np.asarray(rendering.mix(SNR_DB).T / 32768.0)


def _windows(recording: Array) -> list[Waveform]:
    samples = _WINDOW_S * _RATE
    starts = range(0, recording.shape[1] - samples + 1, samples)
    return [quantised(recording[:, start : start + samples]) for start in starts]
