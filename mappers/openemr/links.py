"""Which row was written for which resource: the table `cross_reference` of our own schema on the same server.

A link is written in the same transaction as its row, so that a process killed between any two lines
leaves both or neither.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, and_, column, func, select, table
from sqlalchemy.dialects.mysql import insert

from mappers.openemr.tables import CROSS_REFERENCE
from mappers.openemr.values import Value

SELF = "self"


@dataclass(frozen=True)
class Owner:
    """The resource in one version that a row is written for."""

    type: str
    id: str
    version: int


@dataclass(frozen=True)
class Link:
    """What was written for a resource into one table, and what the row looked like afterwards."""

    row_key: str
    version: int
    columns: tuple[str, ...]
    digest: str

    def keys(self) -> tuple[int, ...]:
        """Return the row's primary key."""
        return tuple(int(part) for part in self.row_key.split(":"))


def digest(row: Mapping[str, Value], columns: tuple[str, ...]) -> str:
    """Return a fingerprint of the columns' values."""
    told = {name: _plain(row[name]) for name in sorted(columns)}
    return hashlib.sha256(json.dumps(told, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _plain(value: Value) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return str(value)


class Links:
    """The cross-references, on the connection of the transaction that writes the rows."""

    def __init__(self, connection: Connection, schema: str) -> None:
        self._connection = connection
        names = (
            "resource_type", "resource_id", "table_name", "part", "row_key", "uuid", "version", "columns",
            "digest", "applied_at",
        )  # fmt: skip
        self._table = table(CROSS_REFERENCE, *(column(name) for name in names), schema=schema)

    def find(self, type_: str, id_: str, table_name: str, part: str = SELF) -> Link | None:
        """Return the link of a resource into a table."""
        c = self._table.c
        row = self._connection.execute(
            select(c.row_key, c.version, c.columns, c.digest).where(
                and_(
                    c.resource_type == type_, c.resource_id == id_, c.table_name == table_name, c.part == part
                )
            )
        ).one_or_none()
        if row is None:
            return None
        return Link(row.row_key, int(row.version), tuple(filter(None, row.columns.split(","))), row.digest)

    def owners(self, table_name: str, row_keys: list[str]) -> dict[str, tuple[str, str]]:
        """Return which resource each of these rows was written for."""
        if not row_keys:
            return {}
        c = self._table.c
        rows = self._connection.execute(
            select(c.row_key, c.resource_type, c.resource_id).where(
                and_(c.table_name == table_name, c.row_key.in_(row_keys))
            )
        )
        return {row.row_key: (row.resource_type, row.resource_id) for row in rows}

    def save(self, owner: Owner, table_name: str, part: str, link: Link, uuid: bytes | None) -> None:
        """Remember what was written."""
        told = {
            "version": link.version,
            "columns": ",".join(link.columns),
            "digest": link.digest,
            "applied_at": func.utc_timestamp(3),
        }
        self._connection.execute(
            insert(self._table)
            .values(
                resource_type=owner.type,
                resource_id=owner.id,
                table_name=table_name,
                part=part,
                row_key=link.row_key,
                uuid=uuid,
                **told,
            )
            .on_duplicate_key_update(told)
        )
