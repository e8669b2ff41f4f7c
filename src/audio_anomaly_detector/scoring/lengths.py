"""Between the lengths that a detector was calibrated for: linear in the logarithm of the length."""

import torch
from torch import Tensor


def length_weights(seconds: Tensor, calibrated: Tensor) -> Tensor:
    """Weights of calibrated lengths for clips of any length.

    A clip between two lengths lies between their calibrations; one beyond the shortest or longest
    takes that one's. Without data-dependent steps, so that an exported graph has it too.

    Args:
        seconds: lengths of clips, ``(n,)``.
        calibrated: lengths that are calibrated, ascending, ``(L,)``.

    Returns:
        ``(n, L)``, rows sum to 1.
    """
    ones = torch.ones_like(seconds).unsqueeze(1)  # (n, 1)
    if len(calibrated) == 1:
        return ones
    grid = calibrated.log()
    steps = (seconds.log().unsqueeze(1) - grid[:-1]) / (grid[1:] - grid[:-1])
    passed = torch.cat([ones, steps.clamp(0, 1), torch.zeros_like(ones)], 1)  # (n, L + 1)
    return passed[:, :-1] - passed[:, 1:]
