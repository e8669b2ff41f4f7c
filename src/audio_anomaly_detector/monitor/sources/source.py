"""What a source of sound is."""

from typing import NamedTuple, Protocol

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.monitor.sound import Samples


class SourceError(UserError):
    """A source cannot be opened or broke off; its text says why and what to do, in one line."""


class Received(NamedTuple):
    """What one read of a source brings.

    Attributes:
        samples: ``(C, T)``, full scale ±1; T may be 0.
        lost: samples that are known to have been lost before these, such as by an overflow.
        at: when the first sample was recorded, s since 1970 UTC; None: now, a live source.
        starts: they do not follow what came before: the start of another file.
        problem: what was left out before these, and why, in one line: a damaged file or payload.
    """

    samples: Samples
    lost: int = 0
    at: float | None = None
    starts: bool = False
    problem: str = ""


class Connection(Protocol):
    """An open source.

    Attributes:
        sample_rate: Hz, of what `read` returned last; of what it will return before.
        channels: likewise.
    """

    sample_rate: int
    channels: int

    def read(self) -> Received | None:
        """Wait for sound; None: the source has ended for good.

        Raises:
            SourceError: it broke off; connecting again may help.
        """

    def close(self) -> None:
        """Release everything, from any thread and more than once.

        A `read` that waits then returns None or raises.
        """


class Source(Protocol):
    """Where sound comes from.

    Attributes:
        live: it brings sound as time passes, so that its age and its rate are watched; files and
            folders do not.
    """

    live: bool

    def open(self) -> Connection:
        """Connect.

        Raises:
            SourceError: it cannot be reached or is no sound.
        """
