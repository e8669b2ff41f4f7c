"""Makes the database of a released version, `watch-NNNN.sql`: `python make_release.py NNNN`.

It is run once, when a version with a new revision of the tables is released.
"""

import sqlite3
import sys
import tempfile
from pathlib import Path

from audio_anomaly_detector.monitor.store.store import Store
from monitor.told_events import NOON, ended, event


def main(revision: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "watch.db"
        store = Store.open(file)
        store.save(
            [event(1), event(2, name='a "pump"\0'), ended(event(1))],
            {"tracker/pump-3": {"open": "event-2"}},
            ["mqtt"],
        )
        store.failed(store.due("mqtt", NOON, 1)[0].id, "away", NOON, NOON + 60)
        store.add_silence("*", NOON, NOON + 60, "cleaning")
        store.add_feedback("pump-3", "normal", NOON, event="event-1", note="a delivery")
        store.close()
        with sqlite3.connect(file) as connection:
            script = "\n".join(connection.iterdump())
    (Path(__file__).parent / f"watch-{revision}.sql").write_text(f"{script}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
