"""In which ways a clip differs from the machine's normal clips, in words with figures.

Every kind is stated only if the clip deviates by more than normal clips do among themselves
(`UsualSound.limits`). A cause is never named: sound alone does not tell it.
"""

from collections.abc import Mapping

from audio_anomaly_detector.explaining.compared_clip import ComparedClip
from audio_anomaly_detector.explaining.explanation import Finding
from audio_anomaly_detector.explaining.levels import find_level, find_microphones, find_noise_bands
from audio_anomaly_detector.explaining.repetitions import find_repetitions
from audio_anomaly_detector.explaining.strokes import find_cycle, find_events, find_missing_strokes
from audio_anomaly_detector.explaining.tones import find_tones
from audio_anomaly_detector.scoring.clip_features import ClipFeatures
from audio_anomaly_detector.scoring.usual_sound import Kind, UsualSound, compared

_MOST = 5  # findings; of more the weaker ones are consequences
_REPEATING = ("impacts", "repeated impacts", "modulation")
_OF_MOMENTS = (Kind("burst", 1), Kind("gap", 1))


def find_differences(
    features: ClipFeatures,
    usual: UsualSound,
    seconds: float,
    start: float,
    rates: Mapping[str, float],
    anomalous: bool,
) -> list[Finding]:
    """What differs from the normal clips, the most unusual first.

    Args:
        features: of the part that is explained.
        usual: of the normal clips.
        seconds: length of the part.
        start: where it begins in the clip, s.
        rates: known rates by name, Hz.
        anomalous: its score is that of an anomalous clip.
    """
    limits = usual.limits
    if anomalous:
        # What happens in a hall happens as often beside a faulty machine.
        limits = usual.anomalous_limits | {kind: limits[kind] for kind in _OF_MOMENTS}
    values = compared(features, usual.sample_rate, seconds)
    part = ComparedClip(features, usual, values, seconds, start, rates, limits)
    level = find_level(part)
    broadband = [] if level else find_noise_bands(part)
    repetitions = find_repetitions(part)
    # A resonance that steady impacts excite shows lines at high multiples of their rate.
    carriers = [one.band for one in repetitions if one.kind == "repeated impacts"]
    tones = [tone for tone in find_tones(part) if not any(_within(tone, band) for band in carriers)]
    found = [*tones, *repetitions, *find_events(part)]
    named = any(finding.kind in _REPEATING for finding in found)
    found += [*find_missing_strokes(part, named), *find_cycle(part)]
    # What stands out of louder noise less than usual is not weaker.
    risen = [rise.band for rise in broadband if rise.kind == "broadband rise"]
    found = [finding for finding in found if not any(_hidden(finding, band) for band in risen)]
    found += [*broadband, *level, *find_microphones(part)]
    found.sort(key=lambda finding: -finding.strength / finding.limit)
    return found[:_MOST]


def _within(tone: Finding, band: tuple[float, float] | None) -> bool:
    """Whether a tone that is new or stronger lies in a band."""
    hz = tone.hz or 0.0
    return band is not None and tone.kind != "weaker tone" and band[0] < hz < band[1]


def _hidden(finding: Finding, band: tuple[float, float] | None) -> bool:
    """Whether something is weaker only because the noise of a band hides it."""
    if band is None or finding.kind not in ("weaker tone", "weaker impacts"):
        return False
    low, high = finding.band or (finding.hz or 0.0, finding.hz or 0.0)
    return low <= band[1] and high >= band[0]
