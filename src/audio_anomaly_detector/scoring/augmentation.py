"""Test-time augmentation: the views of a window over which its statistics are averaged."""

from functools import lru_cache

import torch
from torch import Tensor


def make_views(windows: Tensor, n_views: int, noise_db: float, seed: int) -> Tensor:
    """Each window itself and ``n_views`` shifted, slightly noisy copies.

    Noise is white and stands ``noise_db`` below the window's own level, so that a quiet machine
    is treated like a loud one; shifts are circular and spread evenly over the window. Both
    depend on the seed alone, so a clip has the same views wherever it is scored.

    Args:
        windows: shape ``(B, C, T)``.
        n_views: how many copies besides the window itself.
        noise_db: level of the noise relative to the window's RMS, in dB (negative).
        seed: seed of the noise.

    Returns:
        Views, shape ``(B, 1 + n_views, C, T)``; the first are the windows untouched.
    """
    if n_views == 0:
        return windows.unsqueeze(1)
    samples = windows.shape[-1]
    level = windows.square().mean((1, 2), keepdim=True).sqrt() * 10 ** (noise_db / 20)
    views = [windows]
    for view, noise in enumerate(_noise(n_views, windows.shape[1], samples, seed), 1):
        shift = samples * view // (n_views + 1)
        views.append(windows.roll(shift, -1) + level * noise.to(windows.device))
    return torch.stack(views, 1)


@lru_cache(maxsize=1)
def _noise(n_views: int, channels: int, samples: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack(
        [torch.randn(channels, samples, generator=generator) for _ in range(n_views)]
    )
