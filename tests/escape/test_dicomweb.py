"""Way out: DICOMweb. Questions about patients and UIDs, UIDs that are guessed, frames out of range."""

import pytest

from tests.escape.probe import Probe, distinct, get
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_QUESTIONS = (
    "",
    "?PatientID=<foreign.mrn>",
    "?PatientID=<own.mrn>",
    "?00100020=<foreign.mrn>",
    "?PatientName=<foreign.marker>",
    "?PatientName=<foreign.marker>*",
    "?PatientName=*",
    "?PatientBirthDate=19310731",
    "?StudyInstanceUID=<foreign.uid>",
    "?0020000D=<foreign.uid>",
    "?StudyInstanceUID=<own.uid>,<foreign.uid>",
    "?StudyInstanceUID=<own.uid>%5C<foreign.uid>",
    "?StudyInstanceUID=<draft.incomplete>",
    "?AccessionNumber=<foreign.accession>",
    "?AccessionNumber=*",
    "?StudyDate=20260107",
    "?StudyDate=-20301231",
    "?ModalitiesInStudy=MR",
    "?StudyDescription=Study<foreign.marker>",
    "?includefield=all",
    "?includefield=PatientName",
    "?fuzzymatching=true&PatientName=<foreign.marker>",
    "?limit=1",
    "?limit=1&offset=1",
    "?offset=1000",
    "?limit=-1",
    "?nothing=<foreign.marker>",
    "?SeriesInstanceUID=<foreign.uid>.1",
    "?SOPInstanceUID=<foreign.uid>.1.1",
    "?patient=<foreign.patient>",
)
_STUDY = (
    "",
    "/",
    "/metadata",
    "/series",
    "/instances",
    "/rendered",
    "/thumbnail",
    "/bulkdata",
    "/series/<foreign.uid>.1",
    "/series/<foreign.uid>.1/metadata",
    "/series/<foreign.uid>.1/instances",
    "/series/<foreign.uid>.1/rendered",
    "/series/<foreign.uid>.1/instances/<foreign.uid>.1.1",
    "/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/metadata",
    "/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/frames/1",
    "/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/frames/0",
    "/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/frames/99999",
    "/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/frames/1,2",
    "/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/frames/-1",
    "/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/rendered",
    "/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/bulkdata/7FE00010",
    "/series/<own.uid>.1/instances/<foreign.uid>.1.1/frames/1",
)
_OTHERS = (
    "series",
    "series?StudyInstanceUID=<foreign.uid>",
    "series?SeriesInstanceUID=<foreign.uid>.1",
    "instances",
    "instances?StudyInstanceUID=<foreign.uid>",
    "instances?SOPInstanceUID=<foreign.uid>.1.1",
    "studies/<own.uid>/series/<foreign.uid>.1",
    "studies/<own.uid>/series/<foreign.uid>.1/metadata",
    "studies/<own.uid>/series/<foreign.uid>.1/instances",
    "studies/<own.uid>/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/frames/1",
    "studies/<draft.incomplete>/metadata",
    "studies/<draft.incomplete>/series",
    "studies/../studies/<foreign.uid>/metadata",
    "studies/<foreign.uid>%2Fmetadata",
    "studies//<foreign.uid>/metadata",
    "STUDIES/<foreign.uid>/metadata",
    "studies/<foreign.uid>;x/metadata",
    "patients/<foreign.mrn>/studies",
    "workitems",
    "tools/find",
    "instances/<foreign.study>/file",
    "wado?requestType=WADO&studyUID=<foreign.uid>&seriesUID=<foreign.uid>.1&objectUID=<foreign.uid>.1.1",
)
_ACCEPT = (
    "application/dicom+json",
    "application/dicom+xml",
    "application/dicom",
    'multipart/related; type="application/octet-stream"',
    'multipart/related; type="application/dicom"',
    "image/jpeg",
    "image/jphc",
)
_JSON = {"Accept": "application/dicom+json"}
_MULTIPART = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
_FRAME = "/dicom-web/studies/<foreign.uid>/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/frames/1"

PROBES = distinct(
    [
        *get(*(f"/dicom-web/studies{question}" for question in _QUESTIONS), headers=_JSON),
        *get(*(f"/dicom-web/studies/<foreign.uid>{path}" for path in _STUDY)),
        *get(*(f"/dicom-web/{path}" for path in _OTHERS)),
        *(Probe("HEAD", f"/dicom-web/studies/<foreign.uid>{path}") for path in _STUDY[:6]),
        *(Probe("GET", _FRAME, headers={"Accept": accept}) for accept in _ACCEPT),
        *(
            Probe("GET", "/dicom-web/studies/<foreign.uid>/metadata", headers={"Accept": accept})
            for accept in _ACCEPT
        ),
        *(
            Probe("GET", _FRAME, headers=headers)
            for headers in ({"Range": "bytes=0-1"}, {"If-None-Match": "*"}, {"If-None-Match": '"1"'})
        ),
        *(
            Probe("POST", f"/dicom-web/studies{path}", "--x--", _MULTIPART)
            for path in ("", "/<foreign.uid>", "/<own.uid>")
        ),
        *(
            Probe(method, "/dicom-web/studies/<foreign.uid>")
            for method in ("PUT", "DELETE", "PATCH", "OPTIONS")
        ),
        *get(
            "/viewer/studies/<foreign.uid>/results",
            "/viewer/studies/<own.uid>/results",
            "/viewer/studies/<draft.incomplete>/results",
            "/viewer/studies/<own.uid>/../<foreign.uid>/results",
            "/viewer/studies/<foreign.uid>%2fresults",
            "/viewer/studies",
            "/pacs-viewer/?StudyInstanceUIDs=<foreign.uid>",
            "/pacs-viewer/viewer?StudyInstanceUIDs=<foreign.uid>",
        ),
        *get(
            "/internal-orthanc/studies",
            "/internal-orthanc/instances/<foreign.study>/file",
            "/orthanc/studies",
        ),
    ]
)


async def test_no_picture_and_no_uid_escapes(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
