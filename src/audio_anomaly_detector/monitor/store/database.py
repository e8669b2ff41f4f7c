"""The database under the store: how it is opened, brought up to date, and what can go wrong."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from audio_anomaly_detector.errors import UserError, one_line
from audio_anomaly_detector.files import make_folder
from audio_anomaly_detector.monitor.store.tables import metadata

VERSION_TABLE = "monitor_version"
# Other processes, such as a command that adds a silence, write for milliseconds.
_BUSY_S = 10.0
_LARGEST_JOURNAL = 16 * 2**20  # bytes; what a burst of writes leaves behind
# PostgreSQL: one number each for migrations and for the watcher of a database, of no meaning.
_MIGRATING, _WATCHING = 4_706_221, 4_706_222
_MAKE_ROOM = "free some space: what could not be saved is saved then"
# Beginnings of SQLite's names of errors, and what to say.
_SQLITE_REMEDIES = {
    "SQLITE_FULL": ("the disk is full", _MAKE_ROOM),
    "SQLITE_READONLY": ("is read-only", "make the file and its folder writable"),
    "SQLITE_CANTOPEN": ("cannot be opened", "check that its folder exists and is writable"),
    "SQLITE_BUSY": ("another program keeps it locked", "end that program"),
    "SQLITE_NOTADB": ("is no database", "name another file for the store"),
    "SQLITE_CORRUPT": ("is damaged", "move it away; a new one is made"),
    "SQLITE_IOERR": ("cannot be read or written", "check the disk and its free space"),
}


class StoreError(UserError):
    """The store cannot be used at present; its text says why and what to do, in one line."""


class Database:
    """Connections to a database of the newest version; any thread may use it.

    Args:
        url: a path (SQLite) or a URL such as ``postgresql://user:password@host/name``.

    Raises:
        StoreError: it cannot be opened, is of a newer version, read-only, damaged, or of others.
    """

    def __init__(self, url: str | Path) -> None:
        address = database_address(url)
        self.file = Path(address.database or "") if _is_sqlite(address) else None
        # Passwords are not shown.
        self.name = str(self.file) if self.file else address.render_as_string()
        self._lock = threading.Lock()
        if self.file is not None:
            make_folder(self.file.parent)
        self._engine = _engine(address, self.name)
        try:
            with self.writing() as connection:
                self._check(connection)
                _bring_up_to_date(connection, self.name)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the database.

        Raises:
            StoreError: it cannot be read.
        """
        with _named_errors(self.name), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection whose changes are committed together, or not at all.

        Raises:
            StoreError: it cannot be written.
        """
        with self._lock, _named_errors(self.name), self._engine.connect() as connection:
            connection.execution_options(writes=True)
            with connection.begin():
                yield connection

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep other processes from holding it, too.

        Raises:
            StoreError: another one holds it.
        """
        held = StoreError(
            f"{self.name}: another process watches with this store; end it, or name another store"
        )
        if self.file is not None:
            from filelock import FileLock, Timeout  # noqa: PLC0415 - only the watcher holds it

            lock = FileLock(f"{self.file}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise held from None
            except OSError as error:
                reason = error.strerror or error
                raise StoreError(
                    f"{self.name}: cannot be locked ({reason}); make its folder writable"
                ) from error
            try:
                yield
            finally:
                lock.release()
            return
        # Of a connection of its own: the server releases it when that ends, however that comes.
        with _named_errors(self.name), self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()
            got = text(f"SELECT pg_try_advisory_lock({_WATCHING})")
            if not connection.execute(got).scalar_one():
                raise held
            yield

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._engine.dispose()

    def _check(self, connection: Connection) -> None:
        if self.file is None:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATING})"))
            return
        found = connection.execute(text("PRAGMA quick_check(1)")).scalar_one()
        if found != "ok":
            raise StoreError(
                f"{self.name}: is damaged ({one_line(found)}); move it away; a new one is made"
            )


def database_address(url: str | Path) -> URL:
    """The address that a path (SQLite) or a URL stands for.

    Raises:
        StoreError: there is no such kind of database.
    """
    if isinstance(url, Path) or "://" not in url:
        return URL.create("sqlite", database=str(url))
    known = "a path, sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"
    try:
        address = make_url(url)
    except (ArgumentError, ValueError) as error:  # its text would show a password
        raise StoreError(f"the address of the store cannot be read; give {known}") from error
    backend = address.get_backend_name()
    if backend == "sqlite" and address.database:
        return address
    if backend in ("postgresql", "postgres"):
        return address.set(drivername="postgresql+psycopg")
    raise StoreError(f"a store of the kind {one_line(backend)!r} is not known; give {known}")


def _is_sqlite(address: URL) -> bool:
    return address.get_backend_name() == "sqlite"


def _engine(address: URL, name: str) -> Engine:
    try:
        if not _is_sqlite(address):
            return create_engine(address, pool_pre_ping=True)
        engine = create_engine(address, connect_args={"timeout": _BUSY_S, "isolation_level": None})
    except (ImportError, NoSuchModuleError) as error:
        raise StoreError(
            f"{name}: needs a library that is not installed; pip install 'psycopg[binary]'"
        ) from error

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _: object) -> None:
        # In WAL mode readers and the one writer do not wait for each other. FULL: what was
        # committed outlasts a power cut. A shared folder on the network cannot do WAL.
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise StoreError(
                f"{name}: its file system cannot hold the store; name a file on a local disk"
            )
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={_LARGEST_JOURNAL}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer that begins as a reader could fail in its middle, when it needs the lock.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _bring_up_to_date(connection: Connection, name: str) -> None:
    config = Config()
    location = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", location.replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_table"] = VERSION_TABLE
    scripts = ScriptDirectory.from_config(config)
    migrations = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    version = migrations.get_current_revision()
    if version is None:
        tables = set(inspect(connection).get_table_names())
        # A file is ours alone; a database on a server may be shared.
        others = tables if connection.dialect.name == "sqlite" else tables & set(metadata.tables)
        if others - {VERSION_TABLE}:
            raise StoreError(
                f"{name}: holds tables of another program; name another file or database"
            )
    elif version not in {script.revision for script in scripts.walk_revisions()}:
        raise StoreError(
            f"{name}: was written by a newer version of this program; install that version, "
            "or name another store"
        )
    if version != scripts.get_current_head():
        command.upgrade(config, "head")


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        code = getattr(error.orig, "sqlite_errorname", "")
        for beginning, (problem, remedy) in _SQLITE_REMEDIES.items():
            if code.startswith(beginning):
                raise StoreError(f"{name}: {problem}; {remedy}") from error
        raise StoreError(
            f"{name}: {one_line(error.orig)}; check the database and its address"
        ) from error
    except PoolTimeoutError as error:
        raise StoreError(f"{name}: {one_line(error)}; check the database") from error
