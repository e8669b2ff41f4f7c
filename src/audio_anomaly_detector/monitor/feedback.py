"""What people say of events: that it was normal, or a fault."""

import io
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import make_folder, unwritten, write_bytes
from audio_anomaly_detector.monitor.normals import name_of
from audio_anomaly_detector.monitor.verdict import MachineState
from audio_anomaly_detector.monitor.versions import Learned

# Windows of one event that join the normals, and events between two fits: together less than half
# as many as the windows that are kept by default, so that what was learned stays the larger part.
_MOST_WINDOWS, _MOST_EVENTS = 10, 10
_MOST_FAULTS = 200

Waveform = NDArray[np.float32]


class Heard(NamedTuple):
    """A window of an event.

    Attributes:
        at: when it was heard, s since 1970 UTC.
        state: by which it was judged.
        waveform: ``(C, T)`` at the rate of the detectors.
    """

    at: float
    state: MachineState
    waveform: Waveform


class Proposal(NamedTuple):
    """What would become of a machine's models.

    Attributes:
        learned: the changed version, not yet written.
        words: what changes, a sentence each.
    """

    learned: Learned
    words: tuple[str, ...]


def propose_normal(learned: Learned, heard: Sequence[Heard]) -> Proposal:
    """What it would change to call the sound of an event normal.

    The windows join the banks of normal sound; thresholds and calibration stay. On eight synthetic
    machines (tuning faults, 50 normals, a hum of 700 Hz that is new, 20 repeats of it) two windows
    left 45 of 105 repeats above the threshold and all 95 faults that were found before; the AUROC
    fell nowhere. `Detector.adapt`, which takes the sound for a whole recording condition, left none
    and 48 faults.

    Args:
        learned: the version in use.
        heard: windows of the event, in the order of time.

    Raises:
        UserError: there is no window that was judged, or too much was called normal already.
    """
    chosen = _apart([one for one in heard if one.state in learned.detectors], learned)
    if not chosen:
        raise UserError("the event has no sound that was judged; nothing is changed")
    earlier = learned.version.events
    if earlier >= _MOST_EVENTS:
        raise UserError(
            f"{earlier} events were called normal since the last fit, and more would hide faults; "
            "learn the machine anew"
        )
    detectors, words = dict(learned.detectors), []
    for state in sorted({one.state for one in chosen}):
        own = [one.waveform for one in chosen if one.state == state]
        before, after = detectors[state], detectors[state].with_normal_sound(own)
        detectors[state] = after
        words.append(_effect(state, before, after, own))
    words.append(
        "the first baseline stays as it is, and goes on to tell whether the machine drifts from it"
    )
    version = replace(
        learned.version,
        origin="feedback",
        words=tuple(words),
        before=learned.version.number,
        events=earlier + 1,
    )
    return Proposal(Learned(version, learned.states, detectors), tuple(words))


def keep_fault(folder: Path, sample_rate: int, heard: Sequence[Heard]) -> int:
    """Keep the windows of a fault, to be exported; of too many the oldest go.

    Returns:
        How many windows were kept.

    Raises:
        UserError: the folder cannot be written.
    """
    for one in heard:
        content = io.BytesIO()
        sf.write(content, one.waveform.T, sample_rate, "PCM_24", format="FLAC")
        write_bytes(folder / name_of(one.at), content.getbuffer())
    for path in sorted(folder.glob("*Z.flac"))[:-_MOST_FAULTS]:
        path.unlink(missing_ok=True)
    return len(heard)


def export(machine_folder: Path, out: Path) -> tuple[int, int]:
    """Copy what is known of a machine as a labelled data set, as `aad fit` and `evaluate` read it.

    Args:
        machine_folder: of the machine.
        out: gets the folders ``normal`` and ``abnormal``.

    Returns:
        How many normals and faulty windows were copied.

    Raises:
        UserError: it cannot be written.
    """
    counts = []
    for source, target in (("normals", "normal"), ("faults", "abnormal")):
        files = sorted((machine_folder / source).glob("*Z.flac"))
        make_folder(out / target)
        try:
            for path in files:
                shutil.copyfile(path, out / target / path.name)
        except OSError as error:
            raise unwritten(out / target, error) from error
        counts.append(len(files))
    return counts[0], counts[1]


def _effect(
    state: MachineState, before: Detector, after: Detector, waveforms: Sequence[Waveform]
) -> str:
    """What changes for sound like that of the event: each window with the others in the bank."""
    old = [score.score for score in before.score_waveforms(waveforms)]
    threshold = before.normal_scores.threshold(before.window_seconds, before.threshold_config)
    what = f"{state}: {len(waveforms)} window(s) join the normal sound"
    if len(waveforms) == 1:
        return (
            f"{what}; it scored {old[0]:.2f}, where above {threshold:.2f} is unusual, and sound "
            "scores the less the more it is like it"
        )
    new = []
    for number, waveform in enumerate(waveforms):
        others = [other for place, other in enumerate(waveforms) if place != number]
        new.append(before.with_normal_sound(others).score(waveform).score)
    return (
        f"{what}; such sound scores about {np.median(new):.2f} instead of {np.median(old):.2f} "
        f"(above {threshold:.2f} is unusual)"
    )


def _apart(heard: Sequence[Heard], learned: Learned) -> list[Heard]:
    """Windows that do not overlap, spread over the event."""
    seconds = next(iter(learned.detectors.values())).window_seconds
    chosen: list[Heard] = []
    for one in heard:
        if not chosen or one.at >= chosen[-1].at + seconds:
            chosen.append(one)
    if len(chosen) > _MOST_WINDOWS:
        places = np.linspace(0, len(chosen) - 1, _MOST_WINDOWS).round().astype(int)
        chosen = [chosen[place] for place in places]
    return chosen
