import json

from imaging.index import InstanceRow
from imaging.metadata import metadata_path, read_metadata, read_tags, write_metadata
from imaging.patient_module import patient_module, rewrite
from imaging.read import inspect
from tests.imaging.builders import mr_file

ROW = InstanceRow("1.2.3.1", "1.2.3", "1.2", "Patient/b", "o", "c", "t", "d")
PATIENT = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:other", "value": "9"}, {"system": "urn:neuronova:mrn", "value": "0042"}],
    "name": [{"family": "Demo", "given": ["Patient", "Two"]}, {"family": "시험", "given": ["환자"]}],
    "birthDate": "1971-02-03",
    "gender": "male",
}


def test_the_metadata_name_the_patient_of_the_record_and_nobody_else(tmp_path):
    data = mr_file(
        PatientName="Wrong^Person", PatientID="0001", OtherPatientNames="Wrong^Too", PatientWeight="70",
        OtherPatientIDs="0001", PatientAddress="Wrong Street", IssuerOfPatientID="WRONG",
    )  # fmt: skip
    before = inspect(data).metadata
    write_metadata(tmp_path, "1.2", "1.2.3", "1.2.3.1", before)
    for _ in range(2):
        rewrite(tmp_path, [ROW], PATIENT)
    tags = read_tags(tmp_path, "1.2", "1.2.3", "1.2.3.1")
    assert tags["00100010"]["Value"] == [{"Alphabetic": "Demo^Patient Two", "Phonetic": "시험^환자"}]
    assert [tags[tag]["Value"] for tag in ("00100020", "00100030", "00100040")] == [
        ["0042"],
        ["19710203"],
        ["M"],
    ]
    assert tags["00101030"] == before["00101030"], "what was measured on the body stays"
    text = metadata_path(tmp_path, "1.2", "1.2.3", "1.2.3.1").read_text()
    for wrong in ("Wrong", "WRONG", '"0001"'):
        assert wrong not in text
    same = {tag for tag in before if not tag.startswith("0010")} - {"00080005"}
    assert {tag: tags[tag] for tag in same} == {tag: before[tag] for tag in same}
    assert json.loads(read_metadata(tmp_path, "1.2", "1.2.3", "1.2.3.1", "1.2.840.10008.1.2.1", "/a"))


def test_what_is_not_known_of_a_patient_is_empty():
    assert patient_module({"resourceType": "Patient", "birthDate": "1971"}) == {
        "00100010": {"vr": "PN", "Value": [{}]},
        "00100020": {"vr": "LO"},
        "00100030": {"vr": "DA"},
        "00100040": {"vr": "CS"},
    }


def test_a_hangul_name_alone_fills_the_first_group_too():
    patient = {"name": [{"family": "시험", "given": ["환자"]}]}
    assert patient_module(patient)["00100010"]["Value"] == [
        {"Phonetic": "시험^환자", "Alphabetic": "시험^환자"}
    ]
