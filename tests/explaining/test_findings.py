"""What differs from normal clips is named with the right figures."""

import numpy as np
import pytest

from audio_anomaly_detector.explaining.explanation import Finding
from audio_anomaly_detector.scoring.usual_sound import UsualSound
from explaining_sounds import (
    RATE,
    SECONDS,
    TIME,
    add_click,
    band_noise,
    findings,
    learned,
    machine,
    stroke,
)

FRESH = 1000  # seeds from here on are of clips that nothing was learned from


@pytest.fixture(scope="session")
def usual() -> UsualSound:
    return learned(machine)


@pytest.fixture(scope="session")
def usual_of_two() -> UsualSound:
    return learned(lambda seed: machine(seed, microphones=2))


@pytest.fixture(scope="session")
def usual_strokes() -> UsualSound:
    return learned(stroke)


def the(kind: str, found: list[Finding]) -> Finding:
    """The only finding of a kind."""
    of_kind = [finding for finding in found if finding.kind == kind]
    assert len(of_kind) == 1, [finding.text for finding in found]
    return of_kind[0]


def test_fresh_normal_clips_have_hardly_any_finding(usual: UsualSound) -> None:
    said = [findings(machine(FRESH + n), usual, anomalous=False) for n in range(40)]
    assert sum(bool(found) for found in said) <= 4


def test_a_new_tone(usual: UsualSound) -> None:
    sound = machine(FRESH) + 0.01 * np.sin(2 * np.pi * 1234 * TIME).astype(np.float32)
    found = findings(sound, usual, {"gear mesh": 617.0, "shaft": 50.0})
    tone = the("new tone", found)
    assert found[0] is tone
    assert tone.hz == pytest.approx(1234, rel=0.003)
    assert tone.db is not None and 10 < tone.db < 40
    assert tone.order == "2 x gear mesh" and "2 x gear mesh within" in tone.text
    assert tone.strength > tone.limit > 0


def test_a_tone_that_is_missing(usual: UsualSound) -> None:
    rng = np.random.default_rng(FRESH)
    sound = (0.02 * rng.standard_normal((1, len(TIME)))).astype(np.float32)
    tone = the("weaker tone", findings(sound, usual))
    assert tone.hz == pytest.approx(300, rel=0.02)
    assert tone.db is not None and tone.db < -10 and "missing" in tone.text


def test_a_tone_that_is_shifted_a_little_is_no_other(usual: UsualSound) -> None:
    rng = np.random.default_rng(FRESH)
    sound = rng.standard_normal((1, len(TIME))) + 0.5 * np.sin(2 * np.pi * 309 * TIME)
    found = findings((0.02 * sound).astype(np.float32), usual)
    assert not [finding for finding in found if "tone" in finding.kind]


def test_a_tone_that_is_louder(usual: UsualSound) -> None:
    sound = machine(FRESH) + 0.05 * np.sin(2 * np.pi * 300 * TIME + 1).astype(np.float32)
    tone = the("stronger tone", findings(sound, usual))
    assert tone.hz == pytest.approx(300, rel=0.01)


def test_a_harmonic_series(usual: UsualSound) -> None:
    series = sum(np.sin(2 * np.pi * 73.5 * k * TIME + k) for k in (1, 2, 3, 5))
    found = findings(machine(FRESH) + 0.01 * np.float32(series), usual, {"shaft": 36.75})
    said = the("harmonic series", found)
    assert said.hz == pytest.approx(73.5, rel=0.01)
    assert "orders 1, 2, 3, 5" in said.text and said.order == "2 x shaft"
    assert not [finding for finding in found if finding.kind == "new tone"]


def test_repeated_impacts(usual: UsualSound) -> None:
    sound = machine(FRESH)
    for at in np.arange(0.1, SECONDS - 0.1, 1 / 17.3):
        add_click(sound, at, hz=5000, size=0.15)
    said = the("repeated impacts", findings(sound, usual, {"BPFO": 17.2}))
    assert said.rate == pytest.approx(17.3, rel=0.01)
    assert said.band is not None and said.band[0] < 5000 < said.band[1]
    assert said.order == "1 x BPFO" and "17.3 times a second" in said.text


def test_impacts_through_a_load_zone_have_side_bands(usual: UsualSound) -> None:
    sound, slip = machine(FRESH), np.random.default_rng(5)
    for at in np.arange(0.1, SECONDS - 0.1, 1 / 80.0) + slip.normal(0, 0.0002, 624):
        add_click(sound, at, hz=5000, size=0.1 * (1 + 0.8 * np.sin(2 * np.pi * 23 * at)))
    said = the("repeated impacts", findings(sound, usual))
    assert said.rate == pytest.approx(80, rel=0.01)
    assert said.spacing == pytest.approx(23, abs=0.5)


def test_modulation_is_no_impact(usual: UsualSound) -> None:
    swing = 1 + 0.5 * np.sin(2 * np.pi * 12 * TIME)
    found = findings(machine(FRESH) * np.float32(swing), usual)
    said = the("modulation", found)
    assert said.rate == pytest.approx(12, rel=0.01)
    assert not [finding for finding in found if "impacts" in finding.kind]


def test_impacts_at_no_steady_rate(usual: UsualSound) -> None:
    sound = machine(FRESH)
    for at in np.random.default_rng(3).uniform(0.1, SECONDS - 0.1, 20):
        add_click(sound, at, hz=3000, size=0.5)
    said = the("impacts", findings(sound, usual))
    assert said.rate is None
    assert said.band is not None and said.band[0] < 3000 < said.band[1]


