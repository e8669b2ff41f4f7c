"""How long fitting and scoring take, and how much memory: `make bench`.

    python benchmarks/pipeline.py --clips 10 --channels 8

Works on made recordings; every figure is of this machine and says how many threads it used.
"""

import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.data.synthetic import SyntheticConfig, synthesise
from audio_anomaly_detector.detector import Detector, Score

REPEATS = 7


def anonymous_memory_mb() -> float:
    """Memory of this process without the pages of mapped files, MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell RssAnon")


def measure(clips: int, channels: int, preset: str, threads: int) -> dict[str, float | int | str]:
    """Fit on ``clips`` clips of 10 s and score one of them, in a process of its own."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        made = SyntheticConfig(
            machines=("valve",), ids=1, normal=clips, abnormal=0, channels=channels
        )
        found = find_clips(synthesise(Path(folder), made)).clips
        before = anonymous_memory_mb()
        started = time.perf_counter()
        detector = Detector.fit(found, load_config(preset), device="cpu").detector
        fit_seconds = time.perf_counter() - started
        times = []
        for clip in (found * REPEATS)[:REPEATS]:
            started = time.perf_counter()
            _, score = next(detector.score_clips([clip]))
            times.append(time.perf_counter() - started)
            assert isinstance(score, Score)
    per_channel = statistics.median(times) / channels
    return {
        "preset": preset,
        "clips": clips,
        "channels": channels,
        "threads": threads,
        "fit_s": round(fit_seconds, 1),
        "score_ms_per_10_s_channel": round(1000 * per_channel, 1),
        "times_real_time": round(10 / per_channel),
        "memory_before_mb": round(before),
        "memory_after_mb": round(anonymous_memory_mb()),
        "peak_memory_with_mapped_files_mb": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        ),
    }


def main(
    clips: Annotated[str, typer.Option(help="Numbers of clips, comma-separated.")] = "10",
    channels: Annotated[int, typer.Option(help="Microphones.")] = 8,
    preset: Annotated[str, typer.Option(help="instant, small, base or paper.")] = "small",
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
) -> None:
    """Print one JSON line for each number of clips."""
    for count in clips.split(","):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(json.dumps(pool.apply(measure, (int(count), channels, preset, threads))))


if __name__ == "__main__":
    typer.run(main)
