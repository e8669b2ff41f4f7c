"""What an explanation consists of, as plain data."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from audio_anomaly_detector.score import Score
from audio_anomaly_detector.scoring.network_maps import MapSource

Floats = NDArray[np.floating]
SourceName = Literal["signal"] | MapSource
FindingKind = Literal[
    "new tone",
    "stronger tone",
    "weaker tone",
    "harmonic series",
    "repeated impacts",
    "impacts",
    "weaker impacts",
    "modulation",
    "broadband rise",
    "broadband drop",
    "single event",
    "pause",
    "missing strokes",
    "weaker strokes",
    "changed cycle",
    "level change",
    "microphone differs",
    "recording",
]


@dataclass(frozen=True)
class Finding:
    """One way in which a clip differs from the machine's normal clips.

    Args:
        kind: what it is; ``recording`` is a fault of the recording, never of the machine.
        text: the same in words, with its figures.
        strength: deviation in robust standard deviations of the normal clips; 0 for a recording.
        limit: the deviation that few normal clips exceed.
        hz: of a tone, or the fundamental of a series.
        rate: repetitions a second.
        db: above (negative: below) what is usual.
        band: lowest and highest frequency, Hz.
        time: from when to when, s.
        spacing: of side bands, Hz.
        order: of which known rate it is a multiple, such as ``2 x shaft``.
    """

    kind: FindingKind
    text: str
    strength: float = 0.0
    limit: float = 0.0
    hz: float | None = None
    rate: float | None = None
    db: float | None = None
    band: tuple[float, float] | None = None
    time: tuple[float, float] | None = None
    spacing: float | None = None
    order: str | None = None


class Neighbourhood(NamedTuple):
    """Cells of a map over which it is averaged to find its peak.

    Attributes:
        bands: how many; odd.
        frames: likewise.
        usual: how far the mean over the furthest neighbourhood of a normal clip lies out.
    """

    bands: int
    frames: int
    usual: float


@dataclass(frozen=True)
class Map:
    """How unusual a clip is over time and frequency.

    A cell is compared with the cells of the machine's normal clips that have its rank: as large a
    share of the clip's frames is quieter at that frequency. In standard deviations between normal
    clips; 0: as always, positive: louder, negative: quieter.

    Args:
        together: of the mean power of all microphones, ``(F, N)``.
        microphones: of each one, ``(C, F, N)``.
        hz: edges of the bands, ``(F + 1,)``.
        seconds: edges of the frames from the start of the clip, ``(N + 1,)``.
        around: neighbourhoods in which the peak is looked for.
    """

    together: Floats
    microphones: Floats
    hz: Floats
    seconds: Floats
    around: tuple[Neighbourhood, ...]

    @property
    def peak(self) -> tuple[float, float, float]:
        """Where it deviates most: s, Hz and the deviation.

        The strongest cell of the neighbourhood whose mean deviates most against what it does in
        normal clips: single cells do by chance.
        """
        _, rows, columns, sign = self._furthest()
        near = sign * self.together[rows, columns]
        band, frame = np.unravel_index(near.argmax(), near.shape)
        band, frame = int(band) + rows.start, int(frame) + columns.start
        return (
            float(self.seconds[frame : frame + 2].mean()),
            float(self.hz[band : band + 2].mean()),
            float(self.together[band, frame]),
        )

    @property
    def times_usual(self) -> float:
        """By how many times as far as in a normal clip the peak's neighbourhood lies out."""
        return self._furthest()[0]

    def _furthest(self) -> tuple[float, slice, slice, float]:
        """How far it lies out as a multiple of usual, bands, frames and sign of a neighbourhood."""
        from scipy.ndimage import uniform_filter  # noqa: PLC0415

        found = []
        for bands, frames, usual in self.around:
            mean = uniform_filter(self.together, (bands, frames), mode="nearest")
            band, frame = np.unravel_index(np.abs(mean).argmax(), mean.shape)
            rows = slice(max(0, int(band) - bands // 2), int(band) + bands // 2 + 1)
            columns = slice(max(0, int(frame) - frames // 2), int(frame) + frames // 2 + 1)
            furthest = float(mean[band, frame])
            found.append((abs(furthest) / usual, rows, columns, float(np.sign(furthest))))
        return max(found, key=lambda one: one[0])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: axes and the map of all microphones together, to a tenth."""
        return {
            "hz": np.round(self.hz, 2).tolist(),
            "seconds": np.round(self.seconds, 4).tolist(),
            "together": _to_a_tenth(self.together),
        }


@dataclass(frozen=True)
class Source:
    """What one source of the score makes of a clip, on the grid of `SourceMaps`.

    Args:
        share: what its families contribute to the anomaly score.
        together: all microphones, ``(F, N)``.
        microphones: each one, ``(C, F, N)``.
    """

    share: float
    together: Floats
    microphones: Floats


@dataclass(frozen=True)
class SourceMaps:
    """How unusual a clip is to each source of the score, over the same times and frequencies.

    In the unit of `Map`: standard deviations between normal clips.

    Args:
        hz: edges of the bands, ``(F + 1,)``.
        seconds: edges of the frames from the start of the clip, ``(N + 1,)``.
        of: by name of the source; their shares add up to the score.
    """

    hz: Floats
    seconds: Floats
    of: dict[SourceName, Source]

    @property
    def shares(self) -> dict[str, float]:
        """What each source contributes to the anomaly score."""
        return {name: source.share for name, source in self.of.items()}

    @property
    def together(self) -> Floats:
        """The mean of the sources, each weighted by its share if that is above 0, ``(F, N)``."""
        shares = np.array([max(share, 0.0) for share in self.shares.values()])
        # Of a clip that is more usual than the median in all of them they count alike.
        weights = shares / shares.sum() if shares.any() else np.full(len(shares), 1 / len(shares))
        maps = np.stack([source.together for source in self.of.values()])
        return np.asarray(np.tensordot(weights, maps, 1), np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: axes and the map of each source, to a tenth."""
        return {
            "hz": np.round(self.hz, 2).tolist(),
            "seconds": np.round(self.seconds, 4).tolist(),
            "together": {name: _to_a_tenth(source.together) for name, source in self.of.items()},
        }


@dataclass(frozen=True)
class Neighbour:
    """A training clip that a clip resembles.

    Args:
        name: of the training clip.
        distance: the anomaly score that the clip would have, were this the only normal clip.
    """

    name: str
    distance: float


@dataclass(frozen=True)
class UnusualSound:
    """The unusual part of a clip, brought out.

    Args:
        waveform: ``(C, T)``, within ±1.
        gain: by which it was amplified, dB.
    """

    waveform: NDArray[np.float32]
    gain: float


@dataclass(frozen=True)
class Explanation:
    """Why a clip scores as it does.

    Args:
        score: the verdict.
        span: the part that is explained, s: the clip or, of a longer one than a window, the most
            unusual window. Times of findings and maps count from the start of the clip.
        shares: what each family contributes to the anomaly score. They add up to it, and so to its
            height above 0, where all families are as in the median normal clip; below 0: a family
            is more usual than that.
        narrow: map in bands of a few hertz and frames of half a second, for tones.
        fast: map in wide bands and frames of a few milliseconds, for impacts.
        sources: what the signal and each network contribute, on one grid; None: the model has no
            networks, or was fitted before their maps were known.
        findings: the strongest first; empty: nothing specific stands out.
        nearest: the training clips that it resembles most, the nearest first; empty: the model does
            not know them by name.
        sound: its unusual part.
        notes: what limits the explanation, a sentence each.
        waveform: of the part that is explained, ``(C, T)``.
        sample_rate: Hz.
    """

    score: Score
    span: tuple[float, float]
    shares: dict[str, float]
    narrow: Map
    fast: Map
    sources: SourceMaps | None
    findings: list[Finding]
    nearest: list[Neighbour]
    sound: UnusualSound
    notes: list[str]
    waveform: NDArray[np.float32]
    sample_rate: int

    @property
    def words(self) -> list[str]:
        """The findings, a sentence each."""
        return [finding.text for finding in self.findings] or [NOTHING]

    def to_dict(self, with_maps: bool = True) -> dict[str, Any]:
        """Plain data for JSON, without sound.

        Args:
            with_maps: with all values of the maps, some hundred kB, a MB more with networks.
        """
        maps = {"narrow": self.narrow, "fast": self.fast}
        all_maps = {name: of.to_dict() for name, of in maps.items()} if with_maps else {}
        by_source = {}
        if self.sources is not None:
            by_source = {"shares_by_source": self.sources.shares}
            if with_maps:
                all_maps["sources"] = self.sources.to_dict()
        return {
            "score": self.score.to_dict(),
            "span": list(self.span),
            "shares": self.shares,
            **by_source,
            "words": self.words,
            "findings": [asdict(finding) for finding in self.findings],
            "nearest": [asdict(neighbour) for neighbour in self.nearest],
            "peaks": {
                name: dict(zip(("seconds", "hz", "deviation"), of.peak, strict=True))
                for name, of in maps.items()
            },
            "sound_gain_db": self.sound.gain,
            "notes": self.notes,
            **({"maps": all_maps} if with_maps else {}),
        }


def _to_a_tenth(values: Floats) -> list[list[float]]:
    tenths: list[list[float]] = np.round(values.astype(np.float64), 1).tolist()
    return tenths


NOTHING = "nothing specific stands out"
