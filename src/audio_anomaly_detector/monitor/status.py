"""How a running watch is doing: a file that is written anew every few seconds."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from audio_anomaly_detector.errors import UserError
from audio_anomaly_detector.files import write_json

FILE = "status.json"
DAMAGED = "damaged"  # instead of a phase: what was learned cannot be read
# Seconds after which a status is too old: several of the times between two of them.
STALE_S = 30.0


@dataclass(frozen=True)
class SourceLine:
    """One source.

    Args:
        name: of the source.
        state: of its connection.
        heard_s: sound that came, s.
        lost_s: sound that is missing, also what came faster than it could be scored, s.
        restarts: connections after the first.
        age_s: since sound came last, s; None: it never came, or files are read.
        faults: what is wrong with it, a sentence each.
    """

    name: str
    state: str
    heard_s: float
    lost_s: float
    restarts: int
    age_s: float | None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class MachineLine:
    """One machine.

    Args:
        name: of the machine.
        source: that hears it.
        phase: of learning, or `DAMAGED`.
        state: the machine's, such as ``running``.
        model: version of the model that serves; None: none yet.
        height: last score above its threshold; None: not judged.
        reason: why the last window was not judged; None: it was.
        event: level of its open event; None: there is none.
        notes: what is to be known of it, a sentence each.
    """

    name: str
    source: str
    phase: str
    state: str
    model: int | None
    height: float | None
    reason: str | None = None
    event: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """The whole watch.

    Args:
        at: when this was so, s since 1970 UTC.
        started: when the watch was started.
        sources: by their names' order.
        machines: likewise.
        windows: scored since the start.
        unjudged: of these, not judged.
        delay_s: from the end of a window to its verdict, s: median and 95th percentile of late.
        events: new ones and those that grew worse since the start, by level.
        waiting: deliveries that wait, by sink.
        failures: deliveries that failed since the start, by sink.
        ended: the watch was ended in order.
    """

    at: float
    started: float
    sources: tuple[SourceLine, ...] = ()
    machines: tuple[MachineLine, ...] = ()
    windows: int = 0
    unjudged: int = 0
    delay_s: tuple[float, float] = (0.0, 0.0)
    events: dict[str, int] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    ended: bool = False

    def problems(self, now: float, held: bool) -> list[str]:
        """What is wrong with the watch itself, a sentence each; none: it is well.

        Args:
            now: s since 1970 UTC.
            held: a program uses the folder of the plant.
        """
        found = []
        if self.ended:
            found.append("the watch was ended; start 'aad watch' again")
        elif now - self.at > STALE_S and held:
            found.append(
                f"'aad watch' runs, but has written no status for {now - self.at:.0f} s: is the "
                "disk full, or the computer too busy? see its log"
            )
        elif now - self.at > STALE_S:
            found.append(f"no sign of life for {now - self.at:.0f} s: is 'aad watch' running?")
        for source in self.sources:
            found += [f"source {source.name}: {fault}" for fault in source.faults]
        found += [
            f"machine {machine.name}: is not watched: {machine.reason}"
            for machine in self.machines
            if machine.phase == DAMAGED
        ]
        found += [
            f"{count} notifications wait for {sink}"
            for sink, count in self.waiting.items()
            if count
        ]
        return found


def write_status(folder: Path, status: Status) -> None:
    """Write the status of a watch into its folder.

    Raises:
        UserError: the folder cannot be written.
    """
    write_json(folder / FILE, asdict(status))


def read_status(folder: Path) -> Status:
    """The status of the watch that uses a folder.

    Raises:
        UserError: there is none, or it is damaged.
    """
    file = folder / FILE
    try:
        facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        sources = tuple(
            SourceLine(**{**one, "faults": tuple(one["faults"])}) for one in facts.pop("sources")
        )
        machines = tuple(
            MachineLine(**{**one, "notes": tuple(one["notes"])}) for one in facts.pop("machines")
        )
        low, high = facts.pop("delay_s")
        return Status(**facts, sources=sources, machines=machines, delay_s=(low, high))
    except FileNotFoundError as error:
        raise UserError(f"{file}: there is no status; start 'aad watch' first") from error
    except OSError as error:
        raise UserError(
            f"{file}: cannot be read ({error.strerror}); be the user who started 'aad watch'"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file}: no status of this version; is 'aad watch' running?") from error
