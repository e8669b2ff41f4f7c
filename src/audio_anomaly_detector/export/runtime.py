"""An exported detector in ONNX Runtime: the same scores, without PyTorch."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, Field, ValidationError, model_validator

from audio_anomaly_detector.data.audio import AudioConfig, read_microphones, unforeseen
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.formats import RecordingFormat, lacks_a_band, unlike_normals
from audio_anomaly_detector.data.waveforms import checked_waveform
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.integrity import UNSEALED, seal_of
from audio_anomaly_detector.score import Score, judged, judged_by_conditions
from audio_anomaly_detector.scoring.conditions import Conditions
from audio_anomaly_detector.scoring.false_alarms import false_alarm_facts
from audio_anomaly_detector.scoring.threshold import NormalScores, ScoresByLength, ThresholdConfig

if TYPE_CHECKING:
    import onnxruntime

FORMAT = 2  # 1 had no seal
_LARGEST = 2**30  # bytes of a graph; of a larger file the seal does not fit
METADATA = "audio_anomaly_detector"  # key of the facts in the file's metadata
INPUT = "waveform"
OUTPUTS = ("score", "components", "families", "course")


class LengthScores(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Scores of normal clips of one length; see `NormalScores`."""

    seconds: float
    threshold: float
    scores: list[float]
    groups: list[int]
    domains: list[int] = []


