"""How many sources `aad watch` hears on one core, how late its verdicts come, whether memory grows.

    python -m performance.watching --sources 50 --seconds 3600
    python -m performance.watching --sources 50 --hours 24 --hop 60

Each source has a machine of its own, with a model of ten minutes. In real time it is a named pipe
into which another process writes a synthetic fan. With `--hours` the fan is heard as fast as it can
be scored: weeks of memory in an hour. No model is fitted meanwhile.
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
from audio_anomaly_detector.monitor.sources.source import Received
from audio_anomaly_detector.monitor.watch import Watch
from audio_anomaly_detector.synthesis.data_set import Site, SyntheticConfig

_RATE = 16_000
_LEARNED_PIECES, _PLAYED_PIECES = 62, 12  # of ten seconds
_BLOCK_S, _FAST_BLOCK_S = 0.25, 5.0
_SETTLED_S = 100.0  # after which every buffer is full and memory is read for the first time
_READ_EVERY_S = 5.0
_TOLD_EVERY = 60


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=170.0)
    parser.add_argument("--hours", type=float, help="of sound, faster than it would be heard")
    parser.add_argument("--hop", type=float, default=2.0, help="seconds from window to window")
    parser.add_argument("--preset", default="instant")
    given = parser.parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):
        feeder_cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(feeder_cores)})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        learned = _learn(folder / "learned", given.preset)
        names = [f"fan-{number:03d}" for number in range(given.sources)]
        (folder / "live/data/machines").mkdir(parents=True)
        for name in names:
            shutil.copytree(learned, folder / "live/data/machines" / name)
        np.save(folder / "live/fan.npy", _pieces(500, _PLAYED_PIECES))
        plant = Plant.model_validate(
            {
                "data": folder / "live/data",
                "sources": {
                    name: {"raw": str(folder / "live" / name), "rate": _RATE} for name in names
                },
                "machines": {
                    name: {"source": name, "preset": given.preset, "hop_seconds": given.hop}
                    for name in names
                },
            }
        )
        if given.hours:
            print(_in_fast_motion(folder / "live", plant, given.hours))
        else:
            print(_in_real_time(folder / "live", plant, given.seconds))


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
                "machines": {
                    "fan": {
                        "source": "a",
                        "preset": preset,
                        "hop_seconds": 10,
                        "learning_hours": 0.1,
                    }
                },
            }
        )
    )
    with watching.running():
        while watching.step():
            pass
    watching.close()
    return folder / "data/machines/fan"


def _in_real_time(folder: Path, plant: Plant, seconds: float) -> str:
    names, sources = list(plant.sources), len(plant.sources)
    for name in names:
        os.mkfifo(folder / name)
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
        f"{sources} sources, {seconds:.0f} s, one core: {busy:.0%} of it used; verdicts "
        f"{status.delay_s[0]:.2f} s after the window (median), {status.delay_s[1]:.2f} s (95 %); "
        f"{status.windows} windows, {(lost[-1] - lost[0]) / sources:.2f} s lost a source; memory "
        f"{memory[0] / 2**20:.0f} MB after {_SETTLED_S:.0f} s, "
        f"{(memory[-1] - memory[0]) / 2**20:+.1f} MB at the end"
    )


class _Repeated:
    """A source whose sound never ends, and waits until it is scored."""

    live = False

    def __init__(self, sound: np.ndarray, first: int) -> None:
        self.sample_rate, self.channels = _RATE, 1
        self._sound, self._number = sound, first

    def make(self) -> "_Repeated":
        return self

    def open(self) -> "_Repeated":
        return self

    def read(self) -> Received:
        block = round(_FAST_BLOCK_S * _RATE)
        start = self._number * block % (len(self._sound) - block)
        self._number += 1
        samples = self._sound[None, start : start + block].astype(np.float32)
        return Received(samples / np.float32(32768))

    def close(self) -> None:
        pass


def _in_fast_motion(folder: Path, plant: Plant, hours: float) -> str:
    sound = np.load(folder / "fan.npy")
    repeated = {name: _Repeated(sound, 7 * place) for place, name in enumerate(plant.sources)}
    watching = Watch(plant.model_copy(update={"sources": repeated}))
    memory: list[int] = []
    with watching.running():
        began, heard = time.monotonic(), 0.0
        while heard < hours:
            watching.step()
            heard = min(source.heard_s for source in watching.status().sources) / 3600
            # The first hundredth fills every buffer.
            if heard > (1 + len(memory)) * hours / 100:
                memory.append(_resident())
                if len(memory) % 10 == 1:
                    print(f"{heard:.1f} h: {memory[-1] / 2**20:.1f} MB", flush=True)
        passed, windows = time.monotonic() - began, watching.status().windows
    watching.close()
    return (
        f"{len(plant.sources)} sources, {heard:.0f} h of each in {passed / 60:.0f} min, "
        f"{windows} windows; memory {memory[0] / 2**20:.0f} MB after {hours / 100:.1f} h, "
        f"{(memory[-1] - memory[0]) / 2**20:+.1f} MB at the end, "
        f"{(max(memory) - memory[0]) / 2**20:+.1f} MB at most"
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
