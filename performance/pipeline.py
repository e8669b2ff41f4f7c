"""Fitting and scoring from files: the time, the memory, their growth, and where the time goes."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from performance.measure import (
    Limits,
    Row,
    in_new_process,
    in_turns,
    memory_mb,
    noise_file,
)
from sklearn.metrics import roc_auc_score
from torch.utils.flop_counter import FlopCounterMode

from audio_anomaly_detector.config import load_config
from audio_anomaly_detector.data.audio import AudioConfig, read_clip, to_windows
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.layouts import find_clips
from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.export.runtime import OnnxDetector
from audio_anomaly_detector.export.write import export_onnx
from audio_anomaly_detector.pipeline import raw_scores
from audio_anomaly_detector.runs.evaluate import evaluate_machine
from audio_anomaly_detector.score import Score
from audio_anomaly_detector.scoring.measurement import ROWS_AT_ONCE
from audio_anomaly_detector.scoring.signals import Signals
from audio_anomaly_detector.synthesis.data_set import SyntheticConfig, synthesise

THREADS = 2
SECONDS = 10.0
# Clips by number, seconds by length, microphones: each with the others at 20 clips, 10 s, 1.
GROWTH: dict[str, dict[str, list[float]]] = {
    "instant": {
        "clips": [20, 100, 1000, 3000],
        "seconds": [2, 10, 60, 600],
        "channels": [1, 2, 4, 8],
    },
    "small": {"clips": [20, 100, 1000], "seconds": [10, 60], "channels": [1, 8]},
}
Figures = dict[str, float]
Growth = dict[str, dict[str, list[Figures]]]  # by preset and axis


def run(preset: str, clips: int, seconds: float, channels: int, *settings: str) -> Figures:
    """Fit on that many clips, score and evaluate as many others, in a process of its own."""
    return in_new_process(_run, preset, clips, seconds, channels, *settings)


def _run(preset: str, clips: int, seconds: float, channels: int, *settings: str) -> Figures:
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, first in (("normal", 0), ("others", clips)):
            (folder / kind).mkdir()
            for number in range(clips):
                file = folder / kind / f"{number:05}.wav"
                noise_file(file, first + number, channels, seconds)
        normal = find_clips(folder / "normal").clips
        started = time.perf_counter()
        detector = Detector.fit(
            normal, load_config(preset, overrides=settings), device="cpu"
        ).detector
        fitted = time.perf_counter()
        peak = memory_mb("VmHWM")
        anonymous = memory_mb("RssAnon")
        others = [replace(clip, label=None) for clip in find_clips(folder / "others").clips]
        seconds_scoring = []
        for _ in range(7 if clips <= 100 else 1):
            begun = time.perf_counter()
            assert all(isinstance(score, Score) for _, score in detector.score_clips(others))
            seconds_scoring.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        evaluate_machine(detector, others, folder / "run")
        return {
            "clips": clips,
            "seconds": seconds,
            "channels": channels,
            "fit_s": fitted - started,
            "score_s": sorted(seconds_scoring)[len(seconds_scoring) // 2],
            "evaluate_s": time.perf_counter() - begun,
            "fit_peak_mb": peak,
            "fit_anonymous_mb": anonymous,
            "peak_mb": memory_mb("VmHWM"),
        }


def rows(limits: Limits, growth: Growth) -> Iterator[Row]:
    """The lines that are read off fits and scores."""
    scratch = run("small", 10, SECONDS, 8, "networks.start=scratch")["fit_s"]
    for preset, target in (("small", 8), ("instant", 5)):
        fit = run(preset, 10, SECONDS, 8)["fit_s"]
        yield Row(
            f"fit, 10 clips x 8 channels, `{preset}`",
            f"networks from scratch: {scratch:.1f} s" if preset == "small" else "",
            f"{fit:.1f} s",
            f"{scratch / fit:.1f} x" if preset == "small" else "",
            f"{target} s",
            fit <= target,
        )
    largest = next(point for point in growth["small"]["clips"] if point["clips"] == 1000)
    yield Row(
        "fit, 1000 clips x 1 channel, `small`",
        "",
        f"{largest['fit_s'] / 60:.1f} min, peak {largest['fit_peak_mb']:.0f} MB",
        "",
        "12 min, 1500 MB",
        largest["fit_s"] <= 720 and largest["fit_peak_mb"] <= 1500,
    )
    for preset, wanted in (("small", 600), ("instant", 2500)):
        many = next(point for point in growth[preset]["clips"] if point["clips"] == 1000)
        per_clip = many["score_s"] / many["clips"]
        yield Row(
            f"score, 1000 files of 10 s mono, `{preset}`",
            f"decoding alone: {limits.decode_ms:.2f} ms",
            f"{1000 * per_clip:.1f} ms",
            f"{SECONDS / per_clip:.0f} x real time",
            f"{wanted} x real time",
            SECONDS / per_clip >= wanted,
        )


def start_rows(folder: Path) -> Iterator[Row]:
    """How long the program takes to start."""
    model, clip = _model(folder, "small"), _synthetic_fan(folder)[1][0].path
    program = [sys.executable, "-m", "audio_anomaly_detector"]

    def call(*arguments: object) -> None:
        subprocess.run([*program, *map(str, arguments)], check=True, capture_output=True)

    for what, arguments, target in (
        ("`aad --help`, new process", ["--help"], 0.6),
        ("`aad score` of one clip, new process", ["score", model, clip], 4.0),
    ):
        (seconds,) = in_turns(partial(call, *arguments))
        yield Row(what, "", f"{seconds:.2f} s", "", f"{target:g} s", seconds <= target)


def export_rows(folder: Path) -> Iterator[Row]:
    """Exported graphs beside the program: one clip at a time, and the ranking of faults."""
    torch.set_num_threads(THREADS)
    _, test = _synthetic_fan(folder)
    waveform = read_clip(test[0], AudioConfig())
    for preset in ("instant", "small"):
        detector = Detector.load(_model(folder, preset), "cpu")
        started = time.perf_counter()
        graphs = {"fp32": export_onnx(detector, folder / f"{preset}.onnx")}
        seconds = time.perf_counter() - started
        if detector.pipeline.networks is not None:
            path = folder / f"{preset}.int8.onnx"
            graphs["int8"] = export_onnx(detector, path, quantize="int8")
        expected = _auroc(detector, test)
        for kind, exported in graphs.items():
            graph = OnnxDetector.load(exported.path, THREADS)
            times = in_turns(partial(detector.score, waveform), partial(graph.score, waveform))
            yield Row(
                f"exported graph, `{preset}`, {kind}, {exported.path.stat().st_size / 1e6:.1f} MB: "
                "one clip of 10 s",
                f"PyTorch: {1000 * times[0]:.0f} ms, AUROC {expected:.3f}",
                f"{1000 * times[1]:.0f} ms, AUROC {_auroc(graph, test):.3f}",
                f"{times[0] / times[1]:.2f} x, scores within {exported.difference:.0e}",
                "within 1e-4" if kind == "fp32" else "",
                exported.difference <= 1e-4 if kind == "fp32" else None,
            )
        yield Row(f"writing the graph of `{preset}`", "", f"{seconds:.0f} s", "", "", None)


def _auroc(detector: Detector | OnnxDetector, test: list[Clip]) -> float:
    scores = [score for _, score in detector.score_clips(test)]
    assert all(isinstance(score, Score) for score in scores)
    values = [score.score for score in scores if isinstance(score, Score)]
    return float(roc_auc_score([clip.label for clip in test], values))


def growth() -> Growth:
    """Time and memory against number of clips, their length and the microphones."""
    result: Growth = {}
    known: dict[tuple[str, int, float, int], Figures] = {}
    for preset, axes in GROWTH.items():
        for axis, values in axes.items():
            for value in values:
                point = {"clips": 20.0, "seconds": SECONDS, "channels": 1.0, axis: value}
                key = (preset, int(point["clips"]), point["seconds"], int(point["channels"]))
                print("growth:", *key, flush=True)
                if key not in known:
                    known[key] = run(*key)
                result.setdefault(preset, {}).setdefault(axis, []).append(known[key])
    return result


def stages(folder: Path, limits: Limits) -> Iterator[tuple[str, float, float]]:
    """Where the time of a clip goes: stage, ms a clip, and ms at the rate of matrix products.

    Of 8 clips scored together, as `score_clips` does it, on one thread. The last figure holds the
    multiply-adds of a stage against the GEMM rate; transforms, sorting and passes over memory have
    none.
    """
    torch.set_num_threads(1)
    detector = Detector.load(_model(folder, "small"), "cpu")
    networks, front_end = detector.pipeline.networks, detector.pipeline.measure.logmel
    assert networks is not None
    clip = _synthetic_fan(folder)[1][0]
    audio = detector.config.audio
    one = torch.from_numpy(to_windows(read_clip(clip, audio), audio.length, audio.window_slack))
    windows = one.repeat(ROWS_AT_ONCE, 1, 1)  # (8, 1, T)
    done = Signals(windows, front_end, detector.config.signals)
    logmel = done.logmel.flatten(0, 1)
    parts = networks.despawn.decompose(windows[:, 0])
    steps = networks.transformer.columns(logmel.shape[-1])
    features = networks.features(windows[:, 0], logmel)
    outputs = networks(windows, done.logmel)
    statistics = detector.pipeline.measure([one] * ROWS_AT_ONCE, networks).statistics

    def fresh(name: str) -> Callable[[], Any]:
        def work() -> Any:
            signals = Signals(windows, front_end, detector.config.signals)
            signals.__dict__["envelope"] = done.envelope  # modulation is computed from it
            if name == "envelope":
                del signals.__dict__["envelope"]
            return getattr(signals, name)

        return work

    network_components = detector.pipeline.measure.network_components.values()
    signal_components = detector.pipeline.measure.signal_components.values()
    works: dict[str, Callable[[], Any]] = {
        "reading a file": lambda: [read_clip(clip, audio) for _ in range(ROWS_AT_ONCE)],
        "log-mel": fresh("logmel"),
        "fast envelopes": fresh("envelope"),
        "narrow bands": fresh("spectrum"),
        "modulation": fresh("modulation"),
        "wavelet packets": fresh("packets"),
        "statistics of signals": lambda: [c.statistics(done) for c in signal_components],
        "DeSpaWN: analysis and thresholds": lambda: networks.despawn.decompose(windows[:, 0]),
        "DeSpaWN: sub-band statistics": lambda: networks.despawn.band_statistics(
            parts.coefficients, parts.kept, steps
        ),
        "transformer: embedding": lambda: networks.transformer.embed(logmel),
        "transformer: hidden patches": lambda: networks.transformer.predict_hidden(logmel),
        "VQ-VAE": lambda: networks.vqvae(features.bands, features.time),
        "statistics of networks": lambda: [c.statistics(outputs) for c in network_components],
        "distances": lambda: raw_scores(statistics, detector.pipeline.banks),
    }
    with torch.no_grad():
        for stage, work in works.items():
            with FlopCounterMode(display=False) as counter:
                work()
            (seconds,) = in_turns(work)
            flops = counter.get_total_flops() / ROWS_AT_ONCE
            yield stage, 1000 * seconds / ROWS_AT_ONCE, flops / (limits.gemm[1] * 1e6)


def _synthetic_fan(folder: Path) -> tuple[list[Clip], list[Clip]]:
    """Ten normal clips to learn from; twenty others and twenty faulty ones."""
    root = folder / "synthetic"
    if not root.exists():
        synthesise(
            root, SyntheticConfig(machines=("fan",), ids=1, normal=30, abnormal=20, channels=1)
        )
    clips = find_clips(root).clips
    normal = [clip for clip in clips if clip.label == 0]
    return normal[:10], normal[10:] + [clip for clip in clips if clip.label == 1]


def _model(folder: Path, preset: str) -> Path:
    """A detector of the synthetic fan, fitted once."""
    path = folder / f"{preset}.pth"
    if not path.exists():
        train, _ = _synthetic_fan(folder)
        Detector.fit(train, load_config(preset), device="cpu").detector.save(path)
    return path
