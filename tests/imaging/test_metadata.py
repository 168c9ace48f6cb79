import json

import pytest

from imaging.metadata import metadata_path, read_metadata, read_tags, write_metadata


def test_a_file_answers_with_the_transfer_syntax_of_now(tmp_path):
    tags = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "시험^환자"}]}}
    write_metadata(tmp_path, "1.2", "1.3", "1.4", tags)
    assert read_tags(tmp_path, "1.2", "1.3", "1.4") == tags
    found = json.loads(read_metadata(tmp_path, "1.2", "1.3", "1.4", "1.2.840.10008.1.2.4.202"))
    assert found == tags | {"00083002": {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.202"]}}


def test_an_empty_header_is_still_json(tmp_path):
    write_metadata(tmp_path, "1.2", "1.3", "1.4", {})
    assert list(json.loads(read_metadata(tmp_path, "1.2", "1.3", "1.4", "1.2"))) == ["00083002"]


@pytest.mark.parametrize("uid", ["..", "1/../2", "", "1.2/", "a"])
def test_only_uids_get_into_a_path(tmp_path, uid):
    for uids in [(uid, "1", "1"), ("1", uid, "1"), ("1", "1", uid)]:
        with pytest.raises(ValueError, match="UID"):
            metadata_path(tmp_path, *uids)


def test_no_half_written_file_is_left(tmp_path):
    write_metadata(tmp_path, "1.2", "1.3", "1.4", {"00100020": {"vr": "LO", "Value": ["1"]}})
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["1.4.json"]
