"""What the recordings of a machine were like as files, and what is unlike them.

A clip of a lower sample rate lacks a band that the normals have: it is never called anomalous for
that. One coded with loss, or of other channels, differs by that alone, nobody can say by how much:
its verdict stands, with a remark.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from audio_anomaly_detector.data.kinds import AudioInfo

# What users call a codec that has another name in the file.
_KNOWN_AS = {"MPEG_LAYER_III": "MP3"}
_LOSSLESS = ("PCM", "FLOAT", "DOUBLE", "ALAC", "FLAC")


class RecordingFormat(NamedTuple):
    """Clips that are alike as files.

    Attributes:
        sample_rate: of the files, Hz.
        channels: of the files.
        subtype: sample format or codec.
        clips: how many there are.
    """

    sample_rate: int
    channels: int
    subtype: str
    clips: int

    @property
    def is_lossy(self) -> bool:
        """Whether the codec leaves something out."""
        return not self.subtype.upper().startswith(_LOSSLESS)


def recording_formats(infos: Iterable[AudioInfo]) -> list[RecordingFormat]:
    """The formats of clips, the most frequent first."""
    return _most_frequent(
        Counter((info.sample_rate, info.channels, info.subtype) for info in infos)
    )


def joined_formats(
    first: Sequence[RecordingFormat], second: Sequence[RecordingFormat]
) -> list[RecordingFormat]:
    """The formats of clips of two kinds of normals; of unknown ones nothing is known."""
    counts = Counter[tuple[int, int, str]]()
    for kind in (*first, *second):
        counts[kind[:3]] += kind.clips
    return _most_frequent(counts) if first else []


def _most_frequent(counts: Counter[tuple[int, int, str]]) -> list[RecordingFormat]:
    """Formats from how many clips each sample rate, number of channels and subtype has."""
    return [RecordingFormat(*kind, clips) for kind, clips in counts.most_common()]


def mixed_notes(formats: Sequence[RecordingFormat], sample_rate: int) -> list[str]:
    """What differs among the normal clips, a sentence each.

    Args:
        formats: of the normal clips.
        sample_rate: that they are brought to, Hz.
    """
    notes = []
    # Above the common rate all are resampled to, files have the same band.
    rates = Counter[int]()
    coded = Counter[str]()
    channels = Counter[int]()
    for kind in formats:
        rates[min(kind.sample_rate, sample_rate)] += kind.clips
        coded["coded with loss" if kind.is_lossy else "without loss"] += kind.clips
        channels[kind.channels] += kind.clips
    if len(rates) > 1:
        notes.append(
            f"normal clips differ in sample rate ({_counts(rates, ' Hz')}): the slower ones lack "
            "the highest frequencies, so that faults there are harder to find; record all alike"
        )
    if len(coded) > 1:
        notes.append(
            f"normal clips differ in coding ({_counts(coded, '')}): coding with loss changes what "
            "is heard, so that faults are harder to find; record all alike"
        )
    if len(channels) > 1:
        notes.append(
            f"normal clips differ in channels ({_counts(channels, ' channel(s)')}), of which one "
            "or the mean was taken; record all alike"
        )
    return notes


def unlike_normals(
    info: AudioInfo, formats: Sequence[RecordingFormat], sample_rate: int
) -> list[str]:
    """How a recording differs as a file from the normal clips, a sentence each.

    Args:
        info: of the recording.
        formats: of the normal clips; empty if nobody knows, as in models of version 0.2.0.
        sample_rate: that recordings are brought to, Hz.
    """
    remarks = []
    if lacks_a_band(info, formats, sample_rate):
        usual = min(kind.sample_rate for kind in formats) if formats else sample_rate
        remarks.append(
            f"recorded at {info.sample_rate} Hz, the normal clips at {usual} Hz: it lacks what is "
            f"above {info.sample_rate / 2:g} Hz, so that it cannot be called anomalous; record it "
            "like them"
        )
    remarks += coded_otherwise(info, formats)
    if formats and all(kind.channels != info.channels for kind in formats):
        remarks.append(
            f"has {info.channels} channel(s), the normal clips {formats[0].channels}: the one or "
            "the mean that is taken may differ by that alone"
        )
    return remarks


def coded_otherwise(info: AudioInfo, formats: Sequence[RecordingFormat]) -> list[str]:
    """That a recording is coded with loss and the normal clips are not, or the reverse.

    Args:
        info: of the recording.
        formats: as for `unlike_normals`.
    """
    this = RecordingFormat(info.sample_rate, info.channels, info.subtype, 1)
    if not formats or any(kind.is_lossy == this.is_lossy for kind in formats):
        return []
    codec = _KNOWN_AS.get(info.subtype, info.subtype)
    coded = f"coded with loss ({codec})" if this.is_lossy else "not coded with loss"
    others = "are" if formats[0].is_lossy else "are not"
    return [f"{coded}, the normal clips {others}: it may seem anomalous by that alone"]


def lacks_a_band(info: AudioInfo, formats: Sequence[RecordingFormat], sample_rate: int) -> bool:
    """Whether a recording holds less of the frequencies than every normal clip.

    Args:
        info: of the recording.
        formats: as for `unlike_normals`.
        sample_rate: likewise.
    """
    return info.sample_rate < min([sample_rate, *(kind.sample_rate for kind in formats)])


def _counts(counts: Counter[int] | Counter[str], unit: str) -> str:
    return ", ".join(f"{clips} {kind}{unit}" for kind, clips in counts.most_common())
