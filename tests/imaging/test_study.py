from dataclasses import replace

from imaging.index import InstanceRow, SeriesRow, StudyRow
from imaging.study import imaging_study, study_identifier

STUDY = StudyRow(
    "1.2", "Patient/a", state="available", accession="A1", based_on="ServiceRequest/s", started="2026-01-02",
    description="Brain",
)  # fmt: skip
SERIES = [
    SeriesRow("1.2.3", "1.2", modality="MR", number=3, description="T1", body_part="BRAIN", laterality="L"),
    SeriesRow("1.2.4", "1.2", modality="SEG", body_part="SOMETHING"),
]
MR, SEG = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.66.4"
INSTANCES = [
    InstanceRow("1.2.3.1", "1.2.3", "1.2", "Patient/a", "o1", MR, "t", "d", instance_number=1),
    InstanceRow("1.2.3.2", "1.2.3", "1.2", "Patient/a", "o2", MR, "t", "d", instance_number=2),
    InstanceRow("1.2.4.1", "1.2.4", "1.2", "Patient/a", "o9", SEG, "t", "d"),
]


def test_the_resource_says_what_the_rows_say():
    found = imaging_study(STUDY, SERIES, INSTANCES, "Endpoint/e")
    assert found["identifier"][0] == {"system": "urn:dicom:uid", "value": "urn:oid:1.2"}
    assert found["identifier"][1]["value"] == "A1"
    assert (found["status"], found["subject"], found["started"]) == (
        "available",
        {"reference": "Patient/a"},
        "2026-01-02",
    )
    assert found["basedOn"] == [{"reference": "ServiceRequest/s"}]
    assert found["endpoint"] == [{"reference": "Endpoint/e"}]
    assert [coding["code"] for coding in found["modality"]] == ["MR", "SEG"]
    assert (found["numberOfSeries"], found["numberOfInstances"]) == (2, 3)
    first, second = found["series"]
    assert (first["uid"], first["number"], first["numberOfInstances"]) == ("1.2.3", 3, 2)
    assert first["bodySite"]["code"] == "12738006"
    assert first["laterality"]["code"] == "7771000"
    assert second["bodySite"] == {"display": "SOMETHING"}
    assert first["instance"][1] == {
        "uid": "1.2.3.2",
        "number": 2,
        "sopClass": {"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.840.10008.5.1.4.1.1.4"},
    }


def test_a_study_that_is_not_done_is_registered():
    for state in ("receiving", "registered"):
        assert (
            imaging_study(replace(STUDY, state=state), SERIES, INSTANCES, "Endpoint/e")["status"]
            == "registered"
        )


def test_a_withdrawn_series_is_left_out():
    found = imaging_study(STUDY, [SERIES[0], replace(SERIES[1], state="withdrawn")], INSTANCES, "Endpoint/e")
    assert [series["uid"] for series in found["series"]] == ["1.2.3"]
    assert found["numberOfInstances"] == 2


def test_what_the_rows_do_not_know_stays():
    existing = {"resourceType": "ImagingStudy", "id": "i", "note": [{"text": "kept"}], "status": "registered"}
    found = imaging_study(STUDY, SERIES, INSTANCES, "Endpoint/e", existing=existing)
    assert (found["id"], found["note"], found["status"]) == ("i", [{"text": "kept"}], "available")


def test_without_an_order_there_is_no_link():
    assert "basedOn" not in imaging_study(replace(STUDY, based_on=None), SERIES, INSTANCES, "Endpoint/e")


def test_a_study_is_searched_by_its_uid():
    assert study_identifier("1.2") == "urn:dicom:uid|urn:oid:1.2"


def test_an_order_and_a_referrer_that_the_rows_have_no_more_go():
    existing = {"id": "i", "basedOn": [{"reference": "ServiceRequest/old"}], "referrer": {"display": "Old"}}
    row = replace(STUDY, based_on=None)
    found = imaging_study(row, SERIES, INSTANCES, "Endpoint/e", existing=existing)
    assert not {"basedOn", "referrer"} & set(found)
    assert imaging_study(row, SERIES, INSTANCES, "Endpoint/e", referrer="Kim")["referrer"] == {
        "display": "Kim"
    }
