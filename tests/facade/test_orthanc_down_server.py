"""While Orthanc is down: what needs it says so, the rest goes on, nothing is half stored."""

from uuid import uuid4

import numpy as np
import pytest

from facade.errors import DependencyError
from imaging.reasons import PROCESSING_FAILURE
from tests.facade.door import Door
from tests.imaging.builders import mr_file, multipart
from tests.servers.stack import Stack, wait_for

pytestmark = pytest.mark.server


def test_what_needs_orthanc_says_so_and_the_rest_goes_on(servers: Stack, door: Door) -> None:
    study = f"/dicom-web/studies/{door.uid}"
    metadata = door.doctor.get(f"{study}/metadata")
    (uid,) = metadata.json()[0]["00080018"]["Value"]
    instance = f"{study}/series/{door.uid}.1/instances/{uid}"
    whole = [f"{instance}/frames/1", instance, study, f"{instance}/rendered"]
    other = f"1.2.{uuid4().int}"[:56]
    file = mr_file(np.zeros((9, 7), "<u2"), study_uid=other, series_uid=f"{other}.1", PatientID=door.mrn)
    body, content_type = multipart(file)
    upload = {"content": body, "headers": {"Content-Type": content_type}}
    servers.stop("orthanc")
    try:
        for path in whole:
            answer = door.doctor.get(path)
            assert answer.status_code == 503, path
            (issue,) = answer.json()["issue"]
            assert issue["details"]["coding"][0]["code"] == DependencyError.code, path
            assert int(answer.headers["Retry-After"]) > 0
        assert door.doctor.get(f"{study}/metadata").json() == metadata.json()
        assert len(door.doctor.get(f"{study}/instances").json()) == len(door.images)
        refused = door.doctor.post("/dicom-web/studies", **upload)
        assert refused.status_code == 409
        (failed,) = refused.json()["00081198"]["Value"]
        assert failed["00081197"]["Value"] == [PROCESSING_FAILURE]
        assert list((servers.var / "stow").iterdir()) == []
    finally:
        servers.start("orthanc")
    for path in whole:
        assert door.doctor.get(path).status_code == 200, path
    assert door.doctor.post("/dicom-web/studies", **upload).status_code == 200
    found = f"/dicom-web/studies/{other}/metadata"
    wait_for(lambda: door.doctor.get(found).status_code == 200, "what came afterwards to be taken in", 60)
