"""Interpolation over the length of a clip."""

import pytest
import torch

from audio_anomaly_detector.scoring.lengths import length_weights

LENGTHS = torch.tensor([1.0, 4.0, 10.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("seconds", "weights"),
    [
        (1.0, [1, 0, 0]),
        (4.0, [0, 1, 0]),
        (2.0, [0.5, 0.5, 0]),
        (10.0, [0, 0, 1]),
        (0.2, [1, 0, 0]),
        (600.0, [0, 0, 1]),
    ],
)
def test_between_two_lengths_and_beyond_the_ends(seconds: float, weights: list[float]) -> None:
    found = length_weights(torch.tensor([seconds], dtype=torch.float64), LENGTHS)
    assert found[0].tolist() == pytest.approx(weights, abs=1e-12)


def test_one_length_stands_for_all() -> None:
    assert length_weights(torch.tensor([1.0, 60.0]), torch.tensor([10.0])).tolist() == [[1], [1]]
