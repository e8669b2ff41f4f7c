"""The verdict on a clip, and what gives one, whatever computes it; needs no PyTorch."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.scoring.conditions import Conditions, Waveform, nearest_conditions
from audio_anomaly_detector.scoring.threshold import Alarm, ScoresByLength, ThresholdConfig

# What is left of the height of a clip at the normal speed, at most, if its speed explains it. Of
# eight synthetic machines at speeds 1.5 and 3 % off, 11 % of normal clips and 75 % of faulty ones
# were called anomalous; at one half 18 and 81 %, at 0.7 7 and 65 %.
_LEFT_AT_SPEED = 0.6
# Height that another background explains at most. Of these machines a hall 3 dB louder or quieter
# made a median of 0.1 over the threshold, one 6 dB louder 0.9; faults that lift the floor make 1.5
# to 3.
_MOST_OF_BACKGROUND = 1.0


@dataclass(frozen=True)
class Moment:
    """The most unusual window of a recording that is longer than a window.

    Args:
        start: where it begins, s.
        end: where it ends, s.
        score: anomaly score of that window alone.
        p_value: share of normal recordings of as many windows in which one is expected to score as
            high.
        threshold: score above which the recording is called anomalous for this window.
        alarm_threshold: the same of the level alarm; None: see `Score`.
    """

    start: float
    end: float
    score: float
    p_value: float
    threshold: float
    alarm_threshold: float | None = None

    @property
    def span(self) -> tuple[float, float]:
        """Start and end, s."""
        return self.start, self.end

    @property
    def height(self) -> float:
        """By how much the score exceeds its threshold."""
        return self.score - self.threshold


@dataclass(frozen=True)
class Score:
    """Verdict on one clip.

    Args:
        score: anomaly score; higher = more anomalous, normal clips lie around 0.
        p_value: share of normal clips expected to score at least as high; of a clip of several
            windows twice that of its worst one, if that is less.
        p_resolution: the smallest p-value that the normal clips carry; a lower one is
            extrapolated and only says that it is below.
        is_anomalous: ``score > threshold``, or the same of the worst moment; never of a clip that
            is recorded differently.
        threshold: the decision threshold for clips of that length.
        components: every component in robust standard deviations of the normals.
        families: evidence of each family, compressed and weighted, which ``score`` joins.
        remarks: what is unusual about the recording itself, a sentence each.
        recorded_differently: how it was recorded can explain a high score, which says nothing of
            the machine then; what differs is among the remarks.
        p_recording: share of normal clips expected to be recorded as differently from the others,
            by the floor of the spectrum; None: too few normal clips to say.
        worst: of a clip of several windows the most unusual one.
        alarm_threshold: score above which an anomalous clip is an alarm; None: no alarms were asked
            for, or the normal clips carry none that are rarer than warnings.
        map: on request, ``(F, N)`` negative log-likelihood by mel bin and frame, mean over
            microphones; None without networks.
        latent: ``(L,)`` mean quantised latent; None without networks.
    """

    score: float
    p_value: float
    p_resolution: float
    is_anomalous: bool
    threshold: float
    components: dict[str, float]
    families: dict[str, float]
    remarks: list[str] = field(default_factory=list)
    recorded_differently: bool = False
    p_recording: float | None = None
    worst: Moment | None = None
    alarm_threshold: float | None = None
    map: NDArray[np.float32] | None = field(default=None, compare=False)
    latent: NDArray[np.float32] | None = field(default=None, compare=False)

    @property
    def verdict(self) -> Literal["normal", "anomalous", "unlike"]:
        """`unlike`: as high a score as an anomalous clip, but recorded differently."""
        if self.height <= 0:
            return "normal"
        return "unlike" if self.recorded_differently else "anomalous"

    @property
    def height(self) -> float:
        """By how much the score, or that of the worst moment, exceeds its threshold."""
        height = self.score - self.threshold
        return height if self.worst is None else max(height, self.worst.height)

    @property
    def level(self) -> Literal["none", "warning", "alarm"] | None:
        """How rare such a clip is among normals; None: no alarms are set, see `alarm_threshold`."""
        if self.alarm_threshold is None:
            return None
        if not self.is_anomalous:
            return "none"
        worst = self.worst
        above = self.score > self.alarm_threshold or (
            worst is not None
            and worst.alarm_threshold is not None
            and worst.score > worst.alarm_threshold
        )
        return "alarm" if above else "warning"

    def of_recording(self, remarks: Sequence[str], recorded_differently: bool) -> "Score":
        """The same with what is further known of the recording; see `Score`."""
        differs = self.recorded_differently or recorded_differently
        return replace(
            self,
            remarks=[*self.remarks, *remarks],
            recorded_differently=differs,
            is_anomalous=self.is_anomalous and not differs,
        )

    @property
    def p_shown(self) -> str:
        """The p-value for people: no lower than the normal clips carry."""
        return shown_p_value(self.p_value, self.p_resolution)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without map and latent, with the verdict."""
        plain = {**asdict(self), "verdict": self.verdict}
        del plain["map"], plain["latent"]
        return {**plain, "level": self.level}


def judgement(outcome: Score | ClipError) -> bool | None:
    """Whether a clip is anomalous; None: it could not be judged."""
    if isinstance(outcome, ClipError) or outcome.verdict == "unlike":
        return None
    return outcome.is_anomalous


def shown_p_value(value: float, resolution: float) -> str:
    """Write a p-value, or that it is below what the normal clips carry."""
    return f"< {resolution:.2g}" if value < resolution else f"{value:.3g}"


