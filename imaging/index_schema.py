"""The tables of imaging.index. Column names are the field names of its row classes."""

from __future__ import annotations

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS studies (
        study_uid TEXT PRIMARY KEY, patient_ref TEXT NOT NULL, state TEXT NOT NULL, imaging_study_id TEXT,
        accession TEXT NOT NULL, based_on TEXT, started TEXT, description TEXT NOT NULL,
        last_arrival REAL NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS series (
        series_uid TEXT PRIMARY KEY, study_uid TEXT NOT NULL REFERENCES studies, modality TEXT NOT NULL,
        number INTEGER, description TEXT NOT NULL, body_part TEXT NOT NULL, laterality TEXT NOT NULL,
        frame_of_reference_uid TEXT NOT NULL, state TEXT NOT NULL, own INTEGER NOT NULL, result_key TEXT
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS series_of_study ON series (study_uid)",
    """CREATE TABLE IF NOT EXISTS instances (
        sop_uid TEXT PRIMARY KEY, series_uid TEXT NOT NULL REFERENCES series,
        study_uid TEXT NOT NULL REFERENCES studies, patient_ref TEXT NOT NULL,
        orthanc_id TEXT NOT NULL UNIQUE,
        sop_class TEXT NOT NULL, transfer_syntax TEXT NOT NULL, digest TEXT NOT NULL, frames INTEGER NOT NULL,
        rows INTEGER NOT NULL, columns INTEGER NOT NULL, instance_number INTEGER,
        outcome TEXT NOT NULL CHECK (outcome IN ('pending', 'done', 'not-applicable', 'kept')),
        reason TEXT NOT NULL, bytes_before INTEGER NOT NULL, bytes_after INTEGER NOT NULL,
        own INTEGER NOT NULL,
        source TEXT NOT NULL, received_at REAL NOT NULL, in_change INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS instances_of_study ON instances (study_uid, series_uid)",
    "CREATE INDEX IF NOT EXISTS instances_pending ON instances (study_uid) WHERE outcome = 'pending'",
    """CREATE TABLE IF NOT EXISTS quarantine (
        orthanc_id TEXT PRIMARY KEY, study_uid TEXT NOT NULL, series_uid TEXT NOT NULL, sop_uid TEXT NOT NULL,
        digest TEXT NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL, source TEXT NOT NULL,
        received_at REAL NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS uploads (
        orthanc_id TEXT PRIMARY KEY, sop_uid TEXT NOT NULL, digest TEXT NOT NULL,
        file_md5 TEXT NOT NULL, uploader TEXT NOT NULL,
        organization TEXT, staff INTEGER NOT NULL, address TEXT NOT NULL, request_id TEXT NOT NULL,
        inspection TEXT NOT NULL, at REAL NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS corrections (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL CHECK (kind IN ('assign', 'merge', 'deletion')), from_ref TEXT NOT NULL,
        to_ref TEXT NOT NULL, reason TEXT NOT NULL, operator TEXT NOT NULL, at REAL NOT NULL,
        finished INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS corrections_of_patient ON corrections (from_ref)",
    """CREATE TABLE IF NOT EXISTS corrected (
        study_uid TEXT NOT NULL, number INTEGER NOT NULL REFERENCES corrections ON DELETE CASCADE,
        PRIMARY KEY (study_uid, number)
    ) STRICT""",
    "CREATE TABLE IF NOT EXISTS own (sop_uid TEXT PRIMARY KEY, digest TEXT NOT NULL, result_key TEXT) STRICT",
    "CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT",
)
