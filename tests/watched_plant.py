"""A small plant to watch: one machine on a recording, with settings that fit in seconds."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.plant import read_plant
from audio_anomaly_detector.monitor.watch import Watch
from monitored_machines import SECONDS, SETTINGS, humming, knocking
from synthetic_data import SAMPLE_RATE

_SOUNDS = {"hum": humming, "knock": knocking}

PLANT = f"""
site: Hall 3
sources:
  recorder: {{file: FOLDER/pump.wav}}
machines:
  pump-3:
    source: recorder
    hop_seconds: {SECONDS}
    usable_minutes: {SETTINGS.usable_minutes}
    overrides: {json.dumps(list(SETTINGS.overrides))}
alerts: {{cooldown: 0, keep_firing: 60}}
sinks:
  - command: [tee, -a, FOLDER/sent.json]
"""


def write_recording(path: Path, kinds: Sequence[str], first_seed: int = 0) -> None:
    """Windows of these kinds one after the other; recorded an hour after an earlier file."""
    before = path.stat().st_mtime if path.exists() else 1_795_748_400.0
    pieces = [_SOUNDS[kind](first_seed + number) for number, kind in enumerate(kinds)]
    soundfile.write(path, np.concatenate(pieces, axis=1).T, SAMPLE_RATE, "PCM_24")
    end = before + 60 + SECONDS * len(kinds)
    os.utime(path, (end, end))


def watched_plant(folder: Path, kinds: Sequence[str], text: str | None = None) -> Path:
    """The file of a plant whose recording has these windows."""
    folder.mkdir(parents=True, exist_ok=True)
    write_recording(folder / "pump.wav", kinds)
    plant = folder / "plant.yaml"
    plant.write_text(text or PLANT.replace("FOLDER", str(folder)))
    return plant


def to_the_end(watching: Watch) -> None:
    """Watch until every source has ended."""
    with watching.running():
        while watching.step():
            pass


def run(plant: Path) -> list[Event]:
    """Watch a plant to the end of its recording; what was told."""
    text = plant.read_text()
    first = text.index("file: ") + len("file: ")
    old = text[first : text.index("/pump.wav")]
    plant.write_text(text.replace(old, str(plant.parent)))  # it may have been copied
    told: list[Event] = []
    watching = Watch(read_plant(plant), told.append)
    try:
        to_the_end(watching)
    finally:
        watching.close()
    return told


def learn(folder: Path) -> Path:
    """A folder with a plant whose machine was learned and then got a fault."""
    plant = watched_plant(folder, ["hum"] * 48 + ["knock"] * 12)
    told = run(plant)
    (folder / "told.json").write_text(json.dumps([event.to_dict() for event in told]))
    return folder
