"""Explanations of synthetic machines' faults, whose place, kind and rates are known."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import soundfile as sf

from audio_anomaly_detector.benchmark.explained_maps import (
    LEVELS,
    OVERLAP_ABOVE,
    RESOLUTIONS,
    Marks,
    Resolution,
    deleted_places,
    further_out,
    levels,
    loudest_cell,
    made_usual,
    maps,
    overlap,
    peak_cell,
    true_region,
    with_tolerance,
)
from audio_anomaly_detector.benchmark.fault_words import (
    RIGHT,
    is_right_by_other_rules,
    words_against,
)
from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.explaining.explanation import Explanation
from audio_anomaly_detector.files import temporary_folder
from audio_anomaly_detector.scoring.clip_features import Floats, Waveform, feature_grid
from audio_anomaly_detector.scoring.usual_sound import UsualLevels, levels_at_ranks
from audio_anomaly_detector.seeding import derive_seed
from audio_anomaly_detector.synthesis.data_set import (
    MACHINE_RMS,
    ClipKey,
    MachineName,
    Site,
    SyntheticConfig,
    planned_fault,
)
from audio_anomaly_detector.synthesis.sounds import amplitude

NORMAL = "normal"
OTHER_RULES = "audio-anomaly"
COST = "time of explaining over scoring"
_SEVERITY = (0.4, 1.0)
_UNSEEN = 1000  # number of the first unseen normal clip


class Measured(NamedTuple):
    """One quantity of one clip.

    Attributes:
        machine: of which it is.
        of: what is wrong with the machine, or was done to the recording.
        clip: which one.
        quantity: what is measured; shares are means of 0 and 1.
        value: of it.
        said: kinds of the findings, where words are judged.
    """

    machine: str
    of: str
    clip: str
    quantity: str
    value: float
    said: str = ""


@dataclass(frozen=True)
class FaultyMachine:
    """A machine of the generator, recorded at one signal-to-noise ratio.

    Args:
        kind: its type.
        index: its number among those of the type.
        snr_db: machine against hall.
        faults: which set of faults it has.
        seed: of the set.
        normals: clips to learn from.
        faulty: clips with a fault.
        unseen: normal clips that were not learned.
        seconds: of a clip.
    """

    kind: MachineName
    index: int
    snr_db: int
    faults: Literal["tuning", "held_out"]
    seed: int
    normals: int = 30
    faulty: int = 10
    unseen: int = 10
    seconds: float = 10.0

    def __str__(self) -> str:
        return f"{self.kind}-{self.index:02d} at {self.snr_db} dB"

    @property
    def key(self) -> str:
        """Name of the file of what is measured of it."""
        name = f"{self.kind}-{self.index:02d}_{self.snr_db}dB_{self.faults}_seed-{self.seed}"
        return f"{name}_{self.normals}-{self.faulty}-{self.unseen}_{self.seconds:g}s"

    def measured(self) -> Iterator[Measured]:
        """Fit a detector to its normal clips and measure the explanations of others."""
        with temporary_folder() as folder:
            yield from _Measuring(self, folder).all()


class _Measuring:
    """What several measurements of one machine need, made once."""

    def __init__(self, machine: FaultyMachine, folder: Path) -> None:
        self.machine, self.folder = machine, folder
        self.config = SyntheticConfig(
            machines=(machine.kind,),
            ids=50,
            channels=1,
            faults=machine.faults,
            severity=_SEVERITY,
            seed=machine.seed,
            seconds=machine.seconds,
        )
        self.site = Site(self.config, machine.kind, machine.index)
        self.grid = feature_grid(self.config.sample_rate)
        self.rng = np.random.default_rng(derive_seed(machine.seed, str(machine)))
        self.normals = {
            f"{number}.wav": self._clip("normal", number) for number in range(machine.normals)
        }

    def all(self) -> Iterator[Measured]:
        yield from self._normal_clips()
        for number in range(self.machine.faulty):
            yield from self._faulty_clip(number)

    @cached_property
    def detector(self) -> Detector:
        clips = []
        for name, waveform in self.normals.items():
            path = self.folder / name
            sf.write(path, waveform.T, self.config.sample_rate, "PCM_16")
            clips.append(Clip(path, name, 0, MachineKey("", self.machine.kind, "")))
        return Detector.fit(clips, load_config("instant"), device="cpu", on_error="stop").detector

    @cached_property
    def unseen(self) -> list[Waveform]:
        return [self._clip("normal", _UNSEEN + number) for number in range(self.machine.unseen)]

    @cached_property
    def unseen_explained(self) -> list[Explanation]:
        return [self.detector.explain(waveform) for waveform in self.unseen]

    @cached_property
    def usual_peaks(self) -> dict[Resolution, Sequence[float]]:
        return {
            name: [maps(one)[name].times_usual for one in self.unseen_explained]
            for name in RESOLUTIONS
        }

    @cached_property
    def mean_normal(self) -> dict[Resolution, Floats]:
        """Mean level of the learned clips in each band, ``(F, 1)``."""
        return {
            name: np.mean(
                [levels(self.grid, one, name).mean(1) for one in self.normals.values()], 0
            )[:, None]
            for name in RESOLUTIONS
        }

    @cached_property
    def usual_levels(self) -> dict[Resolution, UsualLevels]:
        """Levels of the learned clips in each map."""
        return {
            name: UsualLevels.of(
                [
                    levels_at_ranks(levels(self.grid, one, name)[None])
                    for one in self.normals.values()
                ]
            )
            for name in RESOLUTIONS
        }

    @cached_property
    def other_rules(self) -> Any:
        """The package audio-anomaly with all learned clips as its reference; None: not there."""
        with suppress(ImportError):
            audio_anomaly = import_module("audio_anomaly")
            reference = np.concatenate([one[0] for one in self.normals.values()])
            return audio_anomaly.Monitor((reference, self.config.sample_rate))
        return None

    def _clip(self, condition: str, number: int) -> Waveform:
        rendering = self.site.render(condition, number)
        return (rendering.mix(self.machine.snr_db).T / 32768).astype(np.float32)

    def _normal_clips(self) -> Iterator[Measured]:
        detector = self.detector
        for number, (waveform, explained) in enumerate(
            zip(self.unseen, self.unseen_explained, strict=True)
        ):
            kinds = [finding.kind for finding in explained.findings]
            said = "; ".join(kinds)
            values = {
                "called anomalous": explained.score.height > 0,
                "words of a fault": any(kind != "recording" for kind in kinds),
                "words of the recording": "recording" in kinds,
            }
            if self.other_rules is not None:
                found = self.other_rules.check((waveform[0], self.config.sample_rate)).anomalies
                values[f"{OTHER_RULES}: words of a fault"] = bool(found)
            for quantity, value in values.items():
                yield self._measured(NORMAL, number, quantity, value, said)
            started = time.perf_counter()
            detector.score(waveform)
            scored = time.perf_counter()
            detector.explain(waveform)
            ratio = (time.perf_counter() - scored) / (scored - started)
            yield self._measured(NORMAL, number, COST, ratio)

    def _faulty_clip(self, number: int) -> Iterator[Measured]:
        key = ClipKey(self.machine.kind, self.machine.index, "abnormal", number)
        fault = f"{self.machine.kind} {planned_fault(self.config, key).kind}"
        waveform = self._clip("abnormal", number)
        explained = self.detector.explain(waveform)
        above = explained.score.height > 0
        yield self._measured(fault, number, "above threshold", above)
        if not above:
            return
        right = RIGHT[self.machine.kind, planned_fault(self.config, key).kind]
        figures = self.site.figures(key.condition, number)
        said = "; ".join(finding.kind for finding in explained.findings)
        for quantity, fits in words_against(explained.findings, right, figures):
            yield self._measured(fault, number, quantity, fits, said)
        if self.other_rules is not None:
            found = self.other_rules.check((waveform[0], self.config.sample_rate)).anomalies
            kinds = list(dict.fromkeys(event.kind for event in found))
            yield self._measured(
                fault,
                number,
                f"{OTHER_RULES}: right kind",
                any(is_right_by_other_rules(kind, right) for kind in kinds),
                "; ".join(kinds),
            )
        added = self._added(number)
        regions = {
            name: true_region(self.grid, explained.waveform, added, name) for name in RESOLUTIONS
        }
        for quantity, value in self._places(explained, regions, right.resolution):
            yield self._measured(fault, number, quantity, value)
        for quantity, value in self._deletion(explained, added, regions):
            yield self._measured(fault, number, quantity, value)

    def _added(self, number: int) -> Waveform:
        """What the fault of a clip adds to its waveform, ``(C, T)``."""
        gain_db = self.site.render("abnormal", number).gain_db
        scale = MACHINE_RMS * amplitude(gain_db)
        return (self.site.added("abnormal", number) * scale).astype(np.float32)

    def _places(
        self, explained: Explanation, regions: dict[Resolution, Marks], by_kind: Resolution
    ) -> Iterator[tuple[str, float]]:
        peaks = {name: of.times_usual for name, of in maps(explained).items()}
        chosen = further_out(peaks, self.usual_peaks)
        for name, of in maps(explained).items():
            near = with_tolerance(regions[name])
            right = float(near[peak_cell(of)])
            yield f"peak: {name} map", right
            if name == chosen:
                yield "peak: map further out", right
            if name != by_kind:
                continue
            sound = levels(self.grid, explained.waveform, name)
            change = sound - self.mean_normal[name]
            yield "peak: map for the kind", right
            yield "peak: random place", float(near.mean())
            yield "peak: spectrogram", float(near[loudest_cell(sound)])
            yield "peak: difference to the mean normal", float(near[loudest_cell(change)])
            yield "true region", float(regions[name].mean())
            yield "overlap", overlap(of, regions[name], OVERLAP_ABOVE[name])
            for level in LEVELS:
                yield f"overlap, {name} above {level:g}", overlap(of, regions[name], level)

    def _deletion(
        self, explained: Explanation, added: Waveform, regions: dict[Resolution, Marks]
    ) -> Iterator[tuple[str, float]]:
        usual = self.usual_levels
        places = deleted_places(explained)
        marked, area = made_usual(explained, usual, places)
        yield "deletion: area", area
        for quantity, waveform in (
            ("deletion: what is marked", marked),
            ("deletion: elsewhere", made_usual(explained, usual, places, self.rng)[0]),
            ("deletion: the true region", made_usual(explained, usual, regions)[0]),
            ("deletion: the fault itself", explained.waveform - added),
        ):
            yield quantity, self.detector.score(waveform.clip(-1, 1)).height <= 0

    def _measured(
        self, of: str, clip: int, quantity: str, value: float | bool, said: str = ""
    ) -> Measured:
        return Measured(str(self.machine), of, str(clip), quantity, float(value), said)
