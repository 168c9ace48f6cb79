import pytest

from imaging.errors import DICOMError
from imaging.orthanc_id import orthanc_id
from imaging.read import inspect
from tests.imaging.builders import SERIES, STUDY, bundled, mr_file


def test_what_identifies_an_instance_is_read():
    found = inspect(mr_file(number=7, AccessionNumber="A7 ", IssuerOfPatientID="OUTSIDE"))
    assert (found.study_uid, found.series_uid, found.sop_uid) == (STUDY, SERIES, f"{SERIES}.7")
    assert found.orthanc_id == orthanc_id("0001", STUDY, SERIES, f"{SERIES}.7")
    assert (found.tags.patient_id, found.tags.accession, found.tags.issuer) == ("0001", "A7", "OUTSIDE")
    assert (found.rows, found.columns, found.frames, found.instance_number) == (16, 12, 1, 7)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chrI2.dcm", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("chrKoreanMulti.dcm", "김희중"),
        ("chrH31.dcm", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ],
)
def test_names_in_other_scripts_come_through(name, expected):
    found = inspect(bundled(name))
    assert found.tags.name == expected


def test_utf8_names_come_through_into_the_metadata():
    found = inspect(mr_file(PatientName="Test^Patient=試驗^患者=시험^환자"))
    name = found.metadata["00100010"]["Value"][0]
    assert name == {"Alphabetic": "Test^Patient", "Ideographic": "試驗^患者", "Phonetic": "시험^환자"}


def test_the_metadata_hold_no_pixels_and_no_file_meta():
    found = inspect(mr_file())
    assert "7FE00010" not in found.metadata
    assert not [tag for tag in found.metadata if tag.startswith("0002")]
    assert found.metadata["0020000D"]["Value"] == [STUDY]


def test_it_crosses_a_process_boundary_unchanged():
    found = inspect(mr_file(PatientName="시험^환자"))
    assert type(found).from_json(found.to_json()) == found


@pytest.mark.parametrize("data", [b"", b"junk", b"\0" * 200, b"\0" * 128 + b"DICM", b"%PDF-1.4" + b"x" * 500])
def test_what_is_not_dicom_is_refused(data):
    with pytest.raises(DICOMError):
        inspect(data)


def test_a_file_cut_anywhere_is_noticed():
    data = mr_file()
    for end in range(132, len(data)):
        try:
            found = inspect(data[:end])
        except DICOMError:
            continue
        # Cut exactly between two elements: a data set like any other, but an image without its pixels.
        assert found.needs_pixels, end
        assert not found.has_pixels, end


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("uid", ["", "x.y", "1." * 40, "1/../2"])
def test_an_instance_without_its_uids_is_refused(keyword, uid):
    with pytest.raises(DICOMError, match=keyword):
        inspect(mr_file(**{keyword: uid}))


def test_an_image_without_pixels_is_told_from_a_document():
    image = inspect(mr_file(PixelData=None))
    assert (image.needs_pixels, image.has_pixels) == (True, False)
    assert not inspect(bundled("reportsi.dcm")).needs_pixels


def test_the_date_alone_is_told_where_no_offset_is_known():
    assert inspect(mr_file()).started == "2026-01-02"
    assert inspect(mr_file(TimezoneOffsetFromUTC="+0900")).started == "2026-01-02T10:11:12+09:00"
