"""Databases of every released version are brought up to date, those of newer ones refused."""

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from audio_anomaly_detector.monitor.store import database, migrations
from audio_anomaly_detector.monitor.store.database import VERSION_TABLE, StoreError
from audio_anomaly_detector.monitor.store.store import Store
from audio_anomaly_detector.monitor.store.tables import metadata
from monitor.told_events import NOON, ended, event

RELEASED = sorted(Path(__file__).parent.glob("watch-*.sql"))


def _revisions() -> list[str]:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]


def test_every_revision_has_a_database_that_it_made() -> None:
    assert [file.stem.removeprefix("watch-") for file in RELEASED] == sorted(_revisions())


@pytest.mark.parametrize("script", RELEASED, ids=lambda script: script.stem)
def test_a_released_database_is_read(script: Path, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "watch.db") as old:
        old.executescript(script.read_text(encoding="utf-8"))
    store = Store.open(tmp_path / "watch.db")
    assert set(store.events()) == {ended(event(1)), event(2, name='a "pump"\0')}
    due = store.due("mqtt", NOON + 60, 10)
    assert [(one.key, one.attempts) for one in due] == [
        ("event-1:0", 1),
        ("event-2:0", 0),
        ("event-1:1", 0),
    ]
    assert store.states() == {"tracker/pump-3": {"open": "event-2"}}
    assert [one.reason for one in store.silences(NOON)] == ["cleaning"]
    assert [one.note for one in store.feedback()] == ["a delivery"]
    # Ids are never used again.
    store.delivered(due[-1].id)
    store.save([event(3)], {}, ["mqtt"])
    assert store.due("mqtt", NOON + 60, 10)[-1].id > due[-1].id


def test_the_migrations_make_the_tables_of_the_program(tmp_path: Path) -> None:
    Store.open(tmp_path / "watch.db").close()
    with create_engine(f"sqlite:///{tmp_path / 'watch.db'}").connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_a_database_of_a_newer_version(tmp_path: Path) -> None:
    file = tmp_path / "watch.db"
    Store.open(file).close()
    with sqlite3.connect(file) as newer:
        newer.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    before = file.read_bytes()
    with pytest.raises(StoreError, match="a newer version of this program; install that version"):
        Store.open(file)
    assert file.read_bytes() == before


def test_a_migration_that_is_broken_off_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = database.command.upgrade

    def broken_off(config: Config, revision: str) -> None:
        upgrade(config, revision)
        raise KeyboardInterrupt

    monkeypatch.setattr(database.command, "upgrade", broken_off)
    with pytest.raises(KeyboardInterrupt):
        Store.open(tmp_path / "watch.db")
    with sqlite3.connect(tmp_path / "watch.db") as left:
        assert left.execute("SELECT name FROM sqlite_master").fetchall() == []
    monkeypatch.undo()
    assert Store.open(tmp_path / "watch.db").events() == []
