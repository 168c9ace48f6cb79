"""The stored rows: which bytes in Orthanc belong to which patient, study, series and instance. Standard
library only.

One SQLite file `index.db` in the data directory, written by ingest, workers and `pixels`, read by the facade.
A row is handed out only when every UID that was asked for matches it; an instance whose UIDs are already
known under another patient or parent is refused here, in the same transaction that would add it. Quarantined
instances lie in a table of their own and are never found by the reading functions.

Safe for threads and processes: a connection per thread and process, WAL, `synchronous=FULL`, writes in
`BEGIN IMMEDIATE`. Everything can be rebuilt from Orthanc and HAPI but the uploads (who sent what).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from imaging.errors import MergedPatientError, OtherPixelsError, UIDConflictError
from imaging.index_schema import SCHEMA
from imaging.rows import (
    InstanceRow,
    Outcome,
    OutcomeRow,
    QuarantineRow,
    SeriesRow,
    SeriesState,
    StudyRow,
    StudyState,
    UploadRow,
)

__all__ = [
    "Index",
    "InstanceRow",
    "Outcome",
    "OutcomeRow",
    "QuarantineRow",
    "SeriesRow",
    "SeriesState",
    "StudyRow",
    "StudyState",
    "UploadRow",
]

Row = TypeVar("Row", StudyRow, SeriesRow, InstanceRow, QuarantineRow, UploadRow)
_TABLE = {
    StudyRow: "studies",
    SeriesRow: "series",
    InstanceRow: "instances",
    QuarantineRow: "quarantine",
    UploadRow: "uploads",
}


class Index:
    """The rows. `read_only` for the facade, which never writes here."""

    def __init__(self, data_dir: Path | str, *, read_only: bool = False) -> None:
        self.data_dir = Path(data_dir)
        self._path = self.data_dir / "index.db"
        self._read_only = read_only
        self._local = threading.local()
        if not read_only:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self.transaction() as database:
                for statement in SCHEMA:
                    database.execute(statement)

    # --- reading --------------------------------------------------------------------------------

    def study(self, study_uid: str) -> StudyRow | None:
        """The study, if any instance of it was accepted."""
        return self._one(StudyRow, "study_uid = ?", study_uid)

    def studies(self, *states: StudyState) -> list[StudyRow]:
        """All studies in these states (all states if none is given)."""
        marks = ",".join("?" * len(states))
        return self._all(StudyRow, f"state IN ({marks})" if states else "1 = 1", *states)

    def series(self, study_uid: str, series_uid: str | None = None) -> list[SeriesRow]:
        """The series of a study, or the one whose both UIDs match (an empty list if they do not)."""
        if series_uid is None:
            return self._all(SeriesRow, "study_uid = ? ORDER BY number, series_uid", study_uid)
        return self._all(SeriesRow, "study_uid = ? AND series_uid = ?", study_uid, series_uid)

    def instance(self, study_uid: str, series_uid: str, sop_uid: str) -> InstanceRow | None:
        """The instance, only if all three UIDs are its own."""
        return self._one(
            InstanceRow, "sop_uid = ? AND series_uid = ? AND study_uid = ?", sop_uid, series_uid, study_uid
        )

    def instances(self, study_uid: str, series_uid: str | None = None) -> list[InstanceRow]:
        """Instances in the order of their numbers."""
        order = "ORDER BY series_uid, instance_number, sop_uid"
        if series_uid is None:
            return self._all(InstanceRow, f"study_uid = ? {order}", study_uid)
        return self._all(InstanceRow, f"study_uid = ? AND series_uid = ? {order}", study_uid, series_uid)

    def by_sop_uid(self, sop_uid: str) -> InstanceRow | None:
        """The instance with this SOP Instance UID, for the pipeline (a request gives all UIDs:

        `instance`).
        """
        return self._one(InstanceRow, "sop_uid = ?", sop_uid)

    def by_orthanc_id(self, orthanc_id: str) -> InstanceRow | None:
        """The accepted instance that Orthanc keeps under this id."""
        return self._one(InstanceRow, "orthanc_id = ?", orthanc_id)

    def study_uids(self, *, series: Sequence[str] = (), instances: Sequence[str] = ()) -> list[str]:
        """The studies that have one of these series or instances."""
        found: set[str] = set()
        for table, column, uids in (("series", "series_uid", series), ("instances", "sop_uid", instances)):
            for uid in uids:
                rows = self.connection().execute(f"SELECT study_uid FROM {table} WHERE {column} = ?", (uid,))  # noqa: S608 - own text only
                found.update(row[0] for row in rows)
        return sorted(found)

    def pending(self, study_uid: str) -> list[InstanceRow]:
        """Instances whose transcoding outcome is not recorded yet, in order of arrival."""
        return self._all(InstanceRow, "study_uid = ? AND outcome = 'pending' ORDER BY received_at", study_uid)

    def pending_studies(self) -> list[str]:
        """Studies that have such instances, or one that a killed restoring left: what was left undone."""
        rows = self.connection().execute(
            "SELECT DISTINCT study_uid FROM instances WHERE outcome = 'pending' OR in_change = 1"
        )
        return [row[0] for row in rows]

    def is_quiet(self, study_uid: str, since: float) -> bool:
        """Has nothing come from outside for this study since that moment (epoch seconds)?"""
        row = self.study(study_uid)
        return row is not None and row.last_arrival <= since

    # --- writing --------------------------------------------------------------------------------

    def check(self, row: InstanceRow) -> Literal["new", "known"]:
        """May this instance be stored? "known": the same instance with equal pixels is here already.

        Raises UIDConflictError (a UID under another patient or parent) and OtherPixelsError.
        """
        return _check(self.connection(), row)

    def add(self, study: StudyRow, series: SeriesRow, instance: InstanceRow) -> bool:
        """Take an accepted instance in; False if it was here already with equal pixels.

        A study that was complete goes back to `registered` unless the product itself wrote the instance.
        Raises like `check`; nothing is written then.
        """
        with self.transaction() as database:
            if _check(database, instance) == "known":
                return False
            _insert(database, study, ignore=True)
            _insert(database, series, ignore=True)
            _insert(database, instance)
            if not instance.own:
                database.execute(
                    "UPDATE studies SET last_arrival = MAX(last_arrival, ?),"
                    " state = CASE state WHEN 'available' THEN 'registered' ELSE state END"
                    " WHERE study_uid = ?",
                    (instance.received_at, instance.study_uid),
                )
            return True

    def begin_change(self, sop_uids: Sequence[str]) -> None:
        """Say before they are replaced that these instances cannot be served just now.

        Only pending ones: whose outcome is recorded would have nobody left to say that it is over.
        """
        with self.transaction() as database:
            database.executemany(
                "UPDATE instances SET in_change = 1 WHERE sop_uid = ? AND outcome = 'pending'",
                [(uid,) for uid in sop_uids],
            )

    def begin_restore(self, sop_uid: str) -> None:
        """Say before it is put back that a converted instance cannot be served just now."""
        with self.transaction() as database:
            database.execute(
                "UPDATE instances SET in_change = 1 WHERE sop_uid = ? AND outcome = 'done'", (sop_uid,)
            )

    def reopen(self, study_uid: str, stored_as: str) -> int:
        """Make every instance of others that is not stored in this syntax pending again; their number.

        The study is `registered` until each has an outcome.
        """
        with self.transaction() as database:
            count = database.execute(
                "UPDATE instances SET outcome = 'pending', reason = '' WHERE study_uid = ? AND own = 0"
                " AND outcome <> 'pending' AND in_change = 0 AND transfer_syntax <> ?",
                (study_uid, stored_as),
            ).rowcount
            if count:
                database.execute(
                    "UPDATE studies SET state = 'registered' WHERE study_uid = ? AND state = 'available'",
                    (study_uid,),
                )
            return count

    def set_outcomes(self, outcomes: Sequence[OutcomeRow]) -> None:
        """Record what transcoding did, in one transaction; the instances are served again."""
        with self.transaction() as database:
            database.executemany(
                "UPDATE instances SET outcome = ?, reason = ?, transfer_syntax = ?, bytes_after = ?,"
                " in_change = 0 WHERE sop_uid = ?",
                [(o.outcome, o.reason, o.transfer_syntax, o.bytes_after, o.sop_uid) for o in outcomes],
            )

    def set_study(
        self,
        study_uid: str,
        *,
        state: StudyState | None = None,
        imaging_study_id: str | None = None,
        based_on: str | None = None,
        patient_ref: str | None = None,
    ) -> None:
        """Change what is given of a study. `available` is taken only while no instance is pending, and only
        while it is this patient's (`patient_ref`, where it is given).
        """
        with self.transaction() as database:
            if state == "available":
                database.execute(
                    "UPDATE studies SET state = 'available' WHERE study_uid = ? AND NOT EXISTS"
                    " (SELECT 1 FROM instances WHERE study_uid = studies.study_uid AND outcome = 'pending')"
                    " AND patient_ref = COALESCE(?, patient_ref)",
                    (study_uid, patient_ref),
                )
            elif state is not None:
                database.execute("UPDATE studies SET state = ? WHERE study_uid = ?", (state, study_uid))
            database.execute(
                "UPDATE studies SET imaging_study_id = COALESCE(?, imaging_study_id),"
                " based_on = COALESCE(?, based_on) WHERE study_uid = ?",
                (imaging_study_id, based_on, study_uid),
            )

    def set_series_state(self, series_uid: str, state: SeriesState) -> None:
        """`withdrawn`: served to nobody any more (a rejected result's SEG), whatever else is known."""
        with self.transaction() as database:
            database.execute("UPDATE series SET state = ? WHERE series_uid = ?", (state, series_uid))

    def announce_own(self, sop_uid: str, digest: str, result_key: str | None) -> None:
        """Say before storing it that an instance is the product's own, so that ingest does not take it for
        news.
        """
        with self.transaction() as database:
            database.execute("INSERT OR REPLACE INTO own VALUES (?, ?, ?)", (sop_uid, digest, result_key))

    def announced(self, sop_uid: str, digest: str) -> tuple[bool, str | None]:
        """Is this the product's own instance (UID and digest as announced), and of which AI result?"""
        row = (
            self.connection()
            .execute("SELECT result_key FROM own WHERE sop_uid = ? AND digest = ?", (sop_uid, digest))
            .fetchone()
        )
        return (row is not None, row[0] if row else None)

    # --- quarantine -----------------------------------------------------------------------------

    def quarantine(self, row: QuarantineRow) -> bool:
        """Set an instance aside; False if it already was."""
        with self.transaction() as database:
            return _insert(database, row, ignore=True) == 1

    def quarantined(self, study_uid: str | None = None) -> list[QuarantineRow]:
        """What is set aside, of one study or of all."""
        if study_uid is None:
            return self._all(QuarantineRow, "1 = 1 ORDER BY study_uid, received_at")
        return self._all(QuarantineRow, "study_uid = ? ORDER BY received_at", study_uid)

    def is_quarantined(self, orthanc_id: str) -> bool:
        """Is this stored instance set aside?"""
        return self._one(QuarantineRow, "orthanc_id = ?", orthanc_id) is not None

    def release(self, orthanc_id: str) -> None:
        """Forget that it was set aside (after it was taken in under its patient, or deleted)."""
        with self.transaction() as database:
            database.execute("DELETE FROM quarantine WHERE orthanc_id = ?", (orthanc_id,))

    # --- uploads and cursors --------------------------------------------------------------------

    def record_uploads(self, rows: Sequence[UploadRow]) -> None:
        """Write down who sent these instances, before they go to Orthanc."""
        with self.transaction() as database:
            for row in rows:
                database.execute("DELETE FROM uploads WHERE orthanc_id = ?", (row.orthanc_id,))
                _insert(database, row)

    def upload(self, orthanc_id: str) -> UploadRow | None:
        """Who sent this instance through the facade, if it came that way."""
        return self._one(UploadRow, "orthanc_id = ?", orthanc_id)

    def cursor(self, name: str) -> int:
        """A persistent position, 0 at first (Orthanc's change feed)."""
        row = self.connection().execute("SELECT value FROM cursors WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def set_cursor(self, name: str, value: int) -> None:
        """Remember a position; never before what it covers is written."""
        with self.transaction() as database:
            database.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Close this thread's connection."""
        database = getattr(self._local, "database", None)
        if database is not None:
            database.close()
            self._local.database = None

    # --- connections ----------------------------------------------------------------------------

    def connection(self) -> sqlite3.Connection:
        """This thread's connection, for reading."""
        # A connection must not cross a fork: RQ's work horse is a forked child.
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.database, self._local.pid = None, os.getpid()
        database: sqlite3.Connection | None = self._local.database
        if database is None:
            mode = "ro" if self._read_only else "rwc"
            database = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode={mode}", uri=True, timeout=30)
            database.isolation_level = None
            if not self._read_only:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
            self._local.database = database
        return database

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One writing transaction, all of it or nothing."""
        database = self.connection()
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def _all(self, kind: type[Row], where: str, *values: Any) -> list[Row]:
        names = ", ".join(field.name for field in fields(kind))
        rows = self.connection().execute(f"SELECT {names} FROM {_TABLE[kind]} WHERE {where}", values)  # noqa: S608 - own text only
        return [_row(kind, values) for values in rows]

    def _one(self, kind: type[Row], where: str, *values: Any) -> Row | None:
        rows = self._all(kind, where, *values)
        return rows[0] if rows else None


def _row(kind: type[Row], values: Iterable[Any]) -> Row:
    # SQLite has no booleans. The annotations are text here (postponed evaluation).
    typed: list[Any] = [bool(v) if f.type == "bool" else v for f, v in zip(fields(kind), values, strict=True)]
    return kind(*typed)


def _insert(database: sqlite3.Connection, row: Any, *, ignore: bool = False) -> int:
    values = astuple(row)
    verb = "INSERT OR IGNORE" if ignore else "INSERT"
    names = ", ".join(field.name for field in fields(row))
    marks = ",".join("?" * len(values))
    return database.execute(f"{verb} INTO {_TABLE[type(row)]} ({names}) VALUES ({marks})", values).rowcount


def _check(database: sqlite3.Connection, row: InstanceRow) -> Literal["new", "known"]:
    merged = database.execute(
        "SELECT 1 FROM corrections WHERE kind = 'merge' AND from_ref = ?", (row.patient_ref,)
    ).fetchone()
    if merged:
        raise MergedPatientError("The patient record was merged into another one.")
    study = database.execute(
        "SELECT patient_ref FROM studies WHERE study_uid = ?", (row.study_uid,)
    ).fetchone()
    if study and study[0] != row.patient_ref:
        raise UIDConflictError("The study is known under another patient.")
    series = database.execute(
        "SELECT study_uid FROM series WHERE series_uid = ?", (row.series_uid,)
    ).fetchone()
    if series and series[0] != row.study_uid:
        raise UIDConflictError("The series is known under another study.")
    known = database.execute(
        "SELECT study_uid, series_uid, patient_ref, digest FROM instances WHERE sop_uid = ?", (row.sop_uid,)
    ).fetchone()
    if known is None:
        return "new"
    if known[:3] != (row.study_uid, row.series_uid, row.patient_ref):
        raise UIDConflictError("The instance is known under another patient, study or series.")
    if known[3] != row.digest:
        raise OtherPixelsError("The instance is known with other pixels.")
    return "known"
