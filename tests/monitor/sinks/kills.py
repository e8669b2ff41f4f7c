"""A watcher that saves and delivers, killed at random moments: `python kills.py FOLDER KILLS SEED`.

Each run is forked from this process, which has imported what it needs. In the folder, `saved` has a
line for each save that returned, `received` one for each that arrived.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from audio_anomaly_detector.monitor.clock import SystemClock
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.sinks.delivery import DeliveryConfig, DeliveryThread
from audio_anomaly_detector.monitor.store.store import Store
from monitor.told_events import event

_MOST_SAVES, _LONGEST_S = 4, 0.02  # before a kill
_REVISIONS = 4


class File:
    """A sink that adds a line to a file for each event."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    def wants(self, event: Mapping[str, Any]) -> bool:
        return True

    def send(self, event: Mapping[str, Any], key: str) -> None:
        write(self._path, {"key": key, "words": event["words"]})

    def tend(self) -> None:
        pass

    def close(self) -> None:
        pass


def write(path: Path, content: object) -> None:
    """Add a line at once, so that a kill leaves it whole or not at all."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{json.dumps(content)}\n".encode())
    os.close(file)


def state_of(number: int, run: int) -> Event:
    """The events of the watcher, one state after the other; each run has words of its own."""
    one = event(number // _REVISIONS, revision=number % _REVISIONS)
    return replace(one, words=(f"run {run}", f"moment {time.time()}"))


def watch(folder: Path, run: int, saved: int) -> None:
    """Save events without end, and say so each time."""
    store = Store.open(folder / "watch.db")
    delivery = DeliveryThread(store, File(folder / "received"), SystemClock(), DeliveryConfig())
    delivery.start()
    number = store.states().get("watcher", {"next": 0})["next"]
    while True:
        state = state_of(number, run)
        number += 1
        store.save([state], {"watcher": {"next": number}}, ["file"])
        key = f"{state.id}:{state.revision}"
        write(folder / "saved", {"key": key, "words": list(state.words)})
        delivery.wake()
        os.write(saved, b"x")


def deliver_the_rest(folder: Path) -> None:
    """What the killed runs left."""
    store = Store.open(folder / "watch.db")
    delivery = DeliveryThread(store, File(folder / "received"), SystemClock(), DeliveryConfig())
    while store.waiting("file"):
        delivery.step()


def main(folder: Path, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    for run in range(kills):
        saved, tell = os.pipe()
        child = os.fork()
        if not child:
            watch(folder, run, tell)
        os.close(tell)
        for _ in range(moments.randint(0, _MOST_SAVES)):  # 0: perhaps while it opens the store
            os.read(saved, 1)
        time.sleep(moments.uniform(0, _LONGEST_S))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(saved)
    deliver_the_rest(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
