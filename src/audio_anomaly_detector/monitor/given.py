"""A model that was fitted elsewhere and is given to a watch: a version of its machine."""

import hashlib
from pathlib import Path

from audio_anomaly_detector.detector import Detector
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.loading import find_model
from audio_anomaly_detector.monitor.hearing import Format
from audio_anomaly_detector.monitor.running import States
from audio_anomaly_detector.monitor.versions import Version


def content_of(path: Path) -> str:
    """What tells the file of a model from another one: its SHA-256, in hexadecimal.

    Args:
        path: of a model file, or of a run folder that holds one.

    Raises:
        UserError: there is no such file, or a folder holds none or several.
    """
    file = find_model(path, "torch")
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(
            f"{file}: no such model file ({error.strerror}); 'aad fit' makes one, or remove `model`"
        ) from error


def description(path: Path, detector: Detector) -> str:
    """What was given, in words.

    Args:
        path: as the plant file names it.
        detector: that lies there.
    """
    origin, audio = detector.provenance, detector.config.audio
    machine, count = "/".join(filter(None, origin.machine)), len(origin.clips)
    return (
        f"given as {path}: {machine}, learned from {count} clip{'s' * (count != 1)} by "
        f"version {origin.version}; {detector.microphones} microphone(s) at {audio.sample_rate} "
        f"Hz, windows of {audio.window_seconds:g} s"
    )


def format_of(detector: Detector) -> Format | None:
    """What sound a model needs; None: it takes one channel or their mean, however many there are.

    Args:
        detector: with the settings that it was fitted with.
    """
    audio = detector.config.audio
    if audio.channels != "all":
        return None
    # Models of version 0.2.0 do not say what the files were like.
    rates = [kind.sample_rate for kind in detector.provenance.formats[:1]]
    return Format(min([audio.sample_rate, *rates]), detector.microphones)


def version_of(path: Path, detector: Detector, before: int | None, now: float) -> Version:
    """The version that a model becomes.

    A machine that is learned anew is fitted with the model's settings, but for what takes other
    machines or labelled clips.

    Args:
        path: as the plant file names it.
        detector: that lies there.
        before: number of the version in use.
        now: s since 1970 UTC.
    """
    config = detector.config.model_dump(mode="json")
    config["pool"], config["stages"]["oracle_epoch"] = "none", False
    instead = "" if before is None else f", in use instead of version {before}"
    return Version(
        number=0,
        made=now,
        origin="given",
        full=True,
        words=(description(path, detector) + instead,),
        states=States.always_running().to_plain(),
        models=(),
        before=before,
        config=config,
    )
