"""What is wrong with a source of sound, as far as the source itself shows it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

FaultKind = Literal[
    "unreachable", "stale", "silence", "clipping", "dead channel", "rate", "loss", "unreadable"
]


@dataclass(frozen=True)
class SourceFaults:
    """The faults that a source has at present.

    Args:
        sentences: by kind, what is wrong and what to do, on one line, without passwords.
            ``unreachable``: it cannot be opened or broke off. ``stale``: it is open but brings
            nothing. ``silence``, ``dead channel``, ``clipping``: of its samples. ``rate``: it
            brings more or fewer samples a second than it should. ``loss``: much sound is lost.
            ``unreadable``: files or payloads are left out.
    """

    sentences: dict[FaultKind, str] = field(default_factory=dict)

    def __contains__(self, kind: str) -> bool:
        return kind in self.sentences

    def __iter__(self) -> Iterator[FaultKind]:
        return iter(self.sentences)

    def __bool__(self) -> bool:
        return bool(self.sentences)

    @property
    def kinds(self) -> frozenset[FaultKind]:
        """What is wrong, without the words."""
        return frozenset(self.sentences)
