"""The store in PostgreSQL, on a server that this test starts."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from audio_anomaly_detector.monitor.store.database import VERSION_TABLE, StoreError
from audio_anomaly_detector.monitor.store.store import Store
from monitor.told_events import NOON, ended, event

pytestmark = pytest.mark.slow
_USER = "postgres"


def _program(name: str) -> str:
    found = shutil.which(name) or next(
        (str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None
    )
    if found is None:
        pytest.skip(f"PostgreSQL's {name} is not installed")
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a database on a server of its own."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    if sys.platform != "linux":
        pytest.skip("the server is started as on Linux")
    initdb, control = _program("initdb"), _program("pg_ctl")
    other: dict[str, str] = {"user": _USER} if os.geteuid() == 0 else {}  # it refuses root
    folder = Path(tempfile.mkdtemp())
    if other:
        shutil.chown(folder, _USER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data, log = folder / "data", folder / "log"
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
    try:
        for command in (
            [initdb, "-D", str(data), "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync"],
            [control, "-D", str(data), "-l", str(log), "-o", options, "-w", "start"],
        ):
            subprocess.run(
                command,
                check=True,
                stdout=subprocess.DEVNULL,
                timeout=120,
                **other,  # type: ignore[call-overload]
            )
        yield f"postgresql://{_USER}:hidden@127.0.0.1:{port}"
    finally:
        stop = [control, "-D", str(data), "-m", "immediate", "stop"]
        subprocess.run(stop, check=False, stdout=subprocess.DEVNULL, **other)  # type: ignore[call-overload]
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def address(server: str, request: pytest.FixtureRequest) -> str:
    """Of an empty database."""
    name = request.node.name.lower()[:60]
    engine = create_engine(
        server.replace("postgresql:", "postgresql+psycopg:") + "/postgres",
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return f"{server}/{name}"


def test_events_deliveries_and_states(address: str) -> None:
    store = Store.open(address)
    hostile = event(2, name='a\0"\udcff')
    store.save([event(1), hostile], {"a\0": {"n": float("nan")}}, ["mqtt", "webhook"])
    store.save([event(1), ended(event(1))], {"a\0": {"n": 1}}, ["mqtt"])
    store.close()
    store = Store.open(address)
    assert set(store.events()) == {ended(event(1)), hostile}
    assert store.events(name=hostile.name) == [hostile] == store.open_events()
    assert store.states() == {"a\0": {"n": 1}}
    due = store.due("mqtt", NOON, 10)
    assert [one.key for one in due] == ["event-1:0", "event-2:0", "event-1:1"]
    store.failed(due[0].id, "away", NOON, NOON + 60)
    assert store.due("mqtt", NOON + 1, 10) == [] and store.due("mqtt", NOON - 9, 10) != []
    store.delivered(due[0].id)
    assert store.drop_deliveries("mqtt", most=1, created_before=0) == 1
    assert store.waiting("mqtt") == 1 and store.drop_other_sinks(["mqtt"]) == 2
    one = store.add_silence("*", NOON, NOON + 9, "cleaning")
    assert [silence.id for silence in store.silences(NOON)] == [one]
    assert store.end_silence(one, NOON + 1)
    said = store.add_feedback("pump-3", "normal", NOON, "event-1", "x")
    assert store.undo_feedback(said, NOON + 1) and store.feedback()[0].undone == NOON + 1
    store.close()


def test_two_watchers_and_a_newer_version(address: str) -> None:
    store, other = Store.open(address), Store.open(address)
    held = pytest.raises(StoreError, match="another process watches")
    with store.hold(), held as raised, other.hold():
        pass
    assert "hidden" not in str(raised.value)
    with other.hold():
        pass
    with store._database.writing() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer version"):
        Store.open(address)
    store.close()
    other.close()


def test_a_database_that_others_use_too(address: str) -> None:
    engine = create_engine(address.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE birds (id INTEGER)"))
    Store.open(address).close()
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
    with pytest.raises(StoreError, match="tables of another program"):
        Store.open(address)
    engine.dispose()


def test_a_server_that_was_started_anew(address: str) -> None:
    store = Store.open(address)
    with pytest.raises(StoreError, match="terminat"), store._database.writing() as connection:
        # As a restart does to all connections.
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    store.save([event(1)], {}, ["mqtt"])
    assert store.waiting("mqtt") == 1
    store.close()
