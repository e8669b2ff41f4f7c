"""Decoded windows of many clips on disk, so that memory does not grow with their number.

A store is one `.npy` that is memory-mapped, and a small JSON file that is written last: without it,
or for other clips or another configuration, the store is built anew.
"""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from audio_anomaly_detector.data.audio import AudioConfig, examine_clip, to_windows, unforeseen
from audio_anomaly_detector.data.clips import Clip
from audio_anomaly_detector.data.decoding import probe
from audio_anomaly_detector.data.fingerprint import Words, fingerprint
from audio_anomaly_detector.data.kinds import AudioInfo
from audio_anomaly_detector.errors import ClipError, UserError
from audio_anomaly_detector.files import write_json
from audio_anomaly_detector.progress import SILENT, Progress
from audio_anomaly_detector.run_options import OnError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WindowStore:
    """Windows of clips, in order of the clips.

    Args:
        windows: read-only memory map ``(W, C, length)``, float32.
        clip_index: ``(W,)``, the position in `clips` that each window belongs to; -1: none.
        clips: the clips that could be read, in the order given.
        failures: one error for each clip that could not.
        seconds: length of each clip in `clips`.
        fingerprints: of each clip in `clips`, see `fingerprint`.
        infos: of each clip in `clips`, what its file is.
        clips_alike: over how many clips neighbours are alike, see `with_neighbours`.
    """

    windows: np.ndarray
    clip_index: np.ndarray
    clips: list[Clip]
    failures: list[ClipError]
    seconds: list[float]
    fingerprints: list[Words]
    infos: list[AudioInfo]
    clips_alike: int = 1


def build_store(
    clips: Sequence[Clip],
    config: AudioConfig,
    folder: Path,
    on_error: OnError = "stop",
    progress: Progress = SILENT,
    *,
    n_channels: int | None = None,
) -> WindowStore:
    """Decode clips into a store, or open the one that is there already.

    A finished store is used again if it was built from the same files (by name, size and time of
    change) with the same configuration, and no clip had failed.

    Args:
        clips: what to decode.
        config: how.
        folder: where the store lies; one store per folder, made if it is missing.
        on_error: `skip` collects the clips that cannot be used, `stop` raises the first.
        progress: receives the number of clips done.
        n_channels: channels that each clip must have, as after `config.channels`; None: as most of
            these clips have.

    Returns:
        The store.

    Raises:
        ClipError: with `stop`, for the first clip that cannot be used.
        UserError: if no clip can be used, or the folder cannot be written or is full.
    """
    key = _key(clips, config, n_channels)
    store = _open(clips, folder, key)
    if store is not None:
        return store
    is_given = n_channels is not None
    if n_channels is None and config.channels == "all":
        n_channels = _usual_channels(clips)
    # One name for every attempt: a killed run leaves gigabytes behind, which the next overwrites.
    part, finished = folder / "windows.npy.part", folder / "store.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        finished.unlink(missing_ok=True)
        try:
            with part.open("wb") as stream:
                writer = _Writer(stream, config, n_channels, is_given)
                for done, clip in enumerate(clips):
                    writer.add(clip, on_error)
                    progress.advance("reading clips", done + 1, len(clips))
                writer.finish()
            part.replace(folder / "windows.npy")
            _write_fingerprints(folder, writer.fingerprints)
        finally:
            part.unlink(missing_ok=True)
        if not writer.failures:
            content = {
                "key": key,
                "clip_index": writer.clip_index,
                "seconds": writer.seconds,
                "infos": writer.infos,
            }
            write_json(finished, content)
    except OSError as error:
        raise UserError(
            f"{folder}: decoded audio cannot be written ({error.strerror or error}); "
            "free some space or choose another folder"
        ) from error
    return WindowStore(
        windows=np.load(folder / "windows.npy", mmap_mode="r"),
        clip_index=np.array(writer.clip_index),
        clips=writer.clips,
        failures=writer.failures,
        seconds=writer.seconds,
        fingerprints=writer.fingerprints,
        infos=writer.infos,
    )


