"""What must survive: events, what is still to be delivered, states, silences, feedback."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Self

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.store.database import Database
from audio_anomaly_detector.monitor.store.records import Delivery, Feedback, Silence, event_of
from audio_anomaly_detector.monitor.store.tables import events, feedback, outbox, silences, states


class Store:
    """The store of a site; all times in s since 1970 UTC; any thread may use it.

    Every method raises `StoreError` where the database cannot be read or written; then nothing of
    the call was done.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url: str | Path) -> Self:
        """Open a store; it is made if it is missing, and migrated if it is older.

        Args:
            url: a path (SQLite) or a URL such as ``postgresql://user:password@host/name``.

        Raises:
            StoreError: it cannot be opened, is of a newer version, read-only, damaged, or of
                another program.
        """
        return cls(Database(url))

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep other processes from watching with this store; they may still use it.

        Raises:
            StoreError: another one does.
        """
        with self._database.hold():
            yield

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    def save(
        self,
        changed: Sequence[Event],
        new_states: Mapping[str, dict[str, Any]],
        sinks: Sequence[str],
        silent: Sequence[Event] = (),
    ) -> None:
        """Save events, what must be delivered of them and states, together or not at all.

        An event whose revision the store has already is not saved again, so that a key never
        stands for two contents.

        Args:
            changed: events in their new states, in the order in which they shall arrive.
            new_states: plain data by key; keys that are not named stay as they are.
            sinks: names of those that shall get the events.
            silent: events of which nobody is told.
        """
        with self._database.writing() as connection:
            for event in changed:
                if _is_newer(connection, event):
                    _put_event(connection, event)
                    _put_deliveries(connection, event, sinks)
            # Last, as a silent revision must not pass for one that was told before it.
            for event in silent:
                if _is_newer(connection, event):
                    _put_event(connection, event)
            for key, state in new_states.items():
                _put_state(connection, key, state)

    def states(self) -> dict[str, dict[str, Any]]:
        """The states that were saved, by key."""
        with self._database.reading() as connection:
            rows = connection.execute(select(states.c.key, states.c.state))
            return {row.key: row.state for row in rows}

    def events(
        self,
        name: str | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """Events, the newest first.

        Args:
            name: of the machine or source; None: of all.
            since: only events that started then or later.
            until: only events that started before.
            limit: how many at most.
        """
        query = select(events).order_by(events.c.started.desc(), events.c.id).limit(limit)
        if name is not None:
            query = query.where(events.c.name == name)
        if since is not None:
            query = query.where(events.c.started >= since)
        if until is not None:
            query = query.where(events.c.started < until)
        with self._database.reading() as connection:
            return [event_of(row) for row in connection.execute(query)]

    def event(self, identity: str) -> Event | None:
        """The event with this id, in its newest state."""
        with self._database.reading() as connection:
            row = connection.execute(select(events).where(events.c.id == identity)).first()
        return None if row is None else event_of(row)

    def open_events(self) -> list[Event]:
        """The events that have not ended, the oldest first."""
        query = select(events).where(events.c.ended.is_(None))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(events.c.started, events.c.id))
            return [event_of(row) for row in rows]

    def remove_events(self, ended_before: float) -> int:
        """Delete events that are long over, and return how many."""
        with self._database.writing() as connection:
            return connection.execute(delete(events).where(events.c.ended < ended_before)).rowcount

    def folders(self) -> dict[str, bool]:
        """The folders that events refer to, and whether the event is still open."""
        query = select(events.c.folder, events.c.ended).where(events.c.folder.is_not(None))
        with self._database.reading() as connection:
            return {row.folder: row.ended is None for row in connection.execute(query)}

    def forget_folders(self, names: Sequence[str]) -> None:
        """Let no event refer to these folders any more."""
        with self._database.writing() as connection:
            for name in names:
                query = update(events).where(events.c.folder == name)
                connection.execute(query.values(folder=None))

    def due(self, sink: str, now: float, limit: int) -> list[Delivery]:
        """What shall be sent to a sink now, in order; none while its first waits for a retry.

        Args:
            sink: its name.
            now: s since 1970 UTC. A retry is also due when the clock was set back to before the
                failure, as it would otherwise come late by that much.
            limit: how many at most.
        """
        query = select(outbox).where(outbox.c.sink == sink).order_by(outbox.c.id).limit(limit)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        if rows and rows[0].retry_at is not None and rows[0].failed_at <= now < rows[0].retry_at:
            return []
        return [Delivery(row.id, row.key, row.event, row.attempts) for row in rows]

    def delivered(self, delivery: int) -> None:
        """Note that a delivery arrived."""
        with self._database.writing() as connection:
            connection.execute(delete(outbox).where(outbox.c.id == delivery))

    def failed(self, delivery: int, error: str, now: float, retry_at: float) -> None:
        """Note that a delivery did not arrive, why, and when to try again."""
        change = {
            "attempts": outbox.c.attempts + 1,
            "error": error,
            "failed_at": now,
            "retry_at": retry_at,
        }
        with self._database.writing() as connection:
            connection.execute(update(outbox).where(outbox.c.id == delivery).values(change))

    def waiting(self, sink: str) -> int:
        """How many deliveries a sink has still to get."""
        query = select(func.count()).select_from(outbox).where(outbox.c.sink == sink)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()

    def drop_deliveries(self, sink: str, most: int, created_before: float) -> int:
        """Give up the oldest deliveries of a sink that has been away for long.

        Args:
            sink: its name.
            most: how many may wait.
            created_before: older ones are given up.

        Returns:
            how many were given up.
        """
        mine = outbox.c.sink == sink
        newest = select(outbox.c.id).where(mine).order_by(outbox.c.id.desc())
        with self._database.writing() as connection:
            first_too_many = connection.execute(newest.offset(most).limit(1)).scalar()
            given_up = outbox.c.created < created_before
            if first_too_many is not None:
                given_up = or_(given_up, outbox.c.id <= first_too_many)
            return connection.execute(delete(outbox).where(mine, given_up)).rowcount

    def drop_other_sinks(self, sinks: Sequence[str]) -> int:
        """Give up what waits for sinks that are not configured any more; returns how many."""
        with self._database.writing() as connection:
            return connection.execute(delete(outbox).where(outbox.c.sink.not_in(sinks))).rowcount

    def add_silence(self, name: str, now: float, until: float, reason: str = "") -> int:
        """Tell nothing of a machine or source until then; returns the id of the silence.

        Args:
            name: of the machine or source; ``*``: of all.
            now: when it begins.
            until: when it ends.
            reason: in words.
        """
        row = {"name": name, "since": now, "until": until, "reason": reason}
        return self._add(insert(silences).values(row).returning(silences.c.id))

    def silences(self, now: float) -> list[Silence]:
        """The silences that last."""
        query = select(silences).where(silences.c.until > now).order_by(silences.c.id)
        with self._database.reading() as connection:
            return [Silence(*row) for row in connection.execute(query)]

    def end_silence(self, silence: int, now: float) -> bool:
        """End a silence early; returns whether it lasted."""
        lasting = and_(silences.c.id == silence, silences.c.until > now)
        with self._database.writing() as connection:
            query = update(silences).where(lasting).values(until=now)
            return connection.execute(query).rowcount > 0

    def add_feedback(
        self,
        name: str,
        kind: Literal["normal", "fault"],
        now: float,
        event: str | None = None,
        note: str = "",
    ) -> int:
        """Keep what a person said, see `Feedback`; returns its id."""
        row = {"at": now, "name": name, "event": event, "kind": kind, "note": note}
        return self._add(insert(feedback).values(row).returning(feedback.c.id))

    def feedback(self, name: str | None = None) -> list[Feedback]:
        """What was said of a machine, or of all, the oldest first; also what was taken back."""
        query = select(feedback).order_by(feedback.c.id)
        if name is not None:
            query = query.where(feedback.c.name == name)
        with self._database.reading() as connection:
            return [Feedback(*row) for row in connection.execute(query)]

    def undo_feedback(self, identity: int, now: float) -> bool:
        """Note that feedback was taken back; returns whether it held."""
        holds = and_(feedback.c.id == identity, feedback.c.undone.is_(None))
        with self._database.writing() as connection:
            return connection.execute(update(feedback).where(holds).values(undone=now)).rowcount > 0

    def _add(self, query: Any) -> int:
        with self._database.writing() as connection:
            return int(connection.execute(query).scalar_one())


def _is_newer(connection: Connection, event: Event) -> bool:
    saved = connection.execute(select(events.c.revision).where(events.c.id == event.id)).scalar()
    return saved is None or event.revision > saved


def _put_event(connection: Connection, event: Event) -> None:
    row = asdict(event)
    changed = connection.execute(update(events).where(events.c.id == event.id).values(row))
    if not changed.rowcount:
        connection.execute(insert(events).values(row))


def _put_deliveries(connection: Connection, event: Event, sinks: Sequence[str]) -> None:
    common = {
        "key": f"{event.id}:{event.revision}",
        "event": event.to_dict(),
        "created": event.updated,
        "attempts": 0,
    }
    if sinks:
        connection.execute(insert(outbox), [{"sink": sink, **common} for sink in sinks])


def _put_state(connection: Connection, key: str, state: dict[str, Any]) -> None:
    changed = connection.execute(update(states).where(states.c.key == key).values(state=state))
    if not changed.rowcount:
        connection.execute(insert(states).values(key=key, state=state))
