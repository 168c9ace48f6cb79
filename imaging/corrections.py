"""The journal of what was corrected about whose images these are. Standard library only.

A correction is begun before anything else of it is written and finished when all of it is: in between nobody
else registers, publishes or analyses its studies, and what was killed is found here and goes on. Its id is
part of the AI results that come after it, so that they are never taken for the ones before.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imaging.errors import CorrectionBusyError
from imaging.index import Index

Kind = Literal["assign", "merge", "deletion"]
_COLUMNS = "c.id, c.kind, c.from_ref, c.to_ref, c.reason, c.operator, c.at"


@dataclass(frozen=True)
class Correction:
    """One act: a study assigned, a patient record merged, images that were deleted.

    `from_ref`: whose the images were; `to_ref`: whose they are ("" for deleted ones); `at`: epoch seconds.
    """

    id: str
    kind: Kind
    from_ref: str
    to_ref: str
    reason: str
    operator: str
    at: float


class Corrections:
    """The journal, in the same database as the rows."""

    def __init__(self, index: Index, data_dir: Path) -> None:
        self._index = index
        self._lock = data_dir / "corrections.lock"

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Keep everybody else from correcting; a killed process lets go by itself.

        :raises CorrectionBusyError: another process is at it
        """
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CorrectionBusyError("Another correction is under way.") from None
            yield
        finally:
            os.close(descriptor)

    def begin(
        self,
        kind: Kind,
        from_ref: str,
        to_ref: str,
        *,
        reason: str,
        operator: str,
        at: float,
        study_uids: Sequence[str],
    ) -> Correction:
        """Write down what is going to be done; these studies are left alone by everybody else from now on."""
        made = Correction(uuid.uuid4().hex, kind, from_ref, to_ref, reason, operator, at)
        with self._index.transaction() as database:
            number = database.execute(
                "INSERT INTO corrections (id, kind, from_ref, to_ref, reason, operator, at, finished)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                (made.id, kind, from_ref, to_ref, reason, operator, at),
            ).lastrowid
            database.executemany(
                "INSERT INTO corrected (study_uid, number) VALUES (?, ?)",
                [(uid, number) for uid in study_uids],
            )
        return made

    def note(self, to_ref: str, *, reason: str, operator: str, at: float, study_uid: str) -> None:
        """Write down that an operator, not the header, said whose this study is; nothing else follows."""
        self.finish(
            self.begin("assign", "", to_ref, reason=reason, operator=operator, at=at, study_uids=[study_uid])
        )

    def unfinished(self) -> list[Correction]:
        """What was begun and not finished, oldest first."""
        rows = self._index.connection().execute(
            f"SELECT {_COLUMNS} FROM corrections c WHERE finished = 0 ORDER BY number"  # noqa: S608 - own text only
        )
        return [Correction(*row) for row in rows]

    def studies(self, correction: Correction) -> list[str]:
        """The studies that it is about."""
        rows = self._index.connection().execute(
            "SELECT study_uid FROM corrected JOIN corrections USING (number) WHERE id = ? ORDER BY study_uid",
            (correction.id,),
        )
        return [row[0] for row in rows]

    def latest(self, study_uid: str) -> str | None:
        """Id of the newest correction of a study, begun or finished; None if there was none."""
        row = self._index.connection().execute(
            "SELECT c.id FROM corrected JOIN corrections c USING (number) WHERE study_uid = ?"
            " ORDER BY number DESC LIMIT 1",
            (study_uid,),
        ).fetchone()  # fmt: skip
        return row[0] if row else None

    def is_under_way(self, study_uid: str) -> bool:
        """Is this study being corrected just now, or since somebody was killed?"""
        row = self._index.connection().execute(
            "SELECT 1 FROM corrections c WHERE finished = 0 AND ("
            " EXISTS (SELECT 1 FROM corrected d WHERE d.number = c.number AND d.study_uid = ?1) OR"
            " (kind = 'merge' AND from_ref = (SELECT patient_ref FROM studies WHERE study_uid = ?1)))",
            (study_uid,),
        ).fetchone()  # fmt: skip
        return row is not None

    def move(self, correction: Correction) -> None:
        """Give the studies to their patient and withdraw what the product drew for the one before.

        Every instance is transcoded already or goes on being so; the study is published again. Done twice it
        changes nothing.
        """
        with self._index.transaction() as database:
            number = database.execute(
                "SELECT number FROM corrections WHERE id = ?", (correction.id,)
            ).fetchone()[0]
            if correction.kind == "merge":
                database.execute(
                    "INSERT OR IGNORE INTO corrected (study_uid, number)"
                    " SELECT study_uid, ? FROM studies WHERE patient_ref = ?",
                    (number, correction.from_ref),
                )
            moved = database.execute(
                "SELECT s.study_uid FROM corrected JOIN studies s USING (study_uid)"
                " WHERE number = ? AND s.patient_ref = ?",
                (number, correction.from_ref),
            ).fetchall()
            given = [(correction.to_ref, *row) for row in moved]
            database.executemany(
                "UPDATE series SET state = 'withdrawn' WHERE own = 1 AND study_uid = ?", moved
            )
            database.executemany("UPDATE instances SET patient_ref = ? WHERE study_uid = ?", given)
            database.executemany(
                "UPDATE studies SET patient_ref = ?, based_on = NULL,"
                " state = CASE state WHEN 'available' THEN 'registered' ELSE state END WHERE study_uid = ?",
                given,
            )

    def stored(self) -> list[tuple[str, str]]:
        """(Orthanc id, study UID) of every accepted instance that came from Orthanc and is not in change."""
        return (
            self._index.connection()
            .execute("SELECT orthanc_id, study_uid FROM instances WHERE in_change = 0 AND received_at > 0")
            .fetchall()
        )

    def forget(self, study_uid: str, orthanc_ids: Sequence[str]) -> None:
        """Drop instances that Orthanc has no more, and what is empty then; the study is published again.

        A study of which only the product's own series would be left goes with them.
        """
        with self._index.transaction() as database:
            database.executemany(
                "DELETE FROM instances WHERE orthanc_id = ? AND study_uid = ?",
                [(orthanc_id, study_uid) for orthanc_id in orthanc_ids],
            )
            outside = "SELECT 1 FROM instances WHERE study_uid = ? AND own = 0"
            if database.execute(outside, (study_uid,)).fetchone() is None:
                database.execute("DELETE FROM instances WHERE study_uid = ?", (study_uid,))
            database.execute(
                "DELETE FROM series WHERE study_uid = ? AND NOT EXISTS"
                " (SELECT 1 FROM instances WHERE instances.series_uid = series.series_uid)",
                (study_uid,),
            )
            database.execute(
                "DELETE FROM studies WHERE study_uid = ? AND NOT EXISTS"
                " (SELECT 1 FROM series WHERE series.study_uid = studies.study_uid)",
                (study_uid,),
            )
            database.execute(
                "UPDATE studies SET state = 'registered' WHERE study_uid = ? AND state = 'available'",
                (study_uid,),
            )

    def finish(self, correction: Correction) -> None:
        """All of it is done."""
        with self._index.transaction() as database:
            database.execute("UPDATE corrections SET finished = 1 WHERE id = ?", (correction.id,))

    def cancel(self, correction: Correction) -> None:
        """Forget what was begun, where nothing of it was written."""
        with self._index.transaction() as database:
            row = database.execute("SELECT number FROM corrections WHERE id = ?", (correction.id,)).fetchone()
            database.execute("DELETE FROM corrected WHERE number = ?", row)
            database.execute("DELETE FROM corrections WHERE number = ?", row)