class _Writer:
    """Writes windows one clip after another behind a header that is filled in at the end."""

    def __init__(
        self, stream: BinaryIO, config: AudioConfig, n_channels: int | None, is_given: bool
    ) -> None:
        self.stream = stream
        self.config = config
        self.n_channels = n_channels
        self.of_detector = is_given
        self.clip_index: list[int] = []
        self.clips: list[Clip] = []
        self.failures: list[ClipError] = []
        self.seconds: list[float] = []
        self.fingerprints: list[Words] = []
        self.infos: list[AudioInfo] = []

    def add(self, clip: Clip, on_error: OnError) -> None:
        try:
            reading = examine_clip(clip, self.config)
            waveform = reading.waveform  # (C, T)
            self._check_channels(clip, len(waveform))
            windows = self._windows(clip, waveform)  # (W, C, length)
        except ClipError as error:
            if on_error == "stop":
                raise
            self.failures.append(error)
            return
        for remark in reading.remarks:
            log.warning("%s: %s", clip.path, remark)
        if not self.clips:
            self.n_channels = len(waveform)
            self._write_header()
        self.stream.write(np.ascontiguousarray(windows).data)
        self.clip_index += [len(self.clips)] * len(windows)
        self.clips.append(clip)
        self.seconds.append(waveform.shape[-1] / self.config.sample_rate)
        self.fingerprints.append(fingerprint(waveform, self.config.sample_rate))
        self.infos.append(reading.info)

    def finish(self) -> None:
        if not self.clips:
            first = f" (the first: {self.failures[0]})" if self.failures else ""
            raise UserError(f"none of {len(self.failures)} clips can be used{first}")
        self.stream.seek(0)
        self._write_header()

    def _windows(self, clip: Clip, waveform: np.ndarray) -> np.ndarray:
        try:
            return to_windows(waveform, self.config.length, self.config.window_slack)
        except MemoryError as error:
            raise unforeseen(clip.path, error) from error

    def _check_channels(self, clip: Clip, channels: int) -> None:
        if self.n_channels in (None, channels):
            return
        if self.of_detector:
            raise ClipError(
                clip.path,
                f"has {channels} channel(s), the detector was fitted on {self.n_channels}",
                "record it with the same microphones (--join-takes where each has a file of its "
                "own), or leave it out",
            )
        raise ClipError(
            clip.path,
            f"has {channels} channel(s) where {self.n_channels} are expected",
            "leave it out, or use --channels mean or --channels 0 for all",
        )

    def _write_header(self) -> None:
        # NumPy pads this header so that the first axis can grow in place.
        shape = (len(self.clip_index), self.n_channels, self.config.length)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self.stream, header)


def _key(clips: Sequence[Clip], config: AudioConfig, n_channels: int | None) -> str:
    """Hash everything that decides what a store holds."""
    entries = []
    for clip in clips:
        try:
            status = [file.stat() for file in clip.files]
            state = [number for one in status for number in (one.st_size, one.st_mtime_ns)]
        except OSError:
            state = []  # a missing file; it fails when it is read, and such a store is not kept
        entries.append([clip.name, *map(str, clip.files), clip.start, clip.duration, *state])
    content = json.dumps([config.model_dump(), n_channels, entries], allow_nan=False)
    return hashlib.sha256(content.encode()).hexdigest()


def _open(clips: Sequence[Clip], folder: Path, key: str) -> WindowStore | None:
    """Open a finished store if it is the one with this key."""
    try:
        finished = json.loads((folder / "store.json").read_text())
        if finished["key"] != key:
            return None
        windows = np.load(folder / "windows.npy", mmap_mode="r")
        fingerprints = _read_fingerprints(folder)
        seconds = finished["seconds"]
        infos = [AudioInfo(*info) for info in finished["infos"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none there, or not finished
    index = np.array(finished["clip_index"])
    return WindowStore(windows, index, list(clips), [], seconds, fingerprints, infos)


def _write_fingerprints(folder: Path, fingerprints: Sequence[Words]) -> None:
    lengths = np.array([len(words) for words in fingerprints])
    np.save(folder / "fingerprints.npy", np.concatenate([np.zeros(0, np.uint32), *fingerprints]))
    np.save(folder / "fingerprint_lengths.npy", lengths)


def _read_fingerprints(folder: Path) -> list[Words]:
    lengths = np.load(folder / "fingerprint_lengths.npy")
    words = np.load(folder / "fingerprints.npy")
    return np.split(words, np.cumsum(lengths)[:-1])


def _usual_channels(clips: Sequence[Clip]) -> int | None:
    """Count the channels that most of the readable files have."""
    counts = Counter[int]()
    for files in {clip.files: None for clip in clips}:
        try:
            counts[sum(probe(file).channels for file in files)] += 1
        except ClipError:
            continue  # reported when the clip is read
    return counts.most_common(1)[0][0] if counts else None
