"""Writes one row so that it may be repeated: insert or update, compared with what was written before.

Before a change the row is read under lock. If it is not what we left, OpenEMR has changed it: nothing is
overwritten, and the caller learns of the conflict.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timezone
from typing import Literal
from uuid import UUID

from pymysql.constants import ER
from sqlalchemy import ColumnElement, Connection, and_, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from mappers.openemr.database import OpenEMRDatabase
from mappers.openemr.errors import SchemaError, SubjectChangedError, SyncConflictError, ValueTooLongError
from mappers.openemr.links import SELF, Link, Links, Owner, digest
from mappers.openemr.tables import PATIENT, REGISTRY, Mapped
from mappers.openemr.values import Row, Value
from mappers.openemr.values import text as composed

_PID_LOCK = "oesync_pid"
_PID_ATTEMPTS = 20


@dataclass(frozen=True)
class Written:
    """One row that was made or changed."""

    table: str
    key: str
    action: Literal["insert", "update"]


class Writer:
    """Writes the rows of one resource in one transaction."""

    def __init__(self, database: OpenEMRDatabase, connection: Connection, owner: Owner) -> None:
        self.database = database
        self.connection = connection
        self.owner = owner
        self.links = Links(connection, database.sync_schema)
        self.written: list[Written] = []

    @property
    def zone(self) -> timezone:
        """The time zone of OpenEMR's local times."""
        return self.database.zone

    def upsert(
        self,
        mapped: Mapped,
        once: Row,
        kept: Row,
        *,
        part: str = SELF,
        owner: Owner | None = None,
        identity: UUID | None = None,
        fixed: Iterable[str] = (),
    ) -> int:
        """Make the row or bring its `kept` columns up to date; return its key.

        `fixed` names columns of `once` that must never differ later: a record does not change its patient.
        """
        owner = owner or self.owner
        once, kept = self._fit(mapped, once), self._fit(mapped, kept)
        link = self.links.find(owner.type, owner.id, mapped.name, part)
        if link is None:
            key = self._insert(mapped, once, kept, identity)
            self._note(mapped, key, "insert")
        else:
            key = link.keys()
            before = self._locked(mapped, link)
            for name in fixed:
                if before[name] != once[name]:
                    raise SubjectChangedError(f"{mapped.name}.{name} would move to another record.")
            if self._update(mapped, key, before, kept):
                self._note(mapped, key, "update")
        columns = tuple(sorted(kept))
        now = digest(self._read(mapped, key), columns)
        self.links.save(
            owner,
            mapped.name,
            part,
            Link(_joined(key), owner.version, columns, now),
            identity.bytes if identity else None,
        )
        return key[0]

    def exists(self, type_: str, id_: str, mapped: Mapped, part: str = SELF) -> int | None:
        """Return the key of the row that was written for a resource, or None."""
        link = self.links.find(type_, id_, mapped.name, part)
        return None if link is None else link.keys()[0]

    # The statements

    def _insert(self, mapped: Mapped, once: Row, kept: Row, identity: UUID | None) -> tuple[int, ...]:
        row = once | kept
        if identity is not None:
            row["uuid"] = identity.bytes
        try:
            key = self._insert_patient(row) if mapped is PATIENT else self._insert_row(mapped, row)
            if identity is not None:
                self._register(mapped, identity)
        except IntegrityError as error:
            if error.orig is not None and error.orig.args[0] == ER.DUP_ENTRY:
                raise SyncConflictError(f"{mapped.name} already has a row with this identity.") from None
            raise
        return key

    def _insert_row(self, mapped: Mapped, row: Row) -> tuple[int, ...]:
        result = self.connection.execute(insert(mapped.clause).values(row))
        if set(mapped.keys) <= set(row):
            return tuple(int(str(row[name])) for name in mapped.keys)
        return (int(result.lastrowid),)

    def _insert_patient(self, row: Row) -> tuple[int, ...]:
        """Allocate a pid. Our lock keeps our writers apart; OpenEMR takes none, hence the second try."""
        self.database.lock(self.connection, _PID_LOCK)
        for _ in range(_PID_ATTEMPTS):
            pid = self.connection.execute(
                select(func.coalesce(func.max(PATIENT.column("pid")), 0) + 1)
            ).scalar_one()
            try:
                with self.connection.begin_nested():
                    return self._insert_row(PATIENT, row | {"pid": int(str(pid))})
            except IntegrityError as error:
                if not _taken(error, "pid"):
                    raise
        raise SyncConflictError("No free pid was found.")

    def _register(self, mapped: Mapped, identity: UUID) -> None:
        """OpenEMR's own API finds a row by its uuid only when the registry knows it."""
        self.connection.execute(
            insert(REGISTRY.clause).values(
                uuid=identity.bytes, table_name=mapped.name, table_id=mapped.registry, created=func.now()
            )
        )

    def _locked(self, mapped: Mapped, link: Link) -> Mapping[str, Value]:
        row = self._read(mapped, link.keys(), lock=True, required=False)
        if row is None:
            raise SyncConflictError(f"The row of {mapped.name} was deleted in OpenEMR.")
        if not set(link.columns) <= set(row):
            raise SchemaError(f"{mapped.name} lost a column that was written before.")
        if digest(row, link.columns) != link.digest:
            raise SyncConflictError(f"The row of {mapped.name} was changed in OpenEMR.")
        return row

    def _read(
        self, mapped: Mapped, key: tuple[int, ...], *, lock: bool = False, required: bool = True
    ) -> Mapping[str, Value]:
        present = self.database.columns(mapped.name)
        names = [name for name in mapped.columns() if name in present]
        statement = select(*(mapped.column(name) for name in names)).where(_is(mapped, key))
        result = self.connection.execute(statement.with_for_update() if lock else statement)
        row = result.mappings().one_or_none()
        if row is None and required:
            raise SyncConflictError(f"The row of {mapped.name} is gone.")
        return row  # type: ignore[return-value]  # None only where the caller asked for it

    def _update(self, mapped: Mapped, key: tuple[int, ...], before: Mapping[str, Value], kept: Row) -> bool:
        changed = {name: value for name, value in kept.items() if before[name] != value}
        if changed:
            self.connection.execute(update(mapped.clause).where(_is(mapped, key)).values(changed))
        return bool(changed)

    def _note(self, mapped: Mapped, key: tuple[int, ...], action: Literal["insert", "update"]) -> None:
        self.written.append(Written(mapped.name, _joined(key), action))

    def _fit(self, mapped: Mapped, row: Row) -> Row:
        """Keep the columns that exist here, compose their text, and refuse what does not fit."""
        present = self.database.columns(mapped.name)
        fitted: Row = {}
        for name, value in row.items():
            if name not in present:
                continue
            if isinstance(value, str):
                value = composed(value)
                limit, octets = present[name].characters, present[name].octets
                if limit is not None and (len(value) > limit or len(value.encode()) > (octets or limit * 4)):
                    raise ValueTooLongError(mapped.name, name, limit)
            fitted[name] = value
        return fitted


def _is(mapped: Mapped, key: tuple[int, ...]) -> ColumnElement[bool]:
    return and_(*(mapped.column(name) == part for name, part in zip(mapped.keys, key, strict=True)))


def _joined(key: tuple[int, ...]) -> str:
    return ":".join(str(part) for part in key)


def _taken(error: IntegrityError, key_name: str) -> bool:
    arguments = error.orig.args if error.orig is not None else ()
    return len(arguments) > 1 and arguments[0] == ER.DUP_ENTRY and f"'{key_name}'" in str(arguments[1])
