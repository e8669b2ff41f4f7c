"""How many false alarms a day the decision thresholds are to be expected to give."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from scipy.special import betaincinv

from audio_anomaly_detector.scoring.alarm_units import in_people_units
from audio_anomaly_detector.scoring.series import Rule
from audio_anomaly_detector.scoring.threshold import NormalScores, ScoresByLength, ThresholdConfig

_TAIL = 0.025  # on either side of an interval of 95 %


@dataclass(frozen=True)
class Expected:
    """False alarms of one level among clips of the usual length.

    Args:
        level: of the decision.
        threshold: score above which a clip has that level.
        per_clip: nominal share of normal clips.
        low: of its 95 % interval, which never leaves the nominal share out.
        high: of its 95 % interval.
    """

    level: Literal["warning", "alarm"]
    threshold: float
    per_clip: float
    low: float
    high: float

    def to_dict(self, clips_per_day: float | None) -> dict[str, Any]:
        """Plain data; by day, too, where it is known how many clips a day has."""
        facts = asdict(self)
        if clips_per_day is not None:
            by_day = [clips_per_day * share for share in (self.per_clip, self.low, self.high)]
            facts |= dict(zip(("per_day", "low_per_day", "high_per_day"), by_day, strict=True))
        del facts["level"]
        return facts


def expected_false_alarms(
    normal: ScoresByLength, window: float, config: ThresholdConfig
) -> list[Expected]:
    """What is to be expected of each level, for clips of the usual length.

    Args:
        normal: scores of normal clips.
        window: length of an analysis window, s.
        config: decision settings; of a threshold that was given by hand no rate is known but the
            interval.
    """
    windows = _usual_windows(normal, window)
    of_usual = normal.of_usual
    threshold = normal.threshold(normal.usual, config)
    # Any window of several has half the rate on top.
    nominal = config.false_alarm_rate * (1.5 if windows > 1 else 1)
    if config.method == "value":
        nominal = of_usual.share_above(threshold)
    levels = [_expected("warning", of_usual, threshold, nominal, windows)]
    alarm = normal.alarm(normal.usual, windows, window, config)
    if alarm is not None:
        levels.append(_expected("alarm", of_usual, alarm.threshold, alarm.rate, windows))
    return levels


def false_alarm_facts(
    normal: ScoresByLength, window: float, config: ThresholdConfig
) -> dict[str, Any]:
    """Both levels and what is to be expected of them as plain data; see `Expected`."""
    expected = expected_false_alarms(normal, window, config)
    return {
        "false_alarms": {level.level: level.to_dict(config.clips_per_day) for level in expected},
        "false_alarm_notes": false_alarm_notes(normal, window, config),
    }


def false_alarm_notes(normal: ScoresByLength, window: float, config: ThresholdConfig) -> list[str]:
    """What a user has to know of false alarms a day, a sentence each; empty if nobody asked."""
    if config.clips_per_day is None:
        return []
    notes = [_carried(normal, window, config)] if config.false_alarms is not None else []
    counts = []
    for level in expected_false_alarms(normal, window, config):
        low, per_day, high = (
            config.clips_per_day * share for share in (level.low, level.per_clip, level.high)
        )
        counts.append(f"{level.level}s {per_day:.3g} [{low:.2g}, {high:.3g}]")
    return [
        *notes,
        f"expected false alarms a day of {config.clips_per_day:g} normal clips, with the 95 % "
        f"interval that {normal.of_usual.counted} leave: {', '.join(counts)}",
    ]


def _carried(normal: ScoresByLength, window: float, config: ThresholdConfig) -> str:
    """How rare alarms can be made, and what to do if that is not as asked."""
    windows = _usual_windows(normal, window)
    asked, clips = config.alarm_rate or 0.0, config.clips_per_day or 0.0
    carried = normal.carried_rate(normal.usual, windows, config)
    counted = normal.of_usual.counted
    if carried <= asked:
        told = f"alarms are set to {config.false_alarms}, {asked:.2g} a clip"
        if asked < normal.resolution(normal.usual):
            told += f"; this is extrapolated from {counted}: expect up to three times as many"
        return told
    groups = math.ceil(carried / asked * (normal.of_usual.n_groups + 1)) - 1
    remedy = (
        f"add recordings of other days (about {groups} would carry it), or score in series "
        "('aad score --series')"
    )
    if carried >= config.false_alarm_rate:
        return (
            f"asked for alarms at {config.false_alarms}; {counted} carry none rarer than the "
            f"warnings, so there are warnings only; {remedy}"
        )
    return (
        f"asked for alarms at {config.false_alarms}; {counted} carry no rarer than about "
        f"{in_people_units(carried * clips)}, which is what alarms are set to; {remedy}"
    )


def series_decision(
    normal: ScoresByLength, window: float, config: ThresholdConfig, rule: Rule
) -> tuple[ThresholdConfig, list[str]]:
    """Decision settings of which persistent evidence comes as often as alarms were asked for.

    Args:
        normal: scores of normal clips.
        window: length of an analysis window, s.
        config: decision settings.
        rule: when evidence is persistent.

    Returns:
        settings without alarms, which are what persists, and what a user should know.

    Raises:
        UserError: the rule never comes as often.
    """
    asked = config.alarm_rate
    if asked is None:
        return config, []
    wanted = rule.clip_rate(asked)
    several = 1.5 if _usual_windows(normal, window) > 1 else 1.0
    carried = normal.resolution(normal.usual) * several
    rate = min(max(wanted, carried), 0.5)
    change = {"false_alarm_rate": rate / several, "false_alarms": None}
    told = f"a share of {rate:.2g} of normal clips may be anomalous"
    if rate > wanted:
        often = in_people_units(rule.onset_rate(rate) * (config.clips_per_day or 0.0))
        told += (
            f", as {normal.of_usual.counted} carry no less: asked for {config.false_alarms}, "
            f"carried about {often}; add recordings of other days, or give a longer --persistent"
        )
    return config.model_copy(update=change), [told]


def series_note(normal: ScoresByLength, window: float, config: ThresholdConfig, rule: Rule) -> str:
    """How often normal clips become persistent evidence."""
    [warning, *_] = expected_false_alarms(normal, window, config)
    clips = config.clips_per_day
    # Beyond the rate of most onsets evidence rather stays persistent than becomes so.
    shares = [min(rate, rule.k / (rule.n + 1)) for rate in (warning.per_clip, warning.high)]
    nominal, high = (rule.onset_rate(share) for share in shares)
    if clips is None:
        often = f"once in {1 / max(nominal, 1e-12):.3g} clips, up to once in {1 / high:.3g}"
    else:
        often = (
            f"{in_people_units(nominal * clips)} of {clips:g} clips a day, up to "
            f"{in_people_units(high * clips)}"
        )
    return (
        f"persistent: {rule.k} of the last {rule.n} judged clips are anomalous; of normal ones "
        f"about {often} (for all that {normal.of_usual.counted} tell), if clips are independent; "
        "p-values from one set of normals are not, nor are neighbouring clips"
    )


def rate_interval(normal: NormalScores, threshold: float) -> tuple[float, float]:
    """95 % interval of the share of normal clips that exceed a threshold.

    Clopper and Pearson (1934), from the number of groups above it; none of K: 0 to about 3.7 / K.
    """
    groups = normal.n_groups
    above = normal.share_above(threshold) * groups
    low = float(betaincinv(above, groups - above + 1, _TAIL)) if above > 0 else 0.0
    high = float(betaincinv(above + 1, groups - above, 1 - _TAIL)) if above < groups else 1.0
    return low, high


def _expected(
    level: Literal["warning", "alarm"],
    normal: NormalScores,
    threshold: float,
    nominal: float,
    windows: int,
) -> Expected:
    low, high = rate_interval(normal, threshold)
    if windows > 1:  # what windows add is nominal, as they are not counted above
        high = min(1.0, high + nominal)
    return Expected(level, threshold, nominal, min(low, nominal), max(high, nominal))


def _usual_windows(normal: ScoresByLength, window: float) -> int:
    """Windows of a clip of the usual length; a hundredth of one is rounding of its samples."""
    return max(1, math.ceil(normal.usual / window - 0.01))
