"""Where a model comes from: the clips it was fitted on, the versions, the course of training."""

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any, NamedTuple

from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.content import recording_hashes
from audio_anomaly_detector.data.copies import Copy
from audio_anomaly_detector.data.formats import RecordingFormat
from audio_anomaly_detector.errors import ClipError
from audio_anomaly_detector.progress import Epoch

PACKAGE = "audio-anomaly-detector"
_LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "soundfile", "soxr")


class ClipRecord(NamedTuple):
    """A clip that a model was fitted on.

    Attributes:
        name: relative to the data root, see `Clip`.
        sha256: of the file's bytes.
    """

    name: str
    sha256: str


class Adaptation(NamedTuple):
    """Normal clips of another recording condition that a model was adapted to.

    Attributes:
        clips: that were used.
        groups: recordings, or groups of recordings, that they are of.
        unusable: clips that could not be used, and why.
        copies: clips that were left out because they repeat others.
        suspects: names of clips that looked faulty and were used all the same.
    """

    clips: list[ClipRecord]
    groups: int
    unusable: list[str]
    copies: list[Copy]
    suspects: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **self._asdict(),
            "clips": [clip._asdict() for clip in self.clips],
            "copies": [copy._asdict() for copy in self.copies],
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Adaptation":
        """From what `to_dict` gave."""
        clips = [ClipRecord(**clip) for clip in content["clips"]]
        copies = [Copy(**copy) for copy in content["copies"]]
        return cls(**{**content, "clips": clips, "copies": copies})


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from; holds no times and no paths of the machine that fitted it.

    Args:
        machine: that was learned.
        clips: fitted on.
        calibration_clips: names of those whose scores set the threshold.
        outliers: names of normal clips far from all the others; they were used all the same.
        unusable: clips that could not be used, and why.
        copies: clips that were left out because they repeat others.
        formats: what the clips were as files; empty in models of version 0.2.0.
        groups: recordings, or groups of recordings, that the clips are of; None in these models.
        clips_alike: over how many of these clips neighbours are alike; 1: they are not, or other
            groups were known.
        pool: machines that the pool prior was learned from; empty without a pool.
        codebook_perplexity: codes of the VQ-VAE that the training clips use; None where no
            VQ-VAE was trained on them.
        history: epochs of the networks that were kept.
        adaptations: to other recording conditions, the first one first.
        version: of this program.
        python: version.
        packages: versions of the libraries that compute, by name.
    """

    machine: MachineKey
    clips: list[ClipRecord]
    calibration_clips: list[str]
    outliers: list[str]
    unusable: list[str]
    pool: list[str]
    codebook_perplexity: float | None
    history: list[Epoch]
    copies: list[Copy] = field(default_factory=list)
    formats: list[RecordingFormat] = field(default_factory=list)
    groups: int | None = None
    clips_alike: int = 1
    adaptations: list[Adaptation] = field(default_factory=list)
    version: str = field(default_factory=lambda: version(PACKAGE))
    python: str = field(default_factory=platform.python_version)
    packages: dict[str, str] = field(
        default_factory=lambda: {name: version(name) for name in _LIBRARIES}
    )

    @property
    def learned_clips(self) -> list[ClipRecord]:
        """Clips that it was fitted on and adapted to."""
        adapted = [clip for adaptation in self.adaptations for clip in adaptation.clips]
        return [*self.clips, *adapted]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the model file holds it."""
        return {
            **asdict(self),
            "machine": list(self.machine),
            "clips": [clip._asdict() for clip in self.clips],
            "history": [list(epoch) for epoch in self.history],
            "copies": [copy._asdict() for copy in self.copies],
            "formats": [kind._asdict() for kind in self.formats],
            "adaptations": [adaptation.to_dict() for adaptation in self.adaptations],
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Provenance":
        """From what `to_dict` gave."""
        return cls(
            **{
                **content,
                "machine": MachineKey(*content["machine"]),
                "clips": [ClipRecord(**clip) for clip in content["clips"]],
                "history": [Epoch(*epoch) for epoch in content["history"]],
                # Files of 0.2.0 have neither.
                "copies": [Copy(**copy) for copy in content.get("copies", [])],
                "formats": [RecordingFormat(**kind) for kind in content.get("formats", [])],
                "adaptations": [Adaptation.from_dict(a) for a in content.get("adaptations", [])],
            }
        )


def clip_records(clips: Sequence[Clip]) -> list[ClipRecord]:
    """Names and content hashes of clips.

    Raises:
        ClipError: a file cannot be read.
    """
    hashes = recording_hashes(clips)
    return [ClipRecord(clip.name, hashes[clip.path]) for clip in clips]


def failure_lines(failures: Sequence[ClipError]) -> list[str]:
    """File name and problem of each clip that could not be used."""
    return [f"{error.path.name}: {error.problem}" for error in failures]
