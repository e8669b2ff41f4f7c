"""Carrying out what people say of events and ask of machines."""

import json
from collections.abc import Callable, Mapping
from typing import Literal

import soundfile

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.monitor.commands import Command
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.sound import Chunk, Window
from audio_anomaly_detector.monitor.store.clips import CONTENT, EventFolders
from audio_anomaly_detector.monitor.store.database import StoreError
from audio_anomaly_detector.monitor.store.store import Store
from audio_anomaly_detector.monitor.stream import StreamState, advance
from audio_anomaly_detector.monitor.watched_machine import WatchedMachine


def carry_out(
    command: Command,
    machines: Mapping[str, WatchedMachine],
    store: Store,
    folders: EventFolders,
    now: float,
) -> tuple[tuple[str, ...], list[Event]]:
    """Do what a command asks.

    Args:
        command: what to do.
        machines: by name.
        store: of the events; keeps what was said of them.
        folders: of their sound.
        now: s since 1970 UTC.

    Returns:
        what changed, a sentence each, and events that end by it.

    Raises:
        UserError: there is no such machine, event or version, or it cannot be done; nothing is
            changed then.
    """
    machine = machines.get(command.machine)
    if machine is None:
        raise UserError(
            f"there is no machine {command.machine!r}; there are: {', '.join(machines)}"
        )
    monitor = machine.monitor
    if command.verb == "undo":
        words = monitor.undo()
        return _listed(words, lambda: _list_undo(command.machine, store, now)), []
    if command.verb == "maintained":
        words = monitor.maintained()
        return words, machine.end_event(now, "the machine was maintained, and is learned anew")
    if command.verb == "version":
        return monitor.roll_back(command.version or 0), []
    event = _event(command, store)
    windows = event_windows(event, folders, monitor.window_seconds)
    if command.verb == "fault":
        words = monitor.fault(windows)
        return _listed(words, lambda: _list_feedback(command, event, store, now)), []
    words = monitor.normal(windows, try_only=command.try_only)
    if command.try_only:
        return words, []
    words = _listed(words, lambda: _list_feedback(command, event, store, now))
    ended = []
    if machine.tracker.event is not None and machine.tracker.event.id == event.id:
        ended = machine.end_event(now, "called normal by a person")
    return words, ended


def event_windows(event: Event, folders: EventFolders, seconds: float) -> list[Window]:
    """The windows of an event's sound, one after the other, from its start on.

    Raises:
        UserError: its sound was not kept, or is gone.
    """
    folder = None if event.folder is None else folders.folder / event.folder
    found = [] if folder is None else sorted(folder.glob("sound.*"))
    if folder is None or not found:
        raise UserError(f"the sound of the event {event.id} is not there any more")
    try:
        samples, rate = soundfile.read(found[0], dtype="float32", always_2d=True)
        at = float(json.loads((folder / CONTENT).read_text(encoding="utf-8"))["sound_at"])
    except (OSError, ValueError, KeyError, soundfile.LibsndfileError) as error:
        raise UserError(f"{found[0]}: the sound of the event is damaged") from error
    first = max(0, round((event.started - at) * rate))
    chunk = Chunk(samples.T[:, first:], rate, 0, at + first / rate)
    _, windows = advance(StreamState(), chunk, seconds, seconds)
    if not windows:
        raise UserError(f"the sound of the event {event.id} is too short to be judged")
    return windows


def _listed(words: tuple[str, ...], enter: Callable[[], None]) -> tuple[str, ...]:
    """Enter what was done into the list of feedback, and say so if that cannot be done.

    No error: whoever got one would ask again, and the same sound would count twice.
    """
    try:
        enter()
    except StoreError as error:
        return (*words, f"it is done, but is not in the list of feedback: {one_line(error)}")
    return words


def _list_feedback(command: Command, event: Event, store: Store, now: float) -> None:
    kind: Literal["normal", "fault"] = "fault" if command.verb == "fault" else "normal"
    store.add_feedback(command.machine, kind, now, event.id, command.note)


def _list_undo(machine: str, store: Store, now: float) -> None:
    """Mark the last event that was called normal."""
    for one in reversed(store.feedback(machine)):
        if one.kind == "normal" and one.undone is None:
            store.undo_feedback(one.id, now)
            break


def _event(command: Command, store: Store) -> Event:
    event = None if command.event is None else store.event(command.event)
    if event is None or event.subject != "machine" or event.name != command.machine:
        raise UserError(
            f"there is no event {command.event!r} of the machine {command.machine!r}; see "
            "'aad events'"
        )
    return event
