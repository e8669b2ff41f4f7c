"""The sound and the picture of events, kept while the sound is still there."""

import logging
from typing import NamedTuple

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.explaining.explanation import Explanation
from audio_anomaly_detector.explaining.picture import draw_explanation
from audio_anomaly_detector.monitor.event import Event
from audio_anomaly_detector.monitor.plant import Plant
from audio_anomaly_detector.monitor.sound import Chunk
from audio_anomaly_detector.monitor.store.clips import EventFolders
from audio_anomaly_detector.monitor.store.ring_buffer import RingBuffer
from audio_anomaly_detector.plotting.canvas import figure_png

log = logging.getLogger(__name__)


class _Awaited(NamedTuple):
    """The sound of an event that is not over yet.

    Attributes:
        event: as it was told.
        folder: of it.
        before_s: of sound before it was told.
    """

    event: Event
    folder: str
    before_s: float

    @property
    def moment(self) -> float:
        """When it was told, s since 1970 UTC."""
        return self.event.updated


class Evidence:
    """Keeps what events are told by; used by one thread.

    Args:
        folders: of the events.
        plant: says how much sound, and what becomes an event.

    Attributes:
        has_room: there is room on the disk for sound; pictures are small, and are always kept.
    """

    def __init__(self, folders: EventFolders, plant: Plant) -> None:
        self._folders, self._settings = folders, plant.clips
        self.has_room = True
        self._longest = plant.alerts.of + 1  # windows until an event is told
        self._kept_s = plant.clips.before_s + plant.clips.after_s
        self._rings: dict[str, RingBuffer] = {}
        self._awaited: dict[str, list[_Awaited]] = {}

    def keep_windows(self, seconds: float) -> None:
        """Keep enough of sources that are heard from now on for windows of this length."""
        around = self._settings.before_s + self._settings.after_s
        self._kept_s = max(self._kept_s, around + self._longest * seconds)

    def push(self, source: str, chunk: Chunk) -> None:
        """Take in the newest sound of a source, and write what was waiting for it."""
        ring = self._rings.setdefault(source, RingBuffer(self._kept_s))
        ring.push(chunk)
        due = [one for one in self._awaited.get(source, ()) if self._is_over(one, ring)]
        for one in due:
            self._awaited[source].remove(one)
            self._write_sound(one, ring)

    def keep(self, event: Event, source: str, explanation: Explanation) -> str | None:
        """Keep the picture now and the sound as soon as enough was heard after it.

        Returns:
            Name of the event's folder; None: nothing can be kept, which is logged.
        """
        try:
            folder = self._folders.make(event)
            title = f"{event.name}: {event.words[0]}" if event.words else event.name
            picture = figure_png(draw_explanation(explanation, title))
            self._folders.write(folder, picture=picture, content=event.to_dict())
        except UserError as error:
            log.error("%s", one_line(error))
            return None
        before = event.updated - event.started + self._settings.before_s
        self._awaited.setdefault(source, []).append(_Awaited(event, folder, before))
        return folder

    def close(self) -> None:
        """Write what there is of the sound that was waited for."""
        for source, awaited in self._awaited.items():
            for one in awaited:
                self._write_sound(one, self._rings[source])
        self._awaited.clear()

    def _is_over(self, one: _Awaited, ring: RingBuffer) -> bool:
        end = ring.end
        if end is None:
            return True
        # After a gap, or the clock being set back, nothing further belongs to it.
        return not one.moment <= end < one.moment + self._settings.after_s

    def _write_sound(self, one: _Awaited, ring: RingBuffer) -> None:
        if not self.has_room:
            log.warning("%s: its sound is not kept, as the disk is full", one.folder)
            return
        # The moment itself may be the end of what was heard.
        last = one.moment - 1e-3
        sound = ring.cut(last, one.before_s, self._settings.after_s)
        if sound is None:
            log.warning("%s: its sound is gone before it could be kept", one.folder)
            return
        try:
            content = {**one.event.to_dict(), "folder": one.folder, "sound_at": sound.at}
            self._folders.write(one.folder, sound=sound, content=content)
        except UserError as error:
            log.error("%s", one_line(error))
