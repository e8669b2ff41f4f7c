import random

import numpy as np
import torch

from audio_anomaly_detector.seeding import derive_seed, set_seed


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_set_seed_governs_python_numpy_and_torch() -> None:
    set_seed(3)
    first = draws()
    set_seed(3)
    assert draws() == first
    set_seed(4)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_purposes_have_seeds_of_their_own() -> None:
    seeds = {derive_seed(s, *p) for s in (0, 1) for p in [("a",), ("b",), ("a", 1), ("a", 2)]}
    assert len(seeds) == 8
    assert derive_seed(0, "a") == derive_seed(0, "a")
    assert all(0 <= seed < 2**63 for seed in seeds)
