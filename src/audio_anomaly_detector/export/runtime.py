"""An exported detector in ONNX Runtime: the same scores, without PyTorch."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ValidationError

from audio_anomaly_detector.data.audio import AudioConfig, read_microphones, unforeseen
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.waveforms import checked_waveform
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.score import Score, judged
from audio_anomaly_detector.scoring.threshold import NormalScores, ThresholdConfig

if TYPE_CHECKING:
    import onnxruntime

FORMAT = 1
METADATA = "audio_anomaly_detector"  # key of the facts in the file's metadata
INPUT = "waveform"
OUTPUTS = ("score", "components", "families")


class GraphFacts(BaseModel, frozen=True, extra="forbid"):
    """What a caller of the graph has to know; JSON in the file's metadata.

    The threshold is drawn from `normal_scores`, so another one needs no new export.
    """

    format: int
    version: str
    machine: str
    sample_rate: int
    microphones: int
    min_samples: int
    max_samples: int
    threshold: float
    threshold_config: ThresholdConfig
    normal_scores: list[float]
    components: list[str]
    families: list[str]
    audio: AudioConfig


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
    threshold: float = field(init=False)

    def __post_init__(self) -> None:
        threshold = self.normal_scores.threshold(self.threshold_config)
        object.__setattr__(self, "threshold", threshold)

    @classmethod
    def load(cls, path: Path | str, threads: int = 0) -> "OnnxDetector":
        """Read an exported graph.

        Args:
            path: file written by `aad export`.
            threads: CPU threads; 0: as many as there are cores.

        Raises:
            UserError: ONNX Runtime is not installed, or the file is none that was exported.
        """
        runtime = import_extra("onnxruntime")
        path = Path(path)
        if not path.is_file():
            raise UserError(f"{path}: no such file; write one with 'aad export'")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        try:
            session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            content = session.get_modelmeta().custom_metadata_map[METADATA]
            facts = GraphFacts.model_validate(json.loads(content))
        except (KeyError, ValueError, ValidationError) as error:
            raise UserError(
                f"{path}: an ONNX file, but none that this version of 'aad export' wrote"
            ) from error
        except Exception as error:  # ONNX Runtime has a dozen kinds without a common one
            raise UserError(f"{path}: not a readable ONNX file; export it again") from error
        return cls(session, facts, facts.threshold_config)

    @property
    def normal_scores(self) -> NormalScores:
        """Joined scores of normal clips that the detector was not fitted on."""
        return NormalScores(np.array(self.facts.normal_scores))

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
        """Score a waveform that was checked or read."""
        facts = self.facts
        samples = array.shape[1]
        if not facts.min_samples <= samples <= facts.max_samples:
            raise UserError(
                f"lasts {samples / facts.sample_rate:.2f} s, the exported graph takes "
                f"{facts.min_samples / facts.sample_rate:g} to "
                f"{facts.max_samples / facts.sample_rate:g} s; cut it, or export with a "
                "greater --max-seconds"
            )
        scores, components, families = self.session.run(OUTPUTS, {INPUT: array[None]})
        score = float(scores[0])
        return judged(
            self,
            score,
            dict(zip(facts.components, components[0].tolist(), strict=True)),
            dict(zip(facts.families, families[0].tolist(), strict=True)),
        )

    def score_waveforms(self, waveforms: Sequence[ArrayLike]) -> list[Score]:
        """Score several waveforms ``(C, T)``, of any lengths; raises `UserError` like `score`."""
        return [self.score(waveform) for waveform in waveforms]

    def score_clips(self, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Score | ClipError]]:
        """Score clips one after the other; one that fails yields its error, the rest goes on."""
        for clip in clips:
            try:
                reading = read_microphones(clip, self.facts.audio, self.facts.microphones)
                score = replace(self._score(reading.waveform), remarks=reading.remarks)
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
        normal_scores = facts.pop("normal_scores")
        return {
            **facts,
            "threshold": self.threshold,
            "threshold_config": self.threshold_config.model_dump(mode="json"),
            "n_calibration_clips": len(normal_scores),
        }


def import_extra(module: str) -> Any:
    """Import what only the extra `onnx` installs.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(
            f"{module} is not installed: pip install 'audio-anomaly-detector[onnx]'"
        ) from error