class Scorer(Protocol):
    """Whatever scores recordings of one machine: a `Detector`, or an exported graph."""

    @property
    def sample_rate(self) -> int:
        """Of the waveforms that it scores, Hz."""

    @property
    def microphones(self) -> int:
        """Channels of the waveforms that it scores."""

    @property
    def window_seconds(self) -> float:
        """Length of an analysis window."""

    @property
    def components(self) -> list[str]:
        """Names of the components of its scores."""

    @property
    def threshold(self) -> float:
        """Scores above it are decided anomalous, of clips as long as those it was fitted on."""

    @property
    def threshold_config(self) -> ThresholdConfig:
        """How the threshold is drawn."""

    @property
    def normal_scores(self) -> ScoresByLength:
        """Scores of normal clips that the scorer was not fitted on."""

    def with_threshold(self, config: ThresholdConfig) -> Self:
        """The same scorer with another decision threshold."""

    def score(self, waveform: ArrayLike) -> Score:
        """Score a waveform ``(C, T)`` in full scale ±1.

        Raises:
            UserError: it cannot be scored.
        """

    def score_waveforms(self, waveforms: Sequence[ArrayLike]) -> list[Score]:
        """Score several waveforms ``(C, T)`` together; raises `UserError` like `score`."""

    def score_clips(self, clips: Iterable[Clip]) -> Iterator[tuple[Clip, Score | ClipError]]:
        """Score clips from their files, in order; one that fails yields its error."""

    def describe(self) -> dict[str, Any]:
        """What the scorer is, as plain data."""


def judged(
    scorer: Scorer,
    score: float,
    seconds: float,
    course: Sequence[float],
    components: dict[str, float],
    families: dict[str, float],
) -> Score:
    """The verdict of a scorer on an anomaly score.

    Args:
        scorer: whose normal scores and threshold decide.
        score: anomaly score.
        seconds: length of the clip.
        course: score of each of its windows.
        components: see `Score`.
        families: see `Score`.

    Raises:
        UserError: a number is not finite, which no comparison with a threshold would notice.
    """
    if not all(map(math.isfinite, (score, *course, *components.values(), *families.values()))):
        raise UserError(
            "its statistics are not finite, so it has no score; record it again at a usual level"
        )
    normal, config = scorer.normal_scores, scorer.threshold_config
    threshold = normal.threshold(seconds, config)
    alarm = normal.alarm(seconds, len(course), scorer.window_seconds, config)
    worst = _worst(scorer, seconds, course, alarm) if len(course) > 1 else None
    return Score(
        score=score,
        # The two looks share the rate of false alarms two to one, as their thresholds do.
        p_value=min(
            normal.p_value(score, seconds, config), 1.0 if worst is None else 2 * worst.p_value
        ),
        p_resolution=normal.resolution(seconds),
        is_anomalous=score > threshold or (worst is not None and worst.score > worst.threshold),
        threshold=threshold,
        components=components,
        families=families,
        worst=worst,
        alarm_threshold=None if alarm is None else alarm.threshold,
    )


def judged_by_conditions(
    verdicts: Sequence[Score],
    waveforms: Sequence[Waveform],
    conditions: Sequence[Conditions],
    rescore: Callable[[list[Waveform]], list[Score]],
) -> list[Score]:
    """The verdicts with what is said of the recordings.

    Of an anomalous clip it is asked whether the way it was recorded explains the score. Where a
    single moment decided, it is asked of that moment.

    Args:
        verdicts: by the scores alone.
        waveforms: of the clips, ``(C, T)``.
        conditions: of the normal clips; of several those count that a clip is recorded most like.
        rescore: scores waveforms alike.
    """
    if not conditions:
        return list(verdicts)
    nearest = [nearest_conditions(conditions, waveform) for waveform in waveforms]
    verdicts = [
        replace(verdict, p_recording=recorded.p_value)
        for verdict, (_, recorded) in zip(verdicts, nearest, strict=True)
    ]
    anomalous = [number for number, verdict in enumerate(verdicts) if verdict.is_anomalous]
    parts = []
    for number in anomalous:
        verdict, part, (of, recorded) = verdicts[number], waveforms[number], nearest[number]
        if verdict.worst is not None and verdict.score <= verdict.threshold:
            start, end = (round(at * of.sample_rate) for at in verdict.worst.span)
            part = part[:, start:end]
            of, recorded = nearest_conditions(conditions, part)
        parts.append((of, part, recorded, of.as_normal(part, recorded)))
    changed = [part for *_, as_normal in parts for part in as_normal.waveforms]
    rescored = iter(rescore(changed) if changed else [])
    for number, (of, part, recorded, as_normal) in zip(anomalous, parts, strict=True):
        heights = [next(rescored).height for _ in as_normal.waveforms]
        height = verdicts[number].height
        reason = of.difference(
            part,
            recorded,
            as_normal,
            compensation_explains=heights[0] <= 0,
            speed_explains=heights[-1] < _LEFT_AT_SPEED * height,
            background_explains=height < _MOST_OF_BACKGROUND,
        )
        transferred = of.transferred(recorded)
        if reason is not None:
            verdicts[number] = verdicts[number].of_recording([reason], True)
        elif transferred is not None:  # the machine or the recording, nobody can tell
            verdicts[number] = verdicts[number].of_recording([f"it is also {transferred}"], False)
    return verdicts


def _worst(scorer: Scorer, seconds: float, course: Sequence[float], alarm: Alarm | None) -> Moment:
    """The most unusual of several windows; the last one ends with the clip."""
    window, config = scorer.window_seconds, scorer.threshold_config
    at = max(range(len(course)), key=course.__getitem__)
    start = seconds - window if at == len(course) - 1 else at * window
    of_window = scorer.normal_scores.near(window)
    return Moment(
        start,
        start + window,
        course[at],
        of_window.p_among(course[at], len(course), config),
        of_window.threshold_among(len(course), config),
        None if alarm is None else alarm.of_window,
    )