@pytest.mark.parametrize(("sign", "kind"), [(1, "broadband rise"), (-1, "broadband drop")])
def test_broadband_noise(usual: UsualSound, sign: int, kind: str) -> None:
    sound = machine(FRESH)
    in_band = 0.02 * band_noise(FRESH, 2000, 4000) * np.sqrt(0.25)  # of the machine's own power
    if sign > 0:
        sound += np.float32(2 * in_band)
    else:
        spectrum = np.fft.rfft(sound)
        hz = np.fft.rfftfreq(len(TIME), 1 / RATE)
        spectrum[:, (hz > 2000) & (hz < 4000)] *= 0.5
        sound = np.fft.irfft(spectrum, len(TIME)).astype(np.float32)
    said = the(kind, findings(sound, usual))
    assert said.band == pytest.approx((2000, 4000), rel=0.15)
    assert said.db is not None and sign * said.db == pytest.approx(6 if sign < 0 else 7, abs=2)


def test_a_single_event(usual: UsualSound) -> None:
    sound = machine(FRESH)
    during = (TIME > 3.0) & (TIME < 3.6)
    sound += np.float32(0.1 * band_noise(FRESH, 1000, 3000) * during)
    said = the("single event", findings(sound, usual))
    assert said.time is not None
    assert said.time == pytest.approx((3.0, 3.6), abs=0.15)
    assert said.band is not None and said.band[0] <= 1500 and said.band[1] >= 2500


def test_a_pause(usual: UsualSound) -> None:
    sound = machine(FRESH)
    sound[:, (TIME > 5.0) & (TIME < 5.5)] *= 0.1
    said = the("pause", findings(sound, usual))
    assert said.time == pytest.approx((5.0, 5.5), abs=0.15)


def test_missing_strokes(usual_strokes: UsualSound) -> None:
    said = the("missing strokes", findings(stroke(FRESH, (6, 7, 8)), usual_strokes))
    assert said.time == pytest.approx((0.2 + 2.5, 0.2 + 4.5), abs=0.05)
    assert said.rate == pytest.approx(12 / SECONDS, rel=0.05)
    whole = [findings(stroke(FRESH + n), usual_strokes, anomalous=False) for n in range(20)]
    assert not [f for found in whole for f in found if f.kind == "missing strokes"]


def test_weaker_strokes(usual_strokes: UsualSound) -> None:
    found = findings(stroke(FRESH, weak=(1, 4, 5, 8, 11, 13)), usual_strokes)
    said = the("weaker strokes", found)
    assert said.db == pytest.approx(-6, abs=2)  # less what noise adds
    assert said.band is not None and said.band[0] < 3000 < said.band[1]
    assert "missing strokes" not in {finding.kind for finding in found}


@pytest.mark.parametrize("cycle", [0.47, 0.53])
def test_a_changed_cycle(usual_strokes: UsualSound, cycle: float) -> None:
    said = the("changed cycle", findings(stroke(FRESH, cycle=cycle), usual_strokes))
    assert said.rate == pytest.approx(1 / cycle, rel=0.01)


def test_a_machine_without_cycle_has_no_other_one(
    usual: UsualSound, usual_strokes: UsualSound
) -> None:
    kinds = {finding.kind for finding in findings(stroke(FRESH), usual)}
    kinds |= {finding.kind for finding in findings(stroke(FRESH), usual_strokes)}
    assert "changed cycle" not in kinds


def test_knocks_with_gaps_are_impacts(usual: UsualSound) -> None:
    sound, rng = machine(FRESH), np.random.default_rng(4)
    for at in np.arange(0.1, SECONDS - 0.1, 1 / 20):
        if rng.random() < 0.4:
            add_click(sound, at + rng.normal(0, 0.001), hz=2500, size=0.3)
    kinds = {finding.kind for finding in findings(sound, usual)}
    assert kinds & {"impacts", "repeated impacts"}
    assert "modulation" not in kinds


def test_another_level_is_no_other_spectrum(usual: UsualSound) -> None:
    found = findings(machine(FRESH) * np.float32(2), usual)
    said = the("level change", found)
    assert said.db == pytest.approx(6, abs=1)
    assert not [finding for finding in found if "broadband" in finding.kind]


def test_what_is_quieter_at_the_same_power_is_no_other_level(usual: UsualSound) -> None:
    sound = machine(FRESH)
    power = np.mean(sound**2)
    sound += np.float32(0.05 * np.sin(2 * np.pi * 1000 * TIME))
    sound *= np.sqrt(power / np.mean(sound**2))
    kinds = [finding.kind for finding in findings(sound, usual)]
    assert "level change" not in kinds
    assert "new tone" in kinds


def test_a_microphone_that_differs(usual_of_two: UsualSound) -> None:
    sound = machine(FRESH, microphones=2)
    sound[1] *= 0.5
    said = the("microphone differs", findings(sound, usual_of_two))
    assert said.db is not None and abs(said.db) == pytest.approx(3, abs=1)  # against their mean
    assert "microphone 0 is" in said.text or "microphone 1 is" in said.text
    assert not findings(machine(FRESH + 1, microphones=2), usual_of_two, anomalous=False)


def test_a_shorter_clip_has_no_more_findings(usual: UsualSound) -> None:
    said = [findings(machine(FRESH + n)[:, : 2 * RATE], usual, anomalous=False) for n in range(30)]
    assert sum(bool(found) for found in said) <= 4
