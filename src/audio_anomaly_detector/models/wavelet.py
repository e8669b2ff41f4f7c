"""The wavelet transform under DeSpaWN: one step down, one step up, and the tree of bands.

A step down filters a signal with a low-pass and a high-pass kernel of L taps and keeps every second
value: ``low[k] = sum_n h[n] x[2k + n - L/2 + 1]``, the same with ``g`` for ``high``. A step up is
the adjoint with the same kernels. Borders are periodic, and a signal of odd length is first
extended by its last sample (PyWavelets' mode ``periodization``), so that with orthonormal kernels
the step up undoes the step down at every length.

Both steps are written as one product of overlapping frames with a narrow banded matrix, which a
processor does several times faster than a convolution of one channel with 8 taps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Scaling filter of Daubechies' wavelet with 4 vanishing moments. Source: I. Daubechies, "Ten
# lectures on wavelets", 1992, table 6.1, N = 4; digits as in PyWavelets (`Wavelet("db4").rec_lo`).
DB4 = (
    0.2303778133088965,
    0.7148465705529157,
    0.6308807679298589,
    -0.027983769416859854,
    -0.18703481171909309,
    0.030841381835560764,
    0.0328830116668852,
    -0.010597401785069032,
)

# Low-pass (and high-pass) values in one row of a product. Fewer waste less arithmetic on
# the zeros of the banded matrix, more waste less memory traffic on the overlap; 16 was fastest.
BLOCK = 16


class Coefficients(NamedTuple):
    """Wavelet coefficients of a batch of signals.

    Bands of equal length share a tensor, so that an operation on all of them is one call.

    Attributes:
        groups: neighbouring bands of equal length, ``(B, bands, n)`` each, all bands in order of
            frequency from the lowest.
        length: samples of the signals that were analysed.
    """

    groups: tuple[Tensor, ...]
    length: int

    @property
    def bands(self) -> tuple[Tensor, ...]:
        """One tensor ``(B, n)`` per band, in order of frequency from the lowest."""
        return tuple(band for group in self.groups for band in group.unbind(1))

    def windows(self, time_bins: int) -> list[Tensor]:
        """Cut every band into equally long windows, spread evenly from its start to its end.

        Windows overlap by a few coefficients where the length is no multiple of `time_bins`; a
        band with fewer coefficients than bins repeats them.

        Args:
            time_bins: number of windows.

        Returns:
            Per group ``(B, bands, time_bins, ceil(n / time_bins))``.
        """
        return [_windows(group, time_bins) for group in self.groups]


def _windows(group: Tensor, time_bins: int) -> Tensor:
    length = group.shape[-1]
    width = -(-length // time_bins)
    if width * time_bins == length:
        return group.unflatten(-1, (time_bins, width))
    bins = torch.arange(time_bins, device=group.device)
    starts = bins * (length - width) // max(time_bins - 1, 1)
    return group[..., starts[:, None] + torch.arange(width, device=group.device)]


def quadrature_mirror(low: Tensor) -> Tensor:
    """High-pass kernels that belong to low-pass kernels: ``g[n] = (-1)^n h[L-1-n]``.

    Args:
        low: ``(..., taps)``, L = taps even.

    Returns:
        ``(..., taps)``.
    """
    signs = 1 - 2 * (torch.arange(low.shape[-1], device=low.device) % 2)
    return low.flip(-1) * signs


def analyse(signal: Tensor, kernels: Tensor, packet_levels: int) -> Coefficients:
    """Decompose signals into sub-bands.

    Args:
        signal: ``(B, T)``.
        kernels: ``(levels, 2, taps)`` low-pass and high-pass kernel of each level, `taps` even.
        packet_levels: the first levels that split both halves; further levels only split the
            approximation. 0 (or 1) is the plain discrete wavelet transform.

    Returns:
        The coefficients, ``2^packet_levels + levels - packet_levels`` bands.
    """
    down, up = _down_matrices(kernels), _up_matrices(kernels.detach())
    nodes = signal.unsqueeze(1)  # (B, nodes, n)
    for level in range(packet_levels):
        halves = _split(nodes.flatten(0, 1), down[level], up[level])
        nodes = halves.view(signal.shape[0], -1, halves.shape[-1])
    nodes = nodes[:, _frequency_order(nodes.shape[1])]
    groups: list[Tensor] = []
    for level in range(packet_levels, len(kernels)):
        if nodes.shape[1] > 1:
            groups.insert(0, nodes[:, 1:])
        nodes = _split(nodes[:, 0], down[level], up[level])  # the approximation and its detail
    return Coefficients((nodes, *groups), signal.shape[-1])


def synthesise(coefficients: Coefficients, kernels: Tensor, packet_levels: int) -> Tensor:
    """Reconstruct signals from their sub-bands, step by step the adjoint of `analyse`.

    Args:
        coefficients: as `analyse` gives them.
        kernels: ``(levels, 2, taps)``, those of `analyse` for perfect reconstruction.
        packet_levels: as in `analyse`.

    Returns:
        ``(B, T)``.
    """
    up, down = _up_matrices(kernels), _down_matrices(kernels.detach())
    lengths = [coefficients.length]
    for _ in range(len(kernels)):
        lengths.append((lengths[-1] + 1) // 2)
    nodes, *groups = coefficients.groups
    for level in reversed(range(packet_levels, len(kernels))):
        merged = _Merge.apply(nodes, up[level], down[level])
        nodes = merged[:, None, : lengths[level]]
        if groups:
            nodes = torch.cat((nodes, groups.pop(0)), dim=1)
    order = torch.tensor(_frequency_order(nodes.shape[1]), device=nodes.device)
    nodes = nodes[:, order.argsort()]
    for level in reversed(range(packet_levels)):
        halves = nodes.view(-1, 2, nodes.shape[-1])
        merged = _Merge.apply(halves, up[level], down[level])[:, : lengths[level]]
        nodes = merged.reshape(nodes.shape[0], -1, lengths[level])
    return nodes[:, 0]


def _frequency_order(nodes: int) -> list[int]:
    """Nodes of a full packet level from the lowest frequency up.

    A high-pass branch reverses its spectrum, so the order is the Gray code (Wickerhauser,
    "Adapted wavelet analysis from theory to software", 1994).
    """
    return [rank ^ (rank >> 1) for rank in range(nodes)]


def _split(signal: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """``(B, n)`` -> low and high half, ``(B, 2, ceil(n / 2))``."""
    if signal.shape[-1] % 2:
        signal = torch.cat((signal, signal[:, -1:]), dim=1)
    return _Split.apply(signal, down, up)


def _down_matrices(kernels: Tensor) -> tuple[Tensor, ...]:
    """Banded matrix of each level's step down, ``(2 BLOCK + taps - 2, 2 BLOCK)``.

    A frame holds ``2 BLOCK`` samples with their neighbours; column p of the first half gives the
    low-pass value p (``h`` from row 2p on), the second half the high-pass values.
    """
    taps = kernels.shape[-1]
    row = torch.arange(2 * BLOCK + taps - 2, device=kernels.device)[:, None]
    tap = row - 2 * torch.arange(BLOCK, device=kernels.device)
    banded = _at_taps(kernels, tap)  # (levels, 2, rows, BLOCK)
    return banded.transpose(1, 2).flatten(2).unbind()


def _up_matrices(kernels: Tensor) -> tuple[Tensor, ...]:
    """Banded matrix of each level's step up, ``(2 (BLOCK + 2 halo), 2 BLOCK)``.

    A frame holds ``BLOCK`` low-pass values with `halo` neighbours on either side, then the same
    of the high-pass values; column j gives sample j, to which value k adds tap j - 2k + L/2 - 1.
    """
    taps = kernels.shape[-1]
    halo = taps // 4
    value = torch.arange(-halo, BLOCK + halo, device=kernels.device)[:, None]
    tap = torch.arange(2 * BLOCK, device=kernels.device) - 2 * value + taps // 2 - 1
    return _at_taps(kernels, tap).flatten(1, 2).unbind()


def _at_taps(kernels: Tensor, tap: Tensor) -> Tensor:
    """``kernels[..., tap]``, zero where there is no such tap."""
    taps = kernels.shape[-1]
    return F.pad(kernels, (0, 1))[..., tap.where((tap >= 0) & (tap < taps), taps)]


def _frames(signals: Tensor, block: int, halo: int) -> Tensor:
    """Cut periodic signals into blocks with `halo` neighbours on either side.

    ``(B, parts, n) -> (B * ceil(n / block), parts * (block + 2 halo))``.
    """
    length = signals.shape[-1]
    after = -length % block + halo
    if length >= max(halo, after):
        pieces = (signals[..., length - halo :], signals, signals[..., :after])
        extended = torch.cat(pieces, dim=-1)
    else:  # shorter than its own border: repeated more than once
        extended = signals[..., torch.arange(-halo, length + after, device=signals.device) % length]
    frames = extended.unfold(-1, block + 2 * halo, block)  # (B, parts, blocks, block + 2 halo)
    return frames.transpose(1, 2).reshape(-1, signals.shape[1] * (block + 2 * halo))


def _blocks(signals: Tensor, block: int) -> Tensor:
    """Cut into blocks without neighbours, the last one filled with zeros."""
    padded = F.pad(signals, (0, -signals.shape[-1] % block))
    blocks = padded.unflatten(-1, (-1, block)).transpose(1, 2)  # (B, blocks, parts, block)
    return blocks.reshape(-1, signals.shape[1] * block)


def _down(signal: Tensor, matrix: Tensor) -> Tensor:
    """``(B, n)``, n even -> low and high half, ``(B, 2, n / 2)``."""
    halo = len(matrix) // 2 - BLOCK
    products = _frames(signal.unsqueeze(1), 2 * BLOCK, halo) @ matrix
    halves = products.view(signal.shape[0], -1, 2, BLOCK).transpose(1, 2).flatten(2)
    return halves[..., : signal.shape[-1] // 2]


def _up(halves: Tensor, matrix: Tensor) -> Tensor:
    """``(B, 2, n) -> (B, 2 n)``."""
    halo = (len(matrix) // 2 - BLOCK) // 2
    products = _frames(halves, BLOCK, halo) @ matrix
    return products.view(halves.shape[0], -1)[:, : 2 * halves.shape[-1]]


class _Split(torch.autograd.Function):
    """A step down. Its gradient is a step up, so nothing but the signal is kept for it."""

    @staticmethod
    def forward(ctx: Any, signal: Tensor, down: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(signal, down, up)
        return _down(signal, down)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, halves: Tensor) -> tuple[Tensor | None, Tensor, None]:
        signal, down, up = ctx.saved_tensors
        to_signal = _up(halves, up) if ctx.needs_input_grad[0] else None
        frames = _frames(signal.unsqueeze(1), 2 * BLOCK, len(down) // 2 - BLOCK)
        return to_signal, frames.T @ _blocks(halves, BLOCK), None


class _Merge(torch.autograd.Function):
    """A step up. Its gradient is a step down."""

    @staticmethod
    def forward(ctx: Any, halves: Tensor, up: Tensor, down: Tensor) -> Tensor:
        ctx.save_for_backward(halves, up, down)
        return _up(halves, up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, signal: Tensor) -> tuple[Tensor, Tensor, None]:
        halves, up, down = ctx.saved_tensors
        frames = _frames(halves, BLOCK, (len(up) // 2 - BLOCK) // 2)
        return _down(signal, down), frames.T @ _blocks(signal.unsqueeze(1), 2 * BLOCK), None