class GraphFacts(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """What a caller of the graph has to know; JSON in the file's metadata.

    The threshold is drawn from `normal_scores`, so another one needs no new export. The seal is the
    SHA-256 of the whole file, see `integrity`.
    """

    seal: str = UNSEALED  # first, so that it is the first of the file
    format: int
    version: str
    machine: str
    sample_rate: int = Field(ge=1)
    microphones: int = Field(ge=1)
    min_samples: int = Field(ge=1)
    max_samples: int
    threshold: float
    threshold_config: ThresholdConfig
    normal_scores: list[LengthScores]
    usual_seconds: float
    components: list[str]
    families: list[str]
    audio: AudioConfig
    formats: list[RecordingFormat]  # of the normal clips
    conditions: list[dict[str, int | float | list[float]]]  # likewise, see `Conditions`

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.sample_rate != self.audio.sample_rate:
            raise ValueError("the sample rate is not that of the audio settings")
        if self.max_samples < self.min_samples:
            raise ValueError("the longest waveform is shorter than the shortest")
        for names in (self.components, self.families):
            if not names or len(set(names)) < len(names):
                raise ValueError("outputs without names, or two of one name")
        self.by_length()
        self.of_recordings()
        return self

    def of_recordings(self) -> tuple[Conditions, ...]:
        """How normal clips were recorded; raises `ValueError` like `Conditions`."""
        return tuple(Conditions.from_plain(of) for of in self.conditions)

    def by_length(self) -> ScoresByLength:
        """The scores of normal clips as decisions use them; raises `ValueError` like it."""
        return ScoresByLength(
            tuple(of.seconds for of in self.normal_scores),
            tuple(
                NormalScores(
                    np.array(of.scores), np.array(of.groups), np.array(of.domains, np.int64)
                )
                for of in self.normal_scores
            ),
            self.usual_seconds,
        )


@dataclass(frozen=True)
class OnnxDetector:
    """Scores clips as `Detector` does, by a graph that `aad export` wrote.

    Args:
        session: ONNX Runtime with the graph.
        facts: from the file's metadata.
        threshold_config: how the threshold is drawn; see `with_threshold`.
    """

    session: "onnxruntime.InferenceSession"
    facts: GraphFacts
    threshold_config: ThresholdConfig
    normal_scores: ScoresByLength = field(init=False)
    conditions: tuple[Conditions, ...] = field(init=False)
    threshold: float = field(init=False)

    def __post_init__(self) -> None:
        normal_scores = self.facts.by_length()
        threshold = normal_scores.threshold(normal_scores.usual, self.threshold_config)
        object.__setattr__(self, "normal_scores", normal_scores)
        object.__setattr__(self, "conditions", self.facts.of_recordings())
        object.__setattr__(self, "threshold", threshold)

    @classmethod
    def load(cls, path: Path | str, threads: int = 0) -> "OnnxDetector":
        """Read an exported graph.

        Args:
            path: file written by `aad export`.
            threads: CPU threads; 0: as many as there are cores.

        Raises:
            UserError: ONNX Runtime is not installed, or the file is none that was exported, or it
                is damaged.
        """
        runtime = import_extra("onnxruntime")
        path = Path(path)
        try:
            with path.open("rb") as file:
                content = file.read(_LARGEST)
        except OSError as error:
            raise UserError(
                f"{path}: no such file that can be read ({error.strerror}); "
                "write one with 'aad export'"
            ) from error
        if seal_of(content) is None:
            raise UserError(
                f"{path}: not written by this version of 'aad export', or damaged; export it again"
            )
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # its errors are raised too
        try:
            session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            facts = GraphFacts.model_validate(
                json.loads(session.get_modelmeta().custom_metadata_map[METADATA])
            )
            if facts.format != FORMAT:
                raise ValueError(f"format {facts.format}")
        except (KeyError, ValueError, ValidationError) as error:
            raise UserError(
                f"{path}: an ONNX file, but none that this version of 'aad export' wrote"
            ) from error
        except Exception as error:  # ONNX Runtime has a dozen kinds without a common one
            raise UserError(f"{path}: not a readable ONNX file; export it again") from error
        return cls(session, facts, facts.threshold_config)

    @property
    def sample_rate(self) -> int:
        """Of the waveforms that it scores, Hz."""
        return self.facts.sample_rate

    @property
    def microphones(self) -> int:
        """Channels of the waveforms that it scores."""
        return self.facts.microphones

    @property
    def components(self) -> list[str]:
        """Names of the components of its scores."""
        return self.facts.components

    @property
    def window_seconds(self) -> float:
        """Length of an analysis window."""
        return self.facts.audio.window_seconds

    def with_threshold(self, config: ThresholdConfig) -> "OnnxDetector":
        """The same graph with another decision threshold."""
        return replace(self, threshold_config=config)

    def score(self, waveform: ArrayLike) -> Score:
        """Score a waveform ``(C, T)`` at the graph's sample rate; see `checked_waveform`.

        Raises:
            UserError: as `checked_waveform`, or a length beyond the graph's bounds.
        """
        return self._score(checked_waveform(waveform, self.facts.audio, self.facts.microphones))

    def _score(self, array: NDArray[np.float32]) -> Score:
        """Score a waveform that was checked or read; see `Detector._score`."""
        verdicts = [self._score_sound(array)]
        return judged_by_conditions(verdicts, [array], self.conditions, self._score_all)[0]

    def _score_all(self, arrays: Sequence[NDArray[np.float32]]) -> list[Score]:
        """Score waveforms by their sound alone."""
        return [self._score_sound(array) for array in arrays]

    def _score_sound(self, array: NDArray[np.float32]) -> Score:
        """Score a waveform by its sound alone."""
        facts = self.facts
        samples = array.shape[1]
        if not facts.min_samples <= samples <= facts.max_samples:
            raise UserError(
                f"lasts {samples / facts.sample_rate:.2f} s, the exported graph takes "
                f"{facts.min_samples / facts.sample_rate:g} to "
                f"{facts.max_samples / facts.sample_rate:g} s; cut it, or export with a "
                "greater --max-seconds"
            )
        try:
            scores, components, families, course = self.session.run(OUTPUTS, {INPUT: array[None]})
            score = float(scores[0])
            of_components = dict(zip(facts.components, components[0].tolist(), strict=True))
            of_families = dict(zip(facts.families, families[0].tolist(), strict=True))
            of_windows = course[0].tolist()
        except Exception as error:  # ONNX Runtime has a dozen kinds without a common one
            raise UserError(
                "the exported graph failed on it; export the detector again, or, if memory ran "
                "out, cut the recording"
            ) from error
        seconds = samples / facts.sample_rate
        return judged(self, score, seconds, of_windows, of_components, of_families)

    def score_waveforms(self, waveforms: Sequence[ArrayLike]) -> list[Score]:
        """Score several waveforms ``(C, T)``, of any lengths; raises `UserError` like `score`."""
        return [self.score(waveform) for waveform in waveforms]

    def score_clips(self, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Score | ClipError]]:
        """Score clips one after the other; one that fails yields its error, the rest goes on."""
        for clip in clips:
            try:
                reading = read_microphones(clip, self.facts.audio, self.facts.microphones)
                unlike = unlike_normals(reading.info, self.facts.formats, self.sample_rate)
                remarks = [*reading.remarks, *unlike]
                differs = lacks_a_band(reading.info, self.facts.formats, self.sample_rate)
                score = self._score(reading.waveform).of_recording(remarks, differs)
            except ClipError as error:
                yield clip, error
            except UserError as error:
                yield clip, ClipError(clip.path, str(error), "see 'aad export --help'")
            except Exception as error:  # ONNX Runtime has a dozen kinds without a common one
                yield clip, unforeseen(clip.path, error, "scored")
            else:
                yield clip, score

    def describe(self) -> dict[str, Any]:
        """What this graph is, as plain data."""
        facts = self.facts.model_dump(mode="json")
        del facts["normal_scores"]
        del facts["conditions"]
        del facts["seal"]
        return {
            **facts,
            "threshold": self.threshold,
            "threshold_config": self.threshold_config.model_dump(mode="json"),
            "n_calibration_clips": len(self.normal_scores.of_usual.scores),
            "n_calibration_groups": self.normal_scores.of_usual.n_groups,
            **false_alarm_facts(self.normal_scores, self.window_seconds, self.threshold_config),
        }


def import_extra(module: str) -> Any:
    """Import what only the extra `onnx` installs.

    Raises:
        UserError: it is not installed.
    """
    # Otherwise ONNX Runtime leaves a file in the folder for temporary files, and sends on its use.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(
            f"{module} is not installed: pip install 'audio-anomaly-detector[onnx]'"
        ) from error
