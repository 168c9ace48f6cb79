import pytest

from imaging.person_name import compare, display

LATIN = {"family": "Test", "given": ["Patient"]}
TWO = {"family": "Demo", "given": ["Patient", "One"]}
HANGUL = {"family": "시험", "given": ["환자"]}
HAN = {"text": "試驗患者"}


@pytest.mark.parametrize(
    ("dicom", "fhir", "expected"),
    [
        ("Test^Patient", [LATIN], "same"),
        ("TEST^PATIENT", [LATIN], "same"),
        ("Test^Patient^^Dr^MD", [LATIN], "same"),
        ("Tést^Patient", [LATIN], "same"),
        ("Demo^Patient One", [TWO], "same"),
        ("Demo^Patient-One", [TWO], "same"),
        ("Demo^Patient^One", [TWO], "same"),
        ("Demo^Patient", [TWO], "same"),
        ("Demo^Patient Two", [TWO], "different"),
        ("Test^Other", [LATIN], "different"),
        ("Patient^Test", [LATIN], "different"),
        ("Test Patient", [LATIN], "same"),
        ("PATIENT TEST", [LATIN], "same"),
        ("Test^Patient", [{"text": "Test Patient"}], "same"),
        ("Other^Name", [LATIN, {"family": "Other", "given": ["Name"], "use": "old"}], "same"),
        ("시험^환자", [HANGUL], "same"),
        ("시험환자", [HANGUL], "same"),
        ("시험^환지", [HANGUL], "different"),
        ("Test^Patient=試驗^患者=시험^환자", [LATIN, HANGUL, HAN], "same"),
        ("Test^Patient=試驗^患者=시험^환자", [HANGUL], "same"),
        ("Test^Patient==시험^환지", [LATIN, HANGUL], "different"),
        ("Other^Patient==시험^환자", [LATIN, HANGUL], "different"),
        ("=試驗^患者=", [HAN], "same"),
        ("Test^Patient", [HANGUL], "not-comparable"),
        ("시험^환자", [LATIN], "not-comparable"),
        ("", [LATIN], "absent"),
        ("^^^^", [LATIN], "absent"),
        ("Test^Patient", [], "absent"),
        ("Test^Patient", [{"use": "official"}], "absent"),
    ],
)
def test_names_are_compared_by_script(dicom, fhir, expected):
    assert compare(dicom, fhir) == expected


def test_hangul_in_two_unicode_forms_is_one_name():
    import unicodedata

    assert compare(unicodedata.normalize("NFD", "시험^환자"), [HANGUL]) == "same"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ({"Alphabetic": "Kim^Cheolsu^^Dr"}, "Kim Cheolsu Dr"),
        (
            {"Alphabetic": "Hong^Gildong", "Ideographic": "洪^吉洞", "Phonetic": "홍^길동"},
            "Hong Gildong · 洪 吉洞 · 홍 길동",
        ),
        ({"Alphabetic": "홍^길동", "Phonetic": "홍^길동"}, "홍 길동"),
        ({"Alphabetic": "^^"}, ""),
        ({}, ""),
    ],
)
def test_a_name_is_shown_with_each_group_once(name, shown):
    assert display(name) == shown
