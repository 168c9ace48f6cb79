"""Which series of a study a bundle would work on, and under which key its result is known.

Asked twice: when a Task is made, and again when it is run, because a study may grow in between.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydicom import Dataset

from imaging.index import InstanceRow
from imaging.metadata import read_tags
from inference.bundle import Bundle
from inference.errors import SelectionError
from inference.key import result_key
from inference.select import select
from inference.series import SeriesHeader, series_headers
from subscriptions.pacs import Pacs


@dataclass(frozen=True)
class Selected:
    """Role -> series, role -> its instances, and the key of the result."""

    series: Mapping[str, str]
    instances: Mapping[str, tuple[InstanceRow, ...]]
    key: str


def choose(pacs: Pacs, bundle: Bundle, study_uid: str) -> Selected:
    """The one way in which this study fits this bundle.

    :raises SelectionError: it does not fit, with the reason
    """
    chosen = select(bundle, _headers(pacs, study_uid))
    instances = {
        role: tuple(pacs.index.instances(study_uid, series_uid)) for role, series_uid in chosen.items()
    }
    for role, rows in instances.items():
        if any(row.outcome == "kept" and row.digest.startswith("raw-") for row in rows):
            raise SelectionError(f"{role} has pixels that could not be read")
    pixels = [(row.sop_uid, row.digest) for rows in instances.values() for row in rows]
    return Selected(
        chosen, instances, result_key(bundle, study_uid, pixels, pacs.corrections.latest(study_uid))
    )


def header(pacs: Pacs, row: InstanceRow) -> Dataset:
    """The header of one instance, from the file written at ingest; no DICOM is parsed here."""
    tags = read_tags(pacs.data_dir, row.study_uid, row.series_uid, row.sop_uid)
    return Dataset.from_json(tags)


def _headers(pacs: Pacs, study_uid: str) -> list[SeriesHeader]:
    return series_headers(
        read_tags(pacs.data_dir, row.study_uid, row.series_uid, row.sop_uid)
        for row in pacs.index.instances(study_uid)
        if not row.own
    )
