"""Times, memory and the limits of this machine that the other figures are held against."""

import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import torch

REPEATS = 7
_PAUSE = 0.05  # s
SAMPLE_RATE = 16_000


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        work: what was measured.
        reference: what it is compared with, with its figure.
        ours: our figure.
        ratio: how they compare.
        target: what it should be.
        met: whether ours reaches it; None without a target.
    """

    work: str
    reference: str
    ours: str
    ratio: str
    target: str
    met: bool | None


class Limits(NamedTuple):
    """What this machine can do, measured.

    Attributes:
        gemm: fp32 multiplications of 2048 x 2048 matrices, GFLOP/s, by number of threads.
        gemm_bf16: of 512 x 512 matrices in bfloat16, one thread.
        copy: bytes copied within memory, GB/s, one thread.
        decode_ms: libsndfile, a 10-s mono clip of 16-bit integers, read as such.
    """

    gemm: dict[int, float]
    gemm_bf16: float
    copy: float
    decode_ms: float


def in_turns(*works: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """Median time of each work in seconds, after one run that does not count.

    They take turns, so that a busy machine slows all of them, with a pause before each: idle
    threads of one library (OpenBLAS under librosa) would otherwise still spin under the next.
    """
    times: list[list[float]] = [[] for _ in works]
    for repeat in range(repeats + 1):
        for work, seen in zip(works, times, strict=True):
            time.sleep(_PAUSE)
            start = time.perf_counter()
            work()
            if repeat:
                seen.append(time.perf_counter() - start)
    return [statistics.median(seen) for seen in times]


def limits(folder: Path) -> Limits:
    """Measure the machine."""
    rates = {}
    square = torch.randn(2048, 2048)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        rates[threads] = 2 * 2048**3 / in_turns(lambda: square @ square)[0] / 1e9
    torch.set_num_threads(1)
    half = square[:512, :512].bfloat16()  # without instructions for it, seconds a product
    bf16 = 2 * 512**3 / in_turns(lambda: half @ half)[0] / 1e9
    source = torch.randn(32 * 2**20)
    target = torch.empty_like(source)
    copied = source.nbytes / in_turns(lambda: target.copy_(source))[0] / 1e9
    path = noise_file(folder / "clip.wav", 0)
    decode = in_turns(lambda: soundfile.read(path, dtype="int16"))[0]
    return Limits(rates, bf16, copied, 1000 * decode)


def noise_file(path: Path, seed: int, channels: int = 1, seconds: float = 10.0) -> Path:
    """Write a hum in noise, 16 bits; content hardly matters for time."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * SAMPLE_RATE)
    hum = np.sin(2 * np.pi * rng.uniform(90, 110) / SAMPLE_RATE * np.arange(samples))
    noise = rng.standard_normal((samples, channels), np.float32)
    soundfile.write(path, 0.02 * noise + 0.05 * hum[:, None].astype(np.float32), SAMPLE_RATE)
    return path


def in_new_process(work: Callable[..., Any], *arguments: object) -> Any:
    """Run in a process of its own, so that its peak of memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def memory_mb(entry: str) -> float:
    """A line of /proc/self/status in MB (Linux).

    VmHWM: greatest resident memory so far; RssAnon: now, without pages of mapped files. Not
    `resource.getrusage`, whose figure a new process inherits from its parent.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith(f"{entry}:")]
    return int(line.split()[1]) / 1024


def processor() -> str:
    """Name of the processor."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()
