"""What a data set holds, machine by machine, and everything that is wrong with it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from audio_anomaly_detector.data.audio import AudioConfig, examine_clip
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.content import content_hash
from audio_anomaly_detector.data.datasets import check_enough, cut_few_recordings, sound_seconds
from audio_anomaly_detector.data.headers import AudioInfo
from audio_anomaly_detector.data.layouts import find_clips, machines
from audio_anomaly_detector.data.names import NO_PATTERNS, Patterns
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.progress import SILENT, Progress


@dataclass(frozen=True)
class MachineSummary:
    """What was found of one machine.

    Args:
        condition: recording condition, such as `-6_dB_fan`.
        machine_type: such as `fan`.
        machine_id: such as `id_00`.
        train: clips that the layout gives to training; 0 where the layout has no split.
        test: clips that the layout gives to the test.
        normal: clips labelled normal.
        anomalous: clips labelled anomalous.
        unknown: clips without a label.
        unusable: clips that cannot be read; they are in the counts above, not in those below.
        seconds: sound in all, in s.
        sample_rates: clips by sample rate in Hz.
        channels: clips by number of channels.
    """

    condition: str
    machine_type: str
    machine_id: str
    train: int
    test: int
    normal: int
    anomalous: int
    unknown: int
    unusable: int
    seconds: float
    sample_rates: dict[int, int]
    channels: dict[int, int]


@dataclass(frozen=True)
class Inspection:
    """A data set as found; `dataclasses.asdict` makes it JSON."""

    root: str
    layout: str
    machines: list[MachineSummary]
    problems: list[str]
    reading: tuple[str, ...] = ()


def inspect(
    root: Path | str,
    layout: str = "auto",
    config: AudioConfig | None = None,
    progress: Progress = SILENT,
    patterns: Patterns = NO_PATTERNS,
) -> Inspection:
    """Decode every clip of a data set once, and sum up what is there and what is wrong.

    Args:
        root: folder, CSV manifest or audio file.
        layout: a name in `LAYOUTS`, or `auto`.
        config: how the clips would be read; the default if None.
        progress: receives the number of clips done.
        patterns: which names are normal and which anomalous.

    Returns:
        One summary per machine, and one line per problem.

    Raises:
        UserError: as `find_clips`.
    """
    config = config or AudioConfig()
    found = find_clips(root, layout, patterns)
    problems = [*found.problems, *filter(None, [found.question()])]
    summaries, done = [], 0
    for key, clips in machines(found.clips).items():
        infos: list[tuple[Clip, AudioInfo]] = []
        seconds = 0.0
        for clip in clips:
            try:
                reading = examine_clip(clip, config)
            except ClipError as error:
                problems.append(str(error))
            else:
                problems += [f"{clip.path}: {remark}" for remark in reading.remarks]
                infos.append((clip, reading.info))
                seconds += reading.waveform.shape[-1] / config.sample_rate
            done += 1
            progress.advance("reading clips", done, len(found.clips))
        summary = _summarise(key, clips, infos, seconds)
        problems += [f"{key}: {problem}" for problem in _machine_problems(summary, infos, config)]
        summaries.append(summary)
    return Inspection(str(found.root), found.layout, summaries, problems, found.reading)


def _summarise(
    key: MachineKey,
    clips: Sequence[Clip],
    infos: Sequence[tuple[Clip, AudioInfo]],
    seconds: float,
) -> MachineSummary:
    splits = Counter(clip.split for clip in clips)
    labels = Counter(clip.label for clip in clips)
    return MachineSummary(
        *key,
        train=splits["train"],
        test=splits["test"],
        normal=labels[0],
        anomalous=labels[1],
        unknown=labels[None],
        unusable=len(clips) - len(infos),
        seconds=seconds,
        sample_rates=dict(Counter(info.sample_rate for _, info in infos).most_common()),
        channels=dict(Counter(info.channels for _, info in infos).most_common()),
    )


def _machine_problems(
    summary: MachineSummary, infos: Sequence[tuple[Clip, AudioInfo]], config: AudioConfig
) -> list[str]:
    problems = []
    if len(summary.channels) > 1 and config.channels == "all":
        kinds = ", ".join(f"{n} with {channels}" for channels, n in summary.channels.items())
        problems.append(
            f"clips differ in their number of channels ({kinds}); "
            "leave out those that differ, or use --channels mean or --channels 0"
        )
    if len(summary.sample_rates) > 1:
        kinds = ", ".join(f"{n} at {rate} Hz" for rate, n in summary.sample_rates.items())
        problems.append(
            f"clips differ in sample rate ({kinds}); all are resampled, but the slower ones lack "
            "the highest frequencies and may stand out by that alone"
        )
    problems += _copies([clip for clip, _ in infos])
    normals = [clip for clip, _ in infos if clip.label == 0 and clip.split != "test"]
    normals = cut_few_recordings(normals, config)
    try:
        check_enough(normals, sound_seconds(normals))
    except UserError as error:
        problems.append(str(error))
    return problems


def _copies(clips: Sequence[Clip]) -> list[str]:
    """Name files with the same content: a training clip copied into the test inflates results."""
    contents: dict[str, list[str]] = defaultdict(list)
    for path, name in {clip.path: clip.name for clip in clips}.items():
        contents[content_hash(path)].append(name)
    return [
        f"{', '.join(names)} are copies of one recording; keep one of them"
        for names in contents.values()
        if len(names) > 1
    ]
