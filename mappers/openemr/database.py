"""The only connection to OpenEMR's database: engine, checks at start, locks, transactions.

Both schemas are on one server, so that a row and its cross-reference are one transaction. Every
connection has OpenEMR's time zone and, unlike OpenEMR itself, strict mode: a text that does not fit is
an error, never cut.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pymysql.constants import CR, ER
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from mappers.openemr import grants
from mappers.openemr.errors import OpenEMRDatabaseError, OpenEMRTemporaryError, SchemaError
from mappers.openemr.settings import OpenEMRSettings
from mappers.openemr.tables import ALL

_STRICT = "STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
_TEMPORARY = frozenset(
    {
        CR.CR_CONNECTION_ERROR, CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST,
        CR.CR_SERVER_LOST_EXTENDED, ER.CON_COUNT_ERROR, ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT,
        ER.SERVER_SHUTDOWN, ER.QUERY_INTERRUPTED, ER.TOO_MANY_USER_CONNECTIONS, ER.DISK_FULL, 1927, 0,
        # While the set-up is granting.
        ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR, ER.NO_SUCH_TABLE,
    }
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column as the server has it."""

    name: str
    characters: int | None
    octets: int | None


class OpenEMRDatabase:
    """The database of one OpenEMR. Made once per process; safe to use from several threads."""

    def __init__(self, settings: OpenEMRSettings) -> None:
        url = make_url(settings.database_url.get_secret_value())
        sync_url = make_url(settings.sync_database_url.get_secret_value())
        if _server(url) != _server(sync_url) or not url.database or not sync_url.database:
            raise SchemaError(
                "Both schemas must be on one server, under one account: they share transactions."
            )
        self.zone = settings.zone()
        self.schema: str = url.database
        self.sync_schema: str = sync_url.database
        self._lock_timeout_s = settings.lock_timeout_s
        self._engine = _engine(url, settings)
        self._columns: dict[str, dict[str, Column]] | None = None
        self._preparing = threading.Lock()

    def __enter__(self) -> "OpenEMRDatabase":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give every connection back."""
        self._engine.dispose()

    def prepare(self) -> None:
        """Check the account's grants and learn which columns this release of OpenEMR has."""
        with self._preparing:
            if self._columns is not None:
                return
            with _translated(), self._engine.connect() as connection:
                grants.refuse_wider(connection, self.schema, self.sync_schema)
                self._columns = _present_columns(connection, self.schema)

    def columns(self, table_name: str) -> dict[str, Column]:
        """Return the columns of a table that exist here."""
        self.prepare()
        return (self._columns or {})[table_name]

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lend a connection for looking things up."""
        self.prepare()
        with _translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def transaction(self, resource: str) -> Iterator[Connection]:
        """Open a transaction as the only writer of this resource."""
        self.prepare()
        with _translated(), self._engine.connect() as connection:
            try:
                self.lock(connection, "oesync:" + hashlib.sha256(resource.encode()).hexdigest()[:40])
                yield connection
                connection.commit()
            finally:
                if not connection.invalidated:
                    connection.rollback()
                    # The locks belong to the connection, which goes back to the pool.
                    connection.execute(text("SELECT RELEASE_ALL_LOCKS()"))
                    connection.rollback()

    def lock(self, connection: Connection, name: str) -> None:
        """Wait for a named lock; it is held until the transaction has ended."""
        got = connection.execute(
            text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": self._lock_timeout_s}
        ).scalar()
        if got != 1:
            raise OpenEMRTemporaryError("Another writer holds this record.")

    def next_number(self) -> int:
        """Take a number from OpenEMR's own counter, in a short transaction: its row lock stops OpenEMR."""
        with _translated(), self._engine.begin() as connection:
            changed = connection.execute(text("UPDATE sequences SET id = LAST_INSERT_ID(id + 1)")).rowcount
            if changed != 1:
                raise SchemaError("sequences has no row to count with.")
            return int(connection.execute(text("SELECT LAST_INSERT_ID()")).scalar_one())


def _server(url: URL) -> tuple[object, ...]:
    return (url.host, url.port, url.username, url.password, url.query.get("unix_socket"))


def _engine(url: URL, settings: OpenEMRSettings) -> Engine:
    engine = create_engine(
        url,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
        hide_parameters=True,
        connect_args={
            "charset": "utf8mb4",
            "connect_timeout": settings.connect_timeout_s,
            "read_timeout": settings.statement_timeout_s,
            "write_timeout": settings.statement_timeout_s,
        },
    )

    @event.listens_for(engine, "connect")
    def _session(connection: object, _record: object) -> None:
        with connection.cursor() as cursor:  # type: ignore[attr-defined]  # PyMySQL's connection
            cursor.execute(
                "SET time_zone = %s, sql_mode = %s, innodb_lock_wait_timeout = %s",
                (settings.time_zone, _STRICT, settings.lock_timeout_s),
            )

    return engine


def _present_columns(connection: Connection, schema: str) -> dict[str, dict[str, Column]]:
    rows = connection.execute(
        text(
            "SELECT table_name, column_name, character_maximum_length, character_octet_length"
            " FROM information_schema.columns WHERE table_schema = :schema"
        ),
        {"schema": schema},
    )
    present: dict[str, dict[str, Column]] = {}
    for table_name, name, characters, octets in rows:
        present.setdefault(table_name, {})[name] = Column(name, characters, octets)
    for mapped in ALL:
        missing = set(mapped.columns()) - mapped.optional - set(present.get(mapped.name, {}))
        if missing:
            raise SchemaError(
                f"{mapped.name} lacks {', '.join(sorted(missing))}, or the account may not see it."
            )
    return present


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours. Their texts quote values and do not leave this function."""
    try:
        yield
    except DBAPIError as error:
        number = error.orig.args[0] if error.orig is not None and error.orig.args else 0
        if error.connection_invalidated or number in _TEMPORARY:
            raise OpenEMRTemporaryError from None
        raise OpenEMRDatabaseError(f"OpenEMR's database refused a statement (error {number}).") from None
    except PoolTimeoutError:
        raise OpenEMRTemporaryError from None
    except SQLAlchemyError as error:
        raise OpenEMRDatabaseError(f"OpenEMR's database failed ({type(error).__name__}).") from None
