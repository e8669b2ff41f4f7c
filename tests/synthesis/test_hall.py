import numpy as np
import pytest

from audio_anomaly_detector.synthesis.hall import Microphones


def test_sound_reaches_a_far_microphone_later():
    microphones = Microphones(np.random.default_rng(0), 2, 48_000)  # at angles 0 and pi
    near, far = microphones.path(np.random.default_rng(1), 0.0, reflections=0)
    lag = np.argmax(np.correlate(far, near, "full")) - (len(near) - 1)
    assert lag == pytest.approx(2 * 0.05 / 343 * 48_000, abs=1)  # the array is 10 cm wide
