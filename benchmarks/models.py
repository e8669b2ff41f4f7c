"""Speed and memory of the front ends, as ratios to a named reference measured in the same run.

    python benchmarks/models.py [--threads 2] [--repeats 7]

Log-mel against librosa; DeSpaWN against its straightforward formulation (one convolution per
band and level, plain autograd) with the same numbers. Reference and ours take turns, so that a
busy machine slows both; a figure is the median of the repeats. Set OMP_WAIT_POLICY=passive where
anything else runs: OpenMP threads that spin for a core in use by others wait a hundred times as
long.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import librosa
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional

from audio_anomaly_detector.models.despawn import SLOPE, Despawn, DespawnConfig
from audio_anomaly_detector.models.logmel import LogMel, LogMelConfig
from audio_anomaly_detector.models.wavelet import Coefficients

SAMPLES = 160_000  # 10 s at 16 kHz
CLIPS = 8  # DeSpaWN's batch


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    threadpool_limits(arguments.threads)  # NumPy's, under librosa
    print(f"threads {arguments.threads}, median of {arguments.repeats}, ms per 10-s clip")
    print(f"{'work':<34}{'reference':>12}{'ours':>10}{'ratio':>8}{'difference':>12}")
    for batch in (1, 32):
        log_mel(batch, arguments.repeats)
    despawn(arguments.repeats)
    for backward in (False, True):
        reference, ours = (peak_memory(which, backward) for which in (True, False))
        name = f"DeSpaWN {'forward + backward' if backward else 'forward'}, peak MB"
        print(f"{name:<34}{reference:>12.0f}{ours:>10.0f}{reference / ours:>8.1f}")


def row(name: str, reference: float, ours: float, clips: int, difference: float) -> None:
    """Print seconds of a batch as milliseconds of a clip."""
    milliseconds = 1000 / clips
    print(
        f"{name:<34}{reference * milliseconds:>12.2f}{ours * milliseconds:>10.2f}"
        f"{reference / ours:>8.1f}{difference:>12.1e}"
    )


def in_turns(repeats: int, *works: Callable[[], object]) -> list[float]:
    """Give the median time of each work in seconds, after one run that does not count."""
    times: list[list[float]] = [[] for _ in works]
    for repeat in range(repeats + 1):
        for work, seen in zip(works, times, strict=True):
            start = time.perf_counter()
            work()
            if repeat:
                seen.append(time.perf_counter() - start)
    return [statistics.median(seen) for seen in times]


def noise(clips: int) -> Tensor:
    """``(clips, SAMPLES)`` at a machine's level."""
    return 0.1 * torch.randn(clips, SAMPLES, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def log_mel(clips: int, repeats: int) -> None:
    """Compare with librosa."""
    config = LogMelConfig()
    ours, waveform = LogMel(config), noise(clips)

    def reference() -> Tensor:
        power = librosa.feature.melspectrogram(
            y=waveform.numpy(),
            sr=config.sample_rate,
            n_fft=config.n_fft,
            hop_length=config.hop_length,
            n_mels=config.n_mels,
            pad_mode="reflect",
        )
        return torch.from_numpy(librosa.power_to_db(power, amin=1e-10, top_db=None))

    difference = (reference() - ours(waveform)).abs().max().item()
    times = in_turns(repeats, reference, lambda: ours(waveform))
    row(f"log-mel, batch {clips}, against librosa", times[0], times[1], clips, difference)


def network() -> Despawn:
    """Build 17 levels with scales set, as in the paper's preset."""
    despawn = Despawn(DespawnConfig(levels=17))
    despawn.set_scales(noise(1)[:, :4096])  # short, so as not to be the peak of the memory
    return despawn


def straightforward(model: Despawn, waveform: Tensor) -> tuple[Tensor, Coefficients]:
    """Run the network with one conv2d or conv_transpose2d per band and level, (B, 1, T, 1)."""

    def around(signal: Tensor, border: int) -> Tensor:
        turns = -(-border // signal.shape[2])
        longer = torch.cat([signal] * (2 * turns + 1), dim=2)
        return longer[:, :, turns * signal.shape[2] - border :][
            :, :, : signal.shape[2] + 2 * border
        ]

    def threshold(band: Tensor, index: int) -> Tensor:
        upper, lower = functional.softplus(model.raw_thresholds[index]) * model.spread[index]
        slope = SLOPE / model.spread[index]
        return band * (
            torch.sigmoid(slope * (band - upper)) + torch.sigmoid(-slope * (band + lower))
        )

    kernels = model.analysis_kernels.reshape(model.config.levels, 2, 1, 1, -1, 1)
    signal = (waveform / model.scale)[:, None, :, None]
    details, lengths = [], []
    for level, (low, high) in enumerate(kernels):
        lengths.append(signal.shape[2])
        if signal.shape[2] % 2:
            signal = torch.cat((signal, signal[:, :, -1:]), dim=2)
        extended = around(signal, 3)
        detail = functional.conv2d(extended, high, stride=(2, 1))
        signal = functional.conv2d(extended, low, stride=(2, 1))
        details.append(threshold(detail, model.config.levels - level))
    signal = threshold(signal, 0)
    kept = Coefficients(tuple(c[:, 0, :, 0] for c in (signal, *reversed(details))), SAMPLES)
    for level in reversed(range(model.config.levels)):
        low, high = kernels[level]
        merged = functional.conv_transpose2d(
            around(signal, 4), low, stride=(2, 1)
        ) + functional.conv_transpose2d(around(details[level], 4), high, stride=(2, 1))
        signal = merged[:, :, 11 : 11 + lengths[level]]
    return signal[:, 0, :, 0] * model.scale, kept


def backpropagate(model: Despawn, waveform: Tensor, result: tuple[Tensor, Coefficients]) -> Tensor:
    """Do the backward pass of the reconstruction and sparsity loss; give the kernels' gradient."""
    reconstruction, kept = result
    magnitude = torch.stack([band.abs().sum() for band in kept.bands]).sum()
    model.zero_grad()
    error = functional.l1_loss(reconstruction, waveform) / model.scale
    (error + magnitude / waveform.numel()).backward()
    assert model.low.grad is not None
    return model.low.grad


def ours(model: Despawn, waveform: Tensor) -> tuple[Tensor, Coefficients]:
    """Run the network itself, its attention across sub-bands included."""
    output = model(waveform)
    return output.reconstruction, output.kept


def despawn(repeats: int) -> None:
    """Compare with the straightforward formulation and with copying the coefficients."""
    model, waveform = network(), noise(CLIPS)
    target = torch.empty_like(waveform)
    with torch.no_grad():
        slow, fast = straightforward(model, waveform)[0], ours(model, waveform)[0]
        difference = (slow - fast).abs().max().item()
        times = in_turns(
            repeats,
            lambda: straightforward(model, waveform),
            lambda: ours(model, waveform),
            lambda: target.copy_(waveform),
        )
    row("DeSpaWN forward", times[0], times[1], CLIPS, difference)
    copy = times[2] * 1000 / CLIPS
    print(f"  one copy of its coefficients: {copy:.3f} ms, {times[1] / times[2]:.0f} such copies")

    def step(run: Callable[[Despawn, Tensor], tuple[Tensor, Coefficients]]) -> Tensor:
        return backpropagate(model, waveform, run(model, waveform)).clone()

    gradient = step(straightforward)
    difference = ((gradient - step(ours)).abs().max() / gradient.abs().max()).item()
    times = in_turns(repeats, lambda: step(straightforward), lambda: step(ours))
    row("DeSpaWN forward + backward", times[0], times[1], CLIPS, difference)


def peak_memory(reference: bool, backward: bool) -> float:
    """Give the MB that one pass adds to a fresh process at its peak."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak_memory, (reference, backward))


def _peak_memory(reference: bool, backward: bool) -> float:
    torch.set_num_threads(1)
    model, waveform = network(), noise(CLIPS)
    run = straightforward if reference else ours

    def once(clips: Tensor) -> None:
        if backward:
            backpropagate(model, clips, run(model, clips))
        else:
            with torch.no_grad():
                run(model, clips)

    once(waveform[:1, :4096])  # what libraries allocate once is not counted
    before = high_water_mark()
    once(waveform)
    return high_water_mark() - before


def high_water_mark() -> float:
    """Give the process's greatest resident memory so far in MB (Linux).

    Not `resource.getrusage`, whose figure a new process inherits from its parent.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
