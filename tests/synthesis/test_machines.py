import numpy as np
import pytest

from audio_anomaly_detector.synthesis.faults import FAULTS, HEALTHY, Fault
from audio_anomaly_detector.synthesis.machines import MACHINES
from audio_anomaly_detector.synthesis.sounds import Clock


@pytest.mark.parametrize("machine", MACHINES)
def test_every_fault_changes_the_sound(machine):
    clock = Clock(64_000, 16_000)
    model = MACHINES[machine](np.random.default_rng(0))

    def synthesise(fault: Fault) -> np.ndarray:
        return np.asarray(model.sound(np.random.default_rng(1), clock, fault))

    healthy = synthesise(HEALTHY)
    np.testing.assert_array_equal(healthy, synthesise(HEALTHY))
    for kind in {*FAULTS[machine].tuning, *FAULTS[machine].held_out}:
        for character in (0.0, 1.0):
            mild, severe = (
                np.sqrt(np.mean((synthesise(Fault(kind, severity, character)) - healthy) ** 2))
                / np.sqrt(np.mean(healthy**2))
                for severity in (0.3, 1.0)
            )
            assert mild > 0.02 and severe > 0.1, (kind, character)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_kind_in_both_fault_sets_sounds_different_in_each(machine):
    clock = Clock(32_000, 16_000)
    model = MACHINES[machine](np.random.default_rng(0))
    for kind in set(FAULTS[machine].tuning) & set(FAULTS[machine].held_out):
        tuning, held_out = (
            model.sound(np.random.default_rng(1), clock, Fault(kind, 1.0, character))
            for character in (0.25, 0.75)
        )
        assert np.mean((tuning - held_out) ** 2) > 1e-3 * np.mean(tuning**2), kind
