"""dicomweb-client does its everyday work through nginx: search, metadata, bulk data, instances, frames."""

from __future__ import annotations

import numpy as np
import pytest
from dicomweb_client.api import DICOMwebClient

from tests.facade.door import HT, LARGE, Door

pytestmark = pytest.mark.server


def test_it_searches_at_every_level(dicomweb_client: DICOMwebClient, door: Door) -> None:
    client, uid = dicomweb_client, door.uid
    names = {"PatientName": "*ient One", "PatientID": door.mrn}
    (study,) = client.search_for_studies(search_filters=names, fields=["StudyDescription"], limit=5)
    assert study["0020000D"]["Value"] == [uid]
    assert client.search_for_studies(search_filters={**names, "PatientName": "*Two"}) == []
    (series,) = client.search_for_series(search_filters={"PatientID": door.mrn, "Modality": "MR"})
    assert series["0020000E"]["Value"] == [f"{uid}.1"]
    everywhere = client.search_for_instances(search_filters={"PatientID": door.mrn})
    within = client.search_for_instances(uid, f"{uid}.1", fields=["Rows"], limit=2, offset=1)
    assert [one["00080018"]["Value"][0] for one in everywhere] == [f"{uid}.1.{n}" for n in (1, 2, 3)]
    assert [one["00080018"]["Value"][0] for one in within] == [f"{uid}.1.{n}" for n in (2, 3)]
    assert all(one["00083002"]["Value"] == [HT] for one in within)


def test_it_follows_the_metadata_to_bulk_data(dicomweb_client: DICOMwebClient, door: Door) -> None:
    found = dicomweb_client.retrieve_study_metadata(door.uid)
    (address,) = [one["00282000"]["BulkDataURI"] for one in found if "00282000" in one]
    (value,) = dicomweb_client.retrieve_bulkdata(address)
    assert value == LARGE


def test_it_gets_instances_and_frames(dicomweb_client: DICOMwebClient, door: Door) -> None:
    uid = door.uid
    place = (uid, f"{uid}.1", f"{uid}.1.3")
    whole = dicomweb_client.retrieve_instance(*place, media_types=(("application/dicom", "*"),))
    assert whole.file_meta.TransferSyntaxUID == HT
    assert np.array_equal(whole.pixel_array, door.images[2])
    explicit = (("application/dicom", "1.2.840.10008.1.2.1"),)
    usual = dicomweb_client.retrieve_instance(*place, media_types=explicit)
    assert usual.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert np.array_equal(usual.pixel_array, door.images[2])
    decoded = dicomweb_client.retrieve_instance_frames(
        *place, [3, 1], media_types=(("application/octet-stream", "1.2.840.10008.1.2.1"),)
    )
    assert decoded == [door.images[2][2].tobytes(), door.images[2][0].tobytes()]
