"""From a folder and a machine id to the clips that train and test one detector."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from audio_anomaly_detector.data.audio import AudioConfig
from audio_anomaly_detector.data.clips import Clip, Split, split_clips
from audio_anomaly_detector.data.decoding import probe
from audio_anomaly_detector.data.groups import with_groups
from audio_anomaly_detector.data.layouts import find_clips, select_machine
from audio_anomaly_detector.errors import ClipError, UserError

MIN_TRAIN_CLIPS = 4
MIN_TRAIN_SECONDS = 40.0


class PreparedDatasets(NamedTuple):
    """Normal clips to train on, clips to test on, and how both are to be read."""

    train: list[Clip]
    test: list[Clip]
    config: AudioConfig


def prepare_datasets(
    base_folder: Path | str,
    target_id: str | None = None,
    length: int = 160_000,
    *,
    layout: str = "auto",
    seed: int = 0,
    channels: Literal["all", "mean"] | int = "all",
) -> PreparedDatasets:
    """Find the clips of one machine and split them.

    A machine with fewer than 4 recordings of normal sound is judged window by window: its long
    recordings, normal and anomalous alike, are cut before the split.

    Args:
        base_folder: a data set, or any folder of it that holds the machine.
        target_id: the machine id, such as `id_00`; may be left out if there is only one.
        length: samples of one analysis window at 16 kHz.
        layout: a name in `LAYOUTS`, or `auto`.
        seed: of the split.
        channels: `all`, `mean`, or the number of one channel.

    Returns:
        Training and test clips, and the audio configuration.

    Raises:
        UserError: if there is no such machine, or too little normal sound to train on, or names
            leave open which clips are normal.
    """
    config = AudioConfig(length=length, channels=channels)
    found = find_clips(base_folder, layout)
    clips = select_machine(found.clips, target_id)
    found.require_labels(clips)
    split = prepare_split(clips, config, seed)
    check_enough(split.train, sound_seconds(split.train))
    return PreparedDatasets(split.train, split.test, config)


def prepare_split(clips: Sequence[Clip], config: AudioConfig, seed: int) -> Split:
    """Training and test clips of one machine, few long recordings cut.

    Args:
        clips: of one machine.
        config: gives the length of a window, and which clips vary together.
        seed: of the split.

    Raises:
        UserError: as `with_groups` and `split_clips`.
    """
    grouped = with_groups(clips, config.group)
    return split_clips(cut_few_recordings(grouped, config), seed)


def cut_few_recordings(clips: Sequence[Clip], config: AudioConfig) -> list[Clip]:
    """Cut the recordings of a machine if too few are normal to train on as they are.

    Anomalous and test recordings are then cut too: scores are pooled over a clip, so clips of very
    different length could not be compared.
    """
    normals = sum(clip.label == 0 and clip.split != "test" for clip in clips)
    return cut_long_recordings(clips, config) if normals < MIN_TRAIN_CLIPS else list(clips)


def cut_long_recordings(clips: Sequence[Clip], config: AudioConfig) -> list[Clip]:
    """Cut every clip of two windows or more into consecutive clips of one window.

    What is left at the end of a recording, less than a window, is dropped.

    Args:
        clips: any clips; those that are cut already are left alone.
        config: gives the length of a window.

    Returns:
        The cuts, in place of the clips that they are parts of.
    """
    window = config.length / config.sample_rate
    cuts = []
    for clip in clips:
        seconds = _seconds(clip)
        # One sample more: the length may be a whole number of windows less a rounding error.
        count = int(seconds / window + 1 / config.length)
        if count < 2:
            cuts.append(clip)
        else:
            cuts += [clip.cut(clip.start + i * window, window) for i in range(count)]
    return cuts


def sound_seconds(clips: Sequence[Clip]) -> float:
    """Add up the seconds of sound that clips hold; those that cannot be read count nothing."""
    return sum(_seconds(clip) for clip in clips)


def check_enough(clips: Sequence[Clip], seconds: float, notes: Sequence[str] = ()) -> None:
    """Refuse to learn from too little normal sound.

    Args:
        clips: normal clips to train on, after long recordings have been cut.
        seconds: how much sound they hold in all.
        notes: why they are no more.

    Raises:
        UserError: below 4 clips or 40 s.
    """
    if len(clips) < MIN_TRAIN_CLIPS or seconds < MIN_TRAIN_SECONDS:
        where = f" of {clips[0].machine}" if clips else ""
        reasons = "".join(f"; {note}" for note in notes)
        raise UserError(
            f"too little normal sound{where} to learn from: {len(clips)} clip(s), {seconds:.0f} s; "
            f"record at least {MIN_TRAIN_CLIPS} clips and {MIN_TRAIN_SECONDS:.0f} s "
            f"(20 clips or more for a fine threshold), or one long recording{reasons}"
        )


def _seconds(clip: Clip) -> float:
    if clip.duration is not None:
        return clip.duration
    try:
        return max(0.0, probe(clip.path).seconds - clip.start)
    except ClipError:
        # Whoever reads the clip gets the same error, and reports it once.
        return 0.0
