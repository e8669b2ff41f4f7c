"""The normal sound of a machine on disk: pieces of different hours, as many as are allowed."""

import io
import re
import zlib
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from audio_anomaly_detector.data.clips import Clip, MachineKey
from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import write_bytes

# 2026-11-27T140510.25Z.flac: when the first sample was heard.
_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d)\d{4}\.\d\dZ\.flac")
_FORMAT = "%Y-%m-%dT%H%M%S"
# Groups of fewer hours tell nothing of others, and a fit then allows for so much that after ten
# minutes 2 of 32 faults (tuning kinds) of two synthetic machines at 6 dB were above the threshold;
# with pieces for groups 32 of them and 1 of 38 normals.
_LEAST_HOURS = 4
# Every so many pieces is held out from fits, to test the models.
_HELD_OUT = 6


class Normals:
    """Pieces of sound in a folder; the files are all that is known, so nothing can contradict them.

    Args:
        folder: created when the first piece is added.
        most: pieces that are kept; of more, the hour with most of them loses one.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder, self._most = folder, most
        found = folder.iterdir() if folder.is_dir() else ()
        self._names = sorted(path.name for path in found if _NAME.fullmatch(path.name))

    @property
    def names(self) -> list[str]:
        """Of all pieces, in the order of time."""
        return list(self._names)

    @property
    def hours(self) -> Counter[str]:
        """How many pieces there are of each hour (UTC)."""
        return Counter(hour_of(name) for name in self._names)

    def add(self, waveform: NDArray[np.float32], sample_rate: int, at: float) -> str:
        """Keep a piece.

        Args:
            waveform: ``(C, T)``; what exceeds full scale is cut off.
            sample_rate: Hz.
            at: when it was heard, s since 1970 UTC.

        Returns:
            Its name.

        Raises:
            UserError: it cannot be written.
        """
        name = name_of(at)
        content = io.BytesIO()
        sf.write(content, waveform.T, sample_rate, "PCM_24", format="FLAC")
        write_bytes(self.folder / name, content.getbuffer())
        self._names = sorted({*self._names, name})
        while len(self._names) > self._most:
            self.remove([self._surplus()])
        return name

    def remove(self, names: Collection[str]) -> None:
        """Delete pieces.

        Raises:
            UserError: one cannot be deleted.
        """
        for name in names:
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise UserError(
                    f"{self.folder / name}: cannot be deleted ({error.strerror}); allow this "
                    "program to write there"
                ) from error
        self._names = [name for name in self._names if name not in set(names)]

    def between(self, start: float, end: float) -> list[str]:
        """Names of the pieces that begin within a time, s since 1970 UTC."""
        return [name for name in self._names if start <= time_of(name) < end]

    def clips(self, machine: str, names: Collection[str]) -> list[Clip]:
        """Some of the pieces as clips: of enough hours those of an hour in one group.

        Of fewer hours the fit itself finds neighbours that are alike, see `with_neighbours`.
        """
        key = MachineKey("watch", machine, "")
        by_hour = len({hour_of(name) for name in names}) >= _LEAST_HOURS
        return [
            Clip(
                self.folder / name,
                name,
                0,
                key,
                group=f"hour={hour_of(name)}" if by_hour else "",
            )
            for name in sorted(names)
        ]

    def _surplus(self) -> str:
        """One of the hour with most pieces: the later of the two that lie closest together."""
        fullest = max(self.hours.items(), key=lambda item: item[1])[0]
        own = [name for name in self._names if hour_of(name) == fullest]
        times = np.array([time_of(name) for name in own])
        return own[int(np.argmin(np.diff(times))) + 1] if len(own) > 1 else own[0]


def name_of(at: float) -> str:
    """Name of the piece that was heard at a time, s since 1970 UTC."""
    hundredths = round(at * 100)
    moment = datetime.fromtimestamp(hundredths // 100, UTC)
    return f"{moment.strftime(_FORMAT)}.{hundredths % 100:02d}Z.flac"


def time_of(name: str) -> float:
    """When a piece was heard, s since 1970 UTC; see `name_of`."""
    whole, _, part = name.removesuffix("Z.flac").partition(".")
    return datetime.strptime(whole, _FORMAT).replace(tzinfo=UTC).timestamp() + int(part) / 100


def hour_of(name: str) -> str:
    """The hour (UTC) of a piece."""
    return name[:13]


def held_out(name: str) -> bool:
    """Whether a piece is kept from fits; always the same, whatever other pieces there are."""
    return zlib.crc32(name.encode()) % _HELD_OUT == 0
