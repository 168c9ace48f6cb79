import pytest

from imaging import attributes, dictionary, keywords
from imaging.attributes import BY_NAME, KEYS, belongs
from imaging.matching import check, matches, wildcard

TAGS = {
    "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Demo^Patient One", "Phonetic": "시험^환자"}]},
    "00080020": {"vr": "DA", "Value": ["20260102"]},
    "00080030": {"vr": "TM", "Value": ["101112.5"]},
    "00080050": {"vr": "SH", "Value": ["A-17"]},
    "00080061": {"vr": "CS", "Value": ["MR", "SEG"]},
    "00200011": {"vr": "IS", "Value": [7]},
    "00200010": {"vr": "SH"},
    "00400275": {"vr": "SQ", "Value": [{}, {"00401001": {"vr": "SH", "Value": ["P1"]}}]},
}


@pytest.mark.parametrize(
    ("keyword", "yes", "no"),
    [
        ("StudyInstanceUID", ["1.2.3", "9.9,1.2.3", "9.9\\1.2.3"], ["1.2", "1.2.3.4"]),
        (
            "PatientName",
            [
                "demo^patient one",
                "DEMO*",
                "*One",
                "*ient*",
                "D?mo*",
                "시험*",
                "*환자",
                "Demo*==시험*",
                "==시*",
            ],
            ["Demo", "Demo^Patient", "Demo*=?*", "==Demo*", "?"],
        ),
        (
            "StudyDate",
            ["20260102", "20260101-20260103", "-20260102", "20260102-"],
            ["20260103-", "-20260101"],
        ),
        ("StudyTime", ["10", "1011", "101112.5", "10-11", "1010-1011", "-1011"], ["11-", "-1010", "101113"]),
        ("AccessionNumber", ["A-17", "A*", "*17", "A?17", "*"], ["a-17", "A-1", "?"]),
        ("ModalitiesInStudy", ["MR", "CT,SEG", "CT\\MR", "S*"], ["CT", "mr"]),
        ("SeriesNumber", ["7", "07", "+7"], ["8", "70"]),
        ("StudyID", ["*"], ["?", "1", "?*"]),
        ("StudyDescription", ["*"], ["x"]),
        ("RequestAttributesSequence.RequestedProcedureID", ["P1", "P?"], ["P2"]),
    ],
)
def test_values_match_as_their_representation_does(keyword, yes, no):
    key = BY_NAME[keyword]
    for value in yes:
        check(key, value)
        assert matches(key, value, TAGS), value
    for value in no:
        assert not matches(key, value, TAGS), value


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyInstanceUID", "1.2.*"),
        ("StudyInstanceUID", "1.2,"),
        ("StudyDate", "2026-01-02"),
        ("StudyDate", "-"),
        ("StudyDate", "20260103-20260101"),
        ("StudyTime", "1"),
        ("SeriesNumber", "1*"),
        ("PatientName", "x" * 325),
    ],
)
def test_what_is_no_value_of_the_attribute_is_refused(keyword, value):
    with pytest.raises(ValueError, match=keyword):
        check(BY_NAME[keyword], value)


def test_no_pattern_takes_long():
    assert not wildcard("*a" * 150, "a" * 149 + "b" * 10_000)


def test_tags_and_keywords_are_those_of_the_dictionary():
    assert dictionary.tags() == keywords.generated()
    for key in KEYS:
        parts = [dictionary.tags()[keyword] for keyword in key.keyword.split(".")]
        assert ".".join(parts) == key.tag
    known = set(dictionary.tags().values())
    assert all(tag in known for level in attributes.LEVELS for tag in attributes.ANSWERED[level])


def test_a_level_answers_nothing_of_the_one_below():
    assert belongs("00100010", "study")
    assert not belongs("0020000E", "study")
    assert belongs("0020000E", "series")
    assert not belongs("00200013", "series")
    assert belongs("00200032", "instance")
