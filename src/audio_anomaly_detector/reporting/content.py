"""What a report shows, as plain data."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from audio_anomaly_detector.errors import printable
from audio_anomaly_detector.metrics.classification import Metrics

# The last two are those of training clips.
Verdict = Literal["anomalous", "unlike", "normal", "outlier", "usual"]


@dataclass(frozen=True)
class Sound:
    """A sound to listen to.

    Args:
        title: what it is.
        note: what was done to it.
        mp3: compressed, one channel.
        on_picture: it has the times of the clip's pictures.
    """

    title: str
    note: str
    mp3: bytes
    on_picture: bool


@dataclass(frozen=True)
class Media:
    """Pictures and sounds of the part of a clip that is explained.

    Args:
        spectrogram: as WebP.
        narrow: the narrow map as PNG, transparent where nothing is unusual.
        fast: likewise the fast map.
        sources: likewise the maps of all sources of the score together and of each, by name; empty
            without networks.
        hz: lowest and highest frequency of the pictures, whose axis is logarithmic.
        seconds: from when to when in the clip, s.
        sounds: to listen to.
    """

    spectrogram: bytes
    narrow: bytes
    fast: bytes
    sources: Mapping[str, bytes]
    hz: tuple[float, float]
    seconds: tuple[float, float]
    sounds: list[Sound]

    @property
    def size(self) -> int:
        """Bytes that it takes in the page."""
        parts = [self.spectrogram, self.narrow, self.fast, *self.sources.values()]
        parts += [sound.mp3 for sound in self.sounds]
        return sum(4 * -(-len(part) // 3) for part in parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the page."""
        return {
            "spectrogram": _data_url("image/webp", self.spectrogram),
            "maps": {
                "narrow": _data_url("image/png", self.narrow),
                "fast": _data_url("image/png", self.fast),
                **{name: _data_url("image/png", png) for name, png in self.sources.items()},
            },
            "hz": list(self.hz),
            "seconds": list(self.seconds),
            "sounds": [
                {
                    "title": printable(sound.title),
                    "note": sound.note,
                    "mp3": base64.b64encode(sound.mp3).decode("ascii"),
                    "on_picture": sound.on_picture,
                }
                for sound in self.sounds
            ],
        }


class Mark(NamedTuple):
    """Where a finding lies in the pictures; None: it cannot be told.

    Attributes:
        hz: lowest and highest frequency; the same twice for a tone.
        time: from when to when, s.
    """

    hz: tuple[float, float] | None
    time: tuple[float, float] | None


@dataclass(frozen=True)
class Reasons:
    """Why a clip scores as it does, without pictures.

    Args:
        words: a sentence for each finding.
        marks: where each of them lies.
        shares: by family in words, the largest first; they add up to the score.
        sources: likewise of the signal and of each network; empty without networks.
        nearest: names of the training clips that it resembles most.
        notes: what limits the explanation.
        map: which of the two maps shows the strongest finding best.
    """

    words: list[str]
    marks: list[Mark]
    shares: dict[str, float]
    sources: dict[str, float]
    nearest: list[str]
    notes: list[str]
    map: Literal["narrow", "fast"]


@dataclass(frozen=True)
class ClipEntry:
    """A clip of the report.

    Args:
        name: of the clip; any characters.
        score: anomaly score.
        threshold: score above which a clip of its length is called anomalous.
        p_value: for people; empty: not known.
        verdict: on it.
        level: none, warning or alarm; None: no alarms were asked for.
        label: 0 normal, 1 anomalous, None unknown.
        order: its place in time; None: not known.
        remarks: on the recording itself.
        components: the highest, in robust standard deviations of the normal clips.
        reasons: why; None: it is not explained.
        media: to look at and to listen to; None: it has none.
    """

    name: str
    score: float
    threshold: float
    p_value: str
    verdict: Verdict
    level: str | None = None
    label: int | None = None
    order: int | None = None
    remarks: Sequence[str] = ()
    components: Mapping[str, float] = field(default_factory=dict)
    reasons: Reasons | None = None
    media: Media | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the page, without pictures and sounds."""
        why = self.reasons
        return {
            "name": printable(self.name),
            "score": self.score,
            "threshold": self.threshold if math.isfinite(self.threshold) else None,
            "p": self.p_value,
            "verdict": self.verdict,
            "level": self.level,
            "label": self.label,
            "order": self.order,
            "remarks": [printable(remark) for remark in self.remarks],
            "components": [[name, round(value, 1)] for name, value in self.components.items()],
            "words": [] if why is None else [printable(word) for word in why.words],
            "marks": [] if why is None else [mark._asdict() for mark in why.marks],
            "shares": [] if why is None else [list(share) for share in why.shares.items()],
            "sources": [] if why is None else list(why.sources.items()),
            "nearest": [] if why is None else [printable(name) for name in why.nearest],
            "notes": [] if why is None else why.notes,
            "map": None if why is None else why.map,
            "has_media": self.media is not None,
        }


class RateStep(NamedTuple):
    """Share of normal clips to be expected above every threshold from a score up to the next step.

    Attributes:
        score: where the step begins; None: below all.
        rate: expected share.
        low: of its 95 % interval.
        high: of its 95 % interval.
    """

    score: float | None
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class ThresholdFacts:
    """How clips are decided on.

    Args:
        value: of the threshold, for clips of the usual length; may be infinite.
        origin: how it was set, in words.
        normal_scores: scores of the left-out normal clips.
        steps: what share of normal clips is to be expected above any threshold.
        counted: how many normal clips that is, in words.
        clips_per_day: as set with the model; None: not set.
    """

    value: float
    origin: str
    normal_scores: list[float]
    steps: list[RateStep]
    counted: str
    clips_per_day: float | None


class Plot(NamedTuple):
    """One documented plot."""

    name: str
    png: bytes
    is_wide: bool


@dataclass(frozen=True)
class Report:
    """All that the page shows; plain text everywhere.

    Args:
        title: which machine.
        headline: the verdict in plain words.
        lead: a second sentence below it.
        clips: the worst first.
        clip_notes: where pictures and sounds end, and why, a sentence each.
        threshold: how clips are decided on.
        of_training: the clips are those of the fit.
        metrics: where clips have labels.
        plots: the documented plots.
        notes: what a reader of the figures has to know, one sentence each.
        outliers: training clips that are unlike the rest.
        oracle: what was chosen on test labels; None if nothing was.
        failures: clips that could not be scored, one line each.
        problems: found in the data that the detector was fitted on, one line each.
        provenance: by section, values by name; mappings may nest.
    """

    title: str
    headline: str
    lead: str
    clips: Sequence[ClipEntry]
    threshold: ThresholdFacts
    clip_notes: Sequence[str] = ()
    of_training: bool = False
    metrics: Metrics | None = None
    plots: Sequence[Plot] = ()
    notes: Sequence[str] = ()
    outliers: Sequence[str] = ()
    oracle: str | None = None
    failures: Sequence[str] = ()
    problems: Sequence[str] = ()
    provenance: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
