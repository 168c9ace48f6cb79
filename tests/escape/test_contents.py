"""Way out: contents beside the record. Attachments of documents, Binary, stored files of DICOM."""

from typing import Any

import pytest

from tests.escape.probe import EVERYBODY, Probe, distinct, get
from tests.escape.suite import Suite, nothing_escapes

pytestmark = pytest.mark.server

_URLS = (
    "BASE/Patient/<foreign.patient>",
    "BASE/DocumentReference/<foreign.document>",
    "Binary/<foreign.document>",
    "http://127.0.0.1:8090/fhir/Patient/<foreign.patient>",
    "file:///etc/passwd",
)
# An address is text: a doctor of this patient may write it, and it opens nothing. What stayed of it would be
# told apart by the probes after these.
_OTHERS = tuple(token for token in EVERYBODY if token != "bound")
_DOCUMENT = {"reference": "DocumentReference/<foreign.document>"}
_FORMS = ("application/dicom", "application/octet-stream", 'multipart/related; type="image/jphc"')
_STORED = (
    "/dicom-web/studies/<foreign.uid>/series/<foreign.uid>.1/instances/<foreign.uid>.1.1",
    "/dicom-web/studies/<foreign.uid>/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/bulkdata/7FE00010",
    "/dicom-web/studies/<foreign.uid>/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/frames/1",
    "/dicom-web/studies/<foreign.uid>/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/rendered",
    "/dicom-web/studies/<foreign.uid>/series/<foreign.uid>.1/thumbnail",
    "/dicom-web/studies/<foreign.uid>/archive",
    "/dicom-web/studies/<own.uid>/series/<foreign.uid>.1/instances/<foreign.uid>.1.1/frames/1",
    "/dicom-web/wado?requestType=WADO&studyUID=<foreign.uid>&seriesUID=<foreign.uid>.1&objectUID=<foreign.uid>.1.1",
    "/dicom-web/instances/<foreign.uid>/file",
    "/instances/<foreign.uid>/file",
    "/internal-orthanc/instances/<foreign.uid>/file",
    "/internal-hapi/Patient/<foreign.patient>",
    "/var/dicom/<foreign.uid>",
)


def document(**attachment: Any) -> dict[str, Any]:
    """A document of the own patient whose content is somewhere."""
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": "Patient/<own.patient>"},
        "content": [{"attachment": attachment}],
    }


PROBES = distinct(
    [
        *get(
            "DocumentReference/<foreign.document>",
            "DocumentReference/<foreign.document>?_elements=content",
            "DocumentReference/<foreign.document>/_history/1",
            "DocumentReference?_id=<foreign.document>&_elements=content",
            "DocumentReference?location=<foreign.secret>",
            "DocumentReference?location:below=http",
            "DocumentReference?contenttype=text/plain&subject=Patient/<foreign.patient>",
            "DocumentReference?relatesto=DocumentReference/<foreign.document>",
            "DocumentReference?related=Patient/<other.patient>",
            "DocumentReference?description=<foreign.marker>",
            "DocumentReference?_include=DocumentReference:related&_id=<own.document>",
            "DocumentReference/<foreign.document>/$docref",
            "DocumentReference/$docref?patient=<foreign.patient>",
            "DocumentReference/<foreign.document>/content",
            "Binary/<foreign.document>/_history/1",
            "Binary?_id=<foreign.document>",
            "Media/<foreign.document>",
            "Patient/<foreign.patient>/photo",
        ),
        *(
            Probe("POST", "DocumentReference", document(url=url, contentType="text/plain"), tokens=_OTHERS)
            for url in _URLS
        ),
        *(
            Probe(
                "POST",
                "DocumentReference",
                document(contentType="text/plain", data="eA==", **more),
                tokens=_OTHERS,
            )
            for more in ({"url": _URLS[1]}, {"title": "<foreign.marker>"})
        ),
        *(
            Probe("POST", "DocumentReference", document(data="eA==") | {name: value})
            for name, value in (
                ("relatesTo", [{"code": "appends", "target": _DOCUMENT}]),
                ("context", {"related": [{"reference": "Patient/<foreign.patient>"}]}),
                ("context", {"sourcePatientInfo": {"reference": "Patient/<foreign.patient>"}}),
            )
        ),
        *(Probe(method, path) for path in _STORED for method in ("GET", "HEAD")),
        *(Probe("GET", _STORED[0], headers={"Accept": accept}) for accept in _FORMS),
        *(
            Probe(
                "POST",
                "Binary",
                {
                    "resourceType": "Binary",
                    "contentType": "text/plain",
                    "data": "eA==",
                    "securityContext": {"reference": target},
                },
            )
            for target in ("Patient/<foreign.patient>", "DocumentReference/<foreign.document>")
        ),
    ]
)


async def test_contents_are_given_with_the_right_to_the_record_alone(escape: Suite) -> None:
    await nothing_escapes(escape, PROBES)
