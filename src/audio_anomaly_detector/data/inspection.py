"""What a data set holds, machine by machine, and everything that is wrong with it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from audio_anomaly_detector.data.audio import AudioConfig, examine_clip
from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.data.copies import Sorted, recorded_together, sort_out
from audio_anomaly_detector.data.datasets import check_enough, cut_few_recordings, sound_seconds
from audio_anomaly_detector.data.fingerprint import Words, find_matches, fingerprint
from audio_anomaly_detector.data.kinds import AudioInfo
from audio_anomaly_detector.data.layouts import Discovery, find_clips, machines
from audio_anomaly_detector.data.names import NO_PATTERNS, Patterns
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.progress import SILENT, Progress

_SHOWN = 5  # names or lines of one kind


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


@dataclass(frozen=True)
class Examination:
    """A data set that is being examined.

    Args:
        found: its clips.
        findings: summaries of machines and problems, a line each, as they come; each clip is
            decoded once, while they are taken.
    """

    found: Discovery
    findings: Iterator[MachineSummary | str]


def examine(
    root: Path | str,
    layout: str = "auto",
    config: AudioConfig | None = None,
    progress: Progress = SILENT,
    patterns: Patterns = NO_PATTERNS,
    takes: bool = False,
) -> Examination:
    """Decode every clip of a data set once, and say what is there and what is wrong, as it comes.

    Args:
        root: folder, CSV manifest or audio file.
        layout: a name in `LAYOUTS`, or `auto`.
        config: how the clips would be read; the default if None.
        progress: receives the number of clips done.
        patterns: which names are normal and which anomalous.
        takes: as in `find_clips`.

    Raises:
        UserError: as `find_clips`.
    """
    found = find_clips(root, layout, patterns, takes)
    return Examination(found, _findings(found, config or AudioConfig(), progress))


def inspect(
    root: Path | str,
    layout: str = "auto",
    config: AudioConfig | None = None,
    progress: Progress = SILENT,
    patterns: Patterns = NO_PATTERNS,
    takes: bool = False,
) -> Inspection:
    """All findings of `examine` together."""
    examination = examine(root, layout, config, progress, patterns, takes)
    findings = list(examination.findings)
    return Inspection(
        str(examination.found.root),
        examination.found.layout,
        [one for one in findings if isinstance(one, MachineSummary)],
        [one for one in findings if isinstance(one, str)],
        examination.found.reading,
    )


def _findings(
    found: Discovery, config: AudioConfig, progress: Progress
) -> Iterator[MachineSummary | str]:
    yield from found.problems
    yield from filter(None, [found.question()])
    done = 0
    for key, clips in machines(found.clips).items():
        read: list[_Read] = []
        for clip in clips:
            try:
                reading = examine_clip(clip, config)
            except ClipError as error:
                yield str(error)
            else:
                yield from (f"{clip.path}: {remark}" for remark in reading.remarks)
                seconds = reading.waveform.shape[-1] / config.sample_rate
                words = fingerprint(reading.waveform, config.sample_rate)
                read.append(_Read(clip, reading.info, seconds, words))
            done += 1
            progress.advance("reading clips", done, len(found.clips))
        summary = _summarise(key, clips, read)
        yield summary
        yield from (f"{key}: {problem}" for problem in _machine_problems(summary, read, config))


class _Read(NamedTuple):
    """What is kept of a clip that was read."""

    clip: Clip
    info: AudioInfo
    seconds: float
    words: Words


def _summarise(key: MachineKey, clips: Sequence[Clip], read: Sequence[_Read]) -> MachineSummary:
    splits = Counter(clip.split for clip in clips)
    labels = Counter(clip.label for clip in clips)
    return MachineSummary(
        *key,
        train=splits["train"],
        test=splits["test"],
        normal=labels[0],
        anomalous=labels[1],
        unknown=labels[None],
        unusable=len(clips) - len(read),
        seconds=sum(one.seconds for one in read),
        sample_rates=dict(Counter(one.info.sample_rate for one in read).most_common()),
        channels=dict(Counter(one.info.channels for one in read).most_common()),
    )


def _machine_problems(
    summary: MachineSummary, read: Sequence[_Read], config: AudioConfig
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
    clips = [one.clip for one in read]
    sorted_out = sort_out(find_matches([one.words for one in read]), [one.seconds for one in read])
    problems += _copies(clips, sorted_out)
    normals = [
        clip
        for place, clip in enumerate(clips)
        if clip.label == 0 and clip.split != "test" and place not in sorted_out.copies
    ]
    normals = cut_few_recordings(normals, config)
    try:
        check_enough(normals, sound_seconds(normals))
    except UserError as error:
        problems.append(str(error))
    return problems


def _copies(clips: Sequence[Clip], sorted_out: Sorted) -> list[str]:
    """Clips that repeat others, or share moments with them, a line for each original at most."""
    repeats: dict[int, list[Clip]] = {}
    for copy, original in sorted_out.copies.items():
        repeats.setdefault(original, []).append(clips[copy])
    lines = []
    for original, copies in repeats.items():
        first = clips[original]
        names = ", ".join(copy.name for copy in copies[:_SHOWN])
        more = f" and {len(copies) - _SHOWN} more" if len(copies) > _SHOWN else ""
        advice = "a fit uses the sound once; keep one of them"
        if any((copy.split, copy.label) != (first.split, first.label) for copy in copies):
            advice = "in another part of the data or under another label; leave out what is wrong"
        lines.append(f"{names}{more} repeat(s) the sound of {first.name}, {advice}")
    if len(lines) > _SHOWN:
        total = len(sorted_out.copies)
        lines[_SHOWN:] = [f"{total} clips in all repeat the sound of {len(repeats)} others"]
    for together in recorded_together(clips, sorted_out)[:_SHOWN]:
        known = len({clip.group or clip.name for clip in together}) == 1
        if not known and len({clip.path for clip in together}) > 1:
            names = ", ".join(clip.name for clip in together[:_SHOWN])
            lines.append(
                f"{len(together)} clips share moments (such as {names}): cuts that overlap, or "
                "microphones of one take (see --join-takes); a fit keeps them together"
            )
    return lines
