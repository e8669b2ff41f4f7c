"""What each family contributes to the anomaly score."""

import math

import numpy as np
import torch

from audio_anomaly_detector.scoring.calibration import Calibration


def family_shares(calibration: Calibration, families: dict[str, float]) -> dict[str, float]:
    """Shapley values of the families: what each adds to the score, averaged over all orders.

    A family that is not there is one of the median normal clip, whose evidence is 0. All that are
    not there give the score 0, so that the values add up to the score (efficiency; Shapley, "A
    value for n-person games", 1953, for models Lundberg and Lee, "A unified approach to
    interpreting model predictions", 2017). They are exact: the families are few.

    Args:
        calibration: joins the families.
        families: evidence of each.

    Returns:
        By family.
    """
    count = len(families)
    present = (np.arange(2**count)[:, None] >> np.arange(count)) & 1  # (2^n, n)
    evidence = torch.from_numpy(present * np.array(list(families.values()), np.float64))
    score = calibration.join({name: evidence[:, at] for at, name in enumerate(families)}).numpy()
    sizes = present.sum(1)
    weight = np.array(
        [1 / (count * math.comb(count - 1, size)) if size < count else 0.0 for size in sizes]
    )
    shares = {}
    for at, name in enumerate(families):
        without = np.flatnonzero(present[:, at] == 0)
        gained = score[without | (1 << at)] - score[without]
        shares[name] = float(weight[without] @ gained)
    return shares
