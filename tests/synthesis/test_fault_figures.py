"""What a fault adds to a clip, and its rates and frequencies."""

import numpy as np
import pytest
from scipy.signal import find_peaks

from audio_anomaly_detector.synthesis.data_set import Site, SyntheticConfig
from audio_anomaly_detector.synthesis.fault_figures import fault_figures
from audio_anomaly_detector.synthesis.faults import FAULTS, HEALTHY, Fault
from audio_anomaly_detector.synthesis.machines import MACHINES
from audio_anomaly_detector.synthesis.sounds import Clock

RATE = 16_000
CLOCK = Clock(4 * RATE, RATE)
KINDS = [
    (machine, kind)
    for machine, kinds in FAULTS.items()
    for kind in dict.fromkeys(kinds.tuning + kinds.held_out)
]
# Random numbers of the fault itself stand between those of the machine.
DRAWN_BETWEEN = {"late", "missing", "bounce"}


def sound(machine: str, fault: Fault, seed: int = 3) -> np.ndarray:
    of = MACHINES[machine](np.random.default_rng(1))
    return np.asarray(of.sound(np.random.default_rng(seed), CLOCK, fault))


def spectrum_peak(signal: np.ndarray, low: float, high: float) -> float:
    power = np.abs(np.fft.rfft(signal * np.hanning(len(signal)), 8 * len(signal))) ** 2
    hz = np.fft.rfftfreq(8 * len(signal), 1 / RATE)
    inside = (hz > low) & (hz < high)
    return float(hz[inside][power[inside].argmax()])


@pytest.mark.parametrize(("machine", "kind"), KINDS)
def test_a_fault_that_is_not_heard_leaves_the_healthy_machine(machine: str, kind: str) -> None:
    fault = Fault(kind, 0.8, 0.3)
    without = sound(machine, fault._replace(heard=False))
    assert not np.allclose(without, sound(machine, fault))
    if kind not in DRAWN_BETWEEN:
        assert np.array_equal(without, sound(machine, HEALTHY))


@pytest.mark.parametrize("kind", ["late", "missing"])
def test_strokes_that_do_not_fail_are_the_same_without_the_fault(kind: str) -> None:
    fault = Fault(kind, 0.6, 0.3)
    change = sound("valve", fault) - sound("valve", fault._replace(heard=False))
    changed = np.abs(change).max(0) > 1e-9
    assert 0.02 < changed.mean() < 0.6


def test_what_a_leak_adds_lies_in_its_band() -> None:
    """But for the skirts of 18 dB an octave."""
    site = Site(SyntheticConfig(channels=1, seconds=4, seed=2), "pump", 0)
    clip = 2  # the third kind of the tuning set
    assert site.render("abnormal", clip).fault.kind == "leak"
    [added] = site.added("abnormal", clip)
    power = np.abs(np.fft.rfft(added)) ** 2
    hz = np.fft.rfftfreq(len(added), 1 / RATE)
    character = site.render("abnormal", clip).fault.character
    low = 1200 * (4000 / 1200) ** character
    assert power[(hz > 0.9 * low) & (hz < 2.2 * low)].sum() / power.sum() > 0.7


def test_the_added_sound_is_in_the_scale_of_the_machine() -> None:
    site = Site(SyntheticConfig(channels=1, seconds=2, seed=2), "pump", 0)
    healthy = site.render("abnormal", 2).machine - site.added("abnormal", 2)
    again = Site(SyntheticConfig(channels=1, seconds=2, seed=2), "pump", 0)
    sources = again.machine.sound(again._stream("abnormal", 2, 0), again.clock, HEALTHY)
    [expected] = again.microphones.record(sources, again.paths)
    assert np.corrcoef(healthy[0], expected)[0, 1] > 0.999999


@pytest.mark.parametrize("machine", ["fan", "pump"])
def test_impacts_of_a_bearing_repeat_at_its_rate(machine: str) -> None:
    fault = Fault("bearing", 1.0, 0.4)
    added = sound(machine, fault) - sound(machine, fault._replace(heard=False))
    envelope = np.square(added[0])
    of = MACHINES[machine](np.random.default_rng(1))
    rate, shaft = fault_figures(of, np.random.default_rng(3), fault).rates
    assert spectrum_peak(envelope, 0.7 * rate, 1.4 * rate) == pytest.approx(rate, rel=0.01)
    assert spectrum_peak(envelope, 0.7 * shaft, 1.4 * shaft) == pytest.approx(shaft, rel=0.01)


@pytest.mark.parametrize(
    ("machine", "kind"), [("fan", "imbalance"), ("pump", "imbalance"), ("slider", "dry_rail")]
)
def test_tones_of_a_fault_lie_where_they_are_said_to(machine: str, kind: str) -> None:
    fault = Fault(kind, 1.0, 0.2)
    added = sound(machine, fault) - sound(machine, fault._replace(heard=False))
    of = MACHINES[machine](np.random.default_rng(1))
    tone = fault_figures(of, np.random.default_rng(3), fault).tones[0]
    assert spectrum_peak(added[0], 0.7 * tone, 1.4 * tone) == pytest.approx(tone, rel=0.01)


def test_side_bands_of_a_bent_blade_are_among_its_tones() -> None:
    fault = Fault("bent_blade", 1.0, 0.2)
    [_, working_end] = sound("fan", fault) - sound("fan", fault._replace(heard=False))
    of = MACHINES["fan"](np.random.default_rng(1))
    tones = np.array(fault_figures(of, np.random.default_rng(3), fault).tones)
    power = np.abs(np.fft.rfft(working_end * np.hanning(len(working_end)))) ** 2
    peaks, _ = find_peaks(power, height=0.01 * power.max(), distance=20)
    for hz in peaks * RATE / len(working_end):
        assert np.abs(tones / hz - 1).min() < 0.03


def test_what_holds_no_rate_states_none() -> None:
    of = MACHINES["pump"](np.random.default_rng(1))
    figures = fault_figures(of, np.random.default_rng(3), Fault("leak", 1.0, 0.2))
    assert (figures.rates, figures.tones, figures.steady) == ((), (), False)
