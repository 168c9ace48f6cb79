"""The one connection to smart_auth's database: engine, transactions, migrations at start under a lock.

SQLite: one file, WAL, `synchronous=FULL` (a committed revocation survives a power cut), writers wait in line
by BEGIN IMMEDIATE. MariaDB by URL for several facade hosts.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from smart_auth.errors import StoreUnavailableError

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_MS = 5000  # longest wait for another writer


class Database:
    """Transactions on users, clients and grants. Synchronous: routes call it off the event loop."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        options: dict[str, Any] = {} if self.is_sqlite else {"pool_pre_ping": True, "pool_recycle": 600}
        if not self.is_sqlite:
            options["isolation_level"] = "READ COMMITTED"
        self._engine = create_engine(self._url, **options)
        if self.is_sqlite:
            event.listen(self._engine, "connect", _on_sqlite_connect)
            event.listen(self._engine, "begin", _on_sqlite_begin)

    def migrate(self) -> None:
        """Bring the tables up to date; processes that start together wait for the first."""
        with self._migration_lock(), self._engine.connect() as connection:
            if _revision(connection) != newest_revision():
                connection.rollback()
                _upgrade(connection)
        if self.is_sqlite and self._url.database:
            Path(self._url.database).chmod(0o600)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading."""
        with self._session(write=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session for writing, committed at the end, rolled back on any error."""
        with self._session(write=True) as session:
            yield session
            session.commit()

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _session(self, *, write: bool) -> Iterator[Session]:
        try:
            with Session(self._engine, expire_on_commit=False) as session:
                session.connection(execution_options={"neuronova_write": write})
                yield session
        except DBAPIError as error:
            if error.connection_invalidated or _is_unavailable(error):
                raise StoreUnavailableError from error
            raise

    @contextmanager
    def _migration_lock(self) -> Iterator[None]:
        if self.is_sqlite:
            path = f"{self._url.database}.lock"
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)
            return
        with self._engine.connect() as connection:
            connection.execute(text("SELECT GET_LOCK('smart_auth_migrations', 60)"))
            try:
                yield
            finally:
                connection.execute(text("SELECT RELEASE_LOCK('smart_auth_migrations')"))


def newest_revision() -> str:
    """The last migration: each file's name begins with its revision, a number."""
    return max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _upgrade(connection: Connection) -> None:
    # Here: it takes 0.2 s to import, and processes and commands seldom find something to migrate.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()


def _on_sqlite_connect(connection: Any, _record: object) -> None:
    # The driver's own transaction handling is turned off: it would begin too late (SQLAlchemy, pysqlite).
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("neuronova_write", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _is_unavailable(error: DBAPIError) -> bool:
    """Locked for too long, disk trouble or no server: another time it may work."""
    return type(error).__name__ == "OperationalError"
