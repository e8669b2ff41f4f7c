"""One seed governs all randomness."""

import hashlib
import random

import numpy as np
import torch


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and PyTorch.

    The package itself draws from generators of its own (`derive_seed`); this is for the code
    around it.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the documented entry point seeds the old state
    torch.manual_seed(seed)


def derive_seed(seed: int, *purpose: str | int) -> int:
    """A seed for one purpose, independent of every other purpose's and the same everywhere.

    Args:
        seed: the seed of the run.
        purpose: what the randomness is for, e.g. ``("transformer", 3)``.

    Returns:
        An integer in [0, 2^63).
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
