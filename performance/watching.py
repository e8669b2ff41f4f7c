"""How many sources `aad watch` hears on one core, how late its verdicts come, whether memory grows.

    python -m performance.watching --sources 50 --seconds 170

Each source is a named pipe into which another process writes a synthetic fan in real time; each has
a machine of its own, with a model of ten minutes.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from audio_anomaly_detector.choices import Preset
from audio_anomaly_detector.monitor.plant import Plant
from audio_anomaly_detector.monitor.watch import Watch
from audio_anomaly_detector.synthesis.data_set import Site, SyntheticConfig

_RATE = 16_000
_LEARNED_PIECES, _PLAYED_PIECES = 62, 12  # of ten seconds
_BLOCK_S = 0.25
_SETTLED_S = 100.0  # after which every buffer is full and memory is read for the first time
_READ_EVERY_S = 5.0
_TOLD_EVERY = 60


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=170.0)
    parser.add_argument("--preset", default="instant")
    given = parser.parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):
        feeder_cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(feeder_cores)})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        learned = _learn(folder / "learned", given.preset)
        print(_measure(folder / "live", learned, given.preset, given.sources, given.seconds))


def _pieces(first: int, count: int) -> np.ndarray:
    """A healthy fan, ``(T,)`` 16 bit."""
    site = Site(SyntheticConfig(machines=("fan",), channels=1, seed=3), "fan", 0)
    return np.concatenate([site.render("normal", first + n).mix(6)[:, 0] for n in range(count)])


def _learn(folder: Path, preset: Preset) -> Path:
    """The folder of a machine that was learned."""
    folder.mkdir()
    soundfile.write(folder / "fan.wav", _pieces(0, _LEARNED_PIECES), _RATE)
    watching = Watch(
        Plant.model_validate(
            {
                "data": folder / "data",
                "sources": {"a": {"file": folder / "fan.wav"}},
                "machines": {"fan": {"source": "a", "preset": preset, "hop_seconds": 10}},
            }
        )
    )
    with watching.running():
        while watching.step():
            pass
    watching.close()
    return folder / "data/machines/fan"


def _measure(folder: Path, learned: Path, preset: Preset, sources: int, seconds: float) -> str:
    names = [f"fan-{number:03d}" for number in range(sources)]
    (folder / "data/machines").mkdir(parents=True)
    for name in names:
        shutil.copytree(learned, folder / "data/machines" / name)
        os.mkfifo(folder / name)
    np.save(folder / "fan.npy", _pieces(500, _PLAYED_PIECES))
    plant = Plant.model_validate(
        {
            "data": folder / "data",
            "sources": {name: {"raw": str(folder / name), "rate": _RATE} for name in names},
            "machines": {name: {"source": name, "preset": preset} for name in names},
        }
    )
    watching = Watch(plant)
    code = f"from performance.watching import feed; feed({str(folder)!r}, {names!r}, {seconds})"
    with subprocess.Popen([sys.executable, "-c", code]) as feeder, watching.running():
        began, used = time.monotonic(), time.process_time()
        memory: list[int] = []
        lost: list[float] = []
        while feeder.poll() is None:
            watching.step()
            passed = time.monotonic() - began
            # Where the feeder ends, its sources do: what they miss from there on is not counted.
            if _SETTLED_S + len(memory) * _READ_EVERY_S < passed < seconds - _READ_EVERY_S:
                memory.append(_resident())
                lost.append(_lost(watching))
                if len(memory) % _TOLD_EVERY == 1:
                    print(f"{passed:.0f} s: {memory[-1] / 2**20:.1f} MB", flush=True)
        busy = (time.process_time() - used) / (time.monotonic() - began)
        status = watching.status()
    watching.close()
    return (
        f"{sources} sources, {preset}, {seconds:.0f} s, one core: {busy:.0%} of it used; verdicts "
        f"{status.delay_s[0]:.2f} s after the window (median), {status.delay_s[1]:.2f} s (95 %); "
        f"{status.windows} windows, {(lost[-1] - lost[0]) / sources:.2f} s lost a source; memory "
        f"{memory[0] / 2**20:.0f} MB after {_SETTLED_S:.0f} s, "
        f"{(memory[-1] - memory[0]) / 2**20:+.1f} MB at the end"
    )


def feed(folder: str, names: list[str], seconds: float) -> None:
    """Write sound into the pipes in real time; each begins elsewhere in it."""
    sound = np.load(Path(folder) / "fan.npy")
    pipes = [(Path(folder) / name).open("wb", buffering=0) for name in names]
    block, began = round(_BLOCK_S * _RATE), time.monotonic()
    for number in range(round(seconds / _BLOCK_S)):
        for place, pipe in enumerate(pipes):
            start = (number + 7 * place) * block % (len(sound) - block)
            pipe.write(sound[start : start + block].tobytes())
        time.sleep(max(0.0, began + (number + 1) * _BLOCK_S - time.monotonic()))


def _lost(watching: Watch) -> float:
    """Sound that is missing, of all sources, s."""
    return sum(source.lost_s for source in watching.status().sources)


def _resident() -> int:
    """Memory of this process, bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
