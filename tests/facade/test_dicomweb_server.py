"""DICOMweb on the real HAPI: who sees which images, and in what form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from facade.hapi import HAPIClient
from facade.routes import rendered
from imaging import names
from imaging.corrections import Corrections
from imaging.index import InstanceRow, OutcomeRow, SeriesRow, StudyRow
from imaging.orthanc_id import orthanc_id
from tests.facade.stored import HT, Images, instance_path
from tests.facade.world import code_of

pytestmark = pytest.mark.server


async def test_a_frame_goes_out_by_nginx_with_the_stored_label(
    images: Images, people: dict[str, str]
) -> None:
    study = await images.study(people["own"])
    answer = await images.get("doctor", f"{instance_path(study, 2)}/frames/1")
    assert answer.status_code == 200
    oid = images.index.instance(study, f"{study}.1", f"{study}.1.2").orthanc_id
    assert answer.headers["x-accel-redirect"] == f"/internal-orthanc/instances/{oid}/frames/0/raw"
    assert answer.headers["content-type"] == f"image/jphc; transfer-syntax={HT}"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.content == b""


@pytest.mark.parametrize(
    ("who", "state", "status"),
    [
        ("doctor", "available", 200),
        ("rib", "available", 200),
        ("admin", "available", 200),
        ("patient", "available", 200),
        ("doctor", "registered", 200),
        ("patient", "registered", 404),
        ("external", "available", 404),
        ("nurse", "available", 403),
        ("lab", "available", 403),
        (None, "available", 401),
    ],
)
async def test_the_studys_imagingstudy_decides_on_every_form(
    images: Images, people: dict[str, str], who: str | None, state: str, status: int
) -> None:
    study = await images.study(people["own"], state)
    for path in (
        f"{instance_path(study)}/frames/1",
        f"{instance_path(study)}/metadata",
        instance_path(study),
        f"studies/{study}/metadata",
        f"studies/{study}/series",
        f"studies/{study}/instances",
        f"studies/{study}/series/{study}.1/instances",
    ):
        answer = await images.get(who, path, accept="application/dicom; transfer-syntax=*, */*;q=0.5")
        assert answer.status_code == status, path
        assert ("x-accel-redirect" in answer.headers) == (
            status == 200 and path.endswith(("frames/1", f"{study}.1.1"))
        )


@pytest.mark.parametrize(("limit", "most"), [("MOST_PICTURES", 1), ("MOST_PIXELS", 191)])
async def test_more_pictures_or_pixels_than_one_answer_takes_are_refused_before_anything_is_drawn(
    images: Images, people: dict[str, str], monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    study = await images.study(people["own"])
    monkeypatch.setattr(rendered, limit, most)
    answer = await images.get(
        "doctor", f"studies/{study}/rendered", accept="multipart/related;type=image/png"
    )
    assert (answer.status_code, code_of(answer)) == (413, "ERR_104")


async def test_a_segmentation_is_no_picture_of_its_study(
    images: Images, people: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = await images.study(people["own"])
    await images.result(study, people["own"], "final")
    # The two slices fill the answer; it fails only where pixels are fetched, which nobody holds here.
    monkeypatch.setattr(rendered, "MOST_PICTURES", 2)
    answer = await images.get(
        "doctor", f"studies/{study}/rendered", accept="multipart/related;type=image/png"
    )
    assert (answer.status_code, code_of(answer)) == (503, "ERR_501")


@pytest.mark.parametrize(("who", "files"), [("doctor", 200), ("patient", 404)])
async def test_files_of_a_study_that_an_operator_assigned_go_to_staff_only(
    images: Images, people: dict[str, str], who: str, files: int
) -> None:
    study = await images.study(people["own"])
    journal = Corrections(images.index, images.world.services.settings.data_dir)
    journal.note(people["own"], reason="r", operator="o", at=1.0, study_uid=study)
    stored = "application/dicom; transfer-syntax=*"
    assert (await images.get(who, instance_path(study), accept=stored)).status_code == files
    if files == 404:  # decoded ones too, which only the pixels process could make
        assert (await images.get(who, instance_path(study))).status_code == files
        assert (await images.get(who, f"studies/{study}")).status_code == files
    for path in (f"{instance_path(study)}/frames/1", f"studies/{study}/metadata"):
        assert (await images.get(who, path)).status_code == 200


async def test_a_foreign_study_looks_like_one_that_is_not_there(
    images: Images, people: dict[str, str]
) -> None:
    foreign = await images.study(people["foreign"])
    bodies = []
    for study in (foreign, "1.2.3.4.5.6", "..", "1" * 80):
        answer = await images.get("patient", f"studies/{study}/metadata")
        assert answer.status_code == 404
        body = answer.json()
        del body["issue"][0]["diagnostics"]
        bodies.append(body)
    assert all(body == bodies[0] for body in bodies)


async def test_uids_of_different_studies_do_not_go_together(images: Images, people: dict[str, str]) -> None:
    own, foreign = await images.study(people["own"]), await images.study(people["foreign"])
    for path in (
        f"studies/{own}/series/{foreign}.1/instances/{foreign}.1.1/frames/1",
        f"studies/{own}/series/{own}.1/instances/{foreign}.1.1/frames/1",
        f"studies/{own}/series/{foreign}.1/metadata",
        f"studies/{own}/series/{foreign}.1/instances",
    ):
        assert (await images.get("patient", path)).status_code == 404


@pytest.mark.parametrize(
    ("frames", "status"),
    [
        ("2", 404),
        ("999999", 404),
        ("0", 400),
        ("-1", 400),
        ("1;2", 400),
        ("1,2", 404),
        ("x", 400),
        ("9999999", 400),
    ],
)
async def test_frame_numbers_out_of_range_are_refused(
    images: Images, people: dict[str, str], frames: str, status: int
) -> None:
    study = await images.study(people["own"])
    answer = await images.get("doctor", f"{instance_path(study)}/frames/{frames}")
    assert answer.status_code == status
    assert "x-accel-redirect" not in answer.headers


async def test_other_forms_come_from_pixels(images: Images, people: dict[str, str]) -> None:
    study = await images.study(people["own"])
    oid = images.index.instance(study, f"{study}.1", f"{study}.1.1").orthanc_id
    frames = f"{instance_path(study)}/frames/1"
    decoded = await images.get("doctor", frames, accept="application/octet-stream")
    assert decoded.headers["x-accel-redirect"] == (f"/internal-pixels/instances/{oid}/frames/1?form=single")
    packed = await images.get("doctor", frames, accept='multipart/related; type="image/jphc"')
    assert packed.headers["x-accel-redirect"] == (
        f"/internal-pixels/instances/{oid}/frames/1?form=multipart&stored={HT}"
    )
    whole = await images.get("doctor", instance_path(study), accept="application/dicom; transfer-syntax=*")
    assert whole.headers["x-accel-redirect"] == f"/internal-orthanc/instances/{oid}/file"
    answer = await images.get("doctor", frames, accept="image/png")
    assert (answer.status_code, code_of(answer)) == (406, "ERR_106")


async def test_an_instance_in_change_is_not_served_under_a_doubtful_label(
    images: Images, people: dict[str, str]
) -> None:
    study = await images.study(people["own"], outcome="pending")
    images.index.begin_change([f"{study}.1.1"])
    answer = await images.get("doctor", f"{instance_path(study)}/frames/1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert (await images.get("doctor", f"{instance_path(study, 2)}/frames/1")).status_code == 200
    images.index.set_outcomes([OutcomeRow(f"{study}.1.1", "done", "", HT, 1)])
    assert (await images.get("doctor", f"{instance_path(study)}/frames/1")).status_code == 200


async def test_a_known_frame_is_304_only_for_who_may_see_it(images: Images, people: dict[str, str]) -> None:
    study = await images.study(people["own"])
    frames = f"{instance_path(study)}/frames/1"
    tag = (await images.get("doctor", frames)).headers["etag"]
    again = await images.get("doctor", frames, **{"if-none-match": tag})
    assert (again.status_code, again.headers["etag"]) == (304, tag)
    assert "x-accel-redirect" not in again.headers
    assert (await images.get("external", frames, **{"if-none-match": tag})).status_code == 404
    other = await images.get("doctor", frames, accept="application/octet-stream", **{"if-none-match": tag})
    assert other.status_code == 200


async def test_head_asks_for_the_same_bytes(images: Images, people: dict[str, str]) -> None:
    study = await images.study(people["own"])
    frames = f"{instance_path(study)}/frames/1"
    get, head = await images.get("doctor", frames), await images.get("doctor", frames, "HEAD")
    for header in ("x-accel-redirect", "etag", "content-type"):
        assert get.headers[header] == head.headers[header]


@pytest.mark.parametrize(
    ("status", "doctor", "patient"),
    [
        (None, False, False),
        ("preliminary", True, False),
        ("final", True, True),
        ("amended", True, True),
        ("cancelled", False, False),
        ("entered-in-error", False, False),
    ],
)
async def test_a_segmentation_is_shown_as_its_report_allows(
    images: Images, people: dict[str, str], status: str | None, doctor: bool, patient: bool
) -> None:
    study = await images.study(people["own"])
    series = await images.result(study, people["own"], status)
    for who, shown in (("doctor", doctor), ("patient", patient)):
        path = f"studies/{study}/series/{series}/instances/{series}.1"
        direct = await images.get(who, path, accept="application/dicom; transfer-syntax=*")
        assert direct.status_code == (200 if shown else 404), who
        listed = (await images.get(who, f"studies/{study}/series")).json()
        assert (len(listed) == 2) == shown, who
        told = (await images.get(who, f"studies/{study}/metadata")).json()
        assert (len(told) == 3) == shown, who
        whole = (await images.get(who, f"studies?StudyInstanceUID={study}")).json()
        assert whole[0]["00201206"]["Value"] == [2 if shown else 1], who


@pytest.mark.parametrize("modality", ["SEG", "SR", "PR", "KO"])
async def test_what_a_reader_makes_of_the_images_is_for_staff(
    images: Images, people: dict[str, str], modality: str
) -> None:
    study = await images.study(people["own"])
    series = images.reading(study, people["own"], modality)
    for who, shown in (("doctor", True), ("patient", False)):
        path = f"studies/{study}/series/{series}/instances/{series}.1"
        whole = await images.get(who, path, accept="application/dicom; transfer-syntax=*")
        assert whole.status_code == (200 if shown else 404), who
        listed = (await images.get(who, f"studies/{study}/series")).json()
        assert (len(listed) == 2) == shown, who
        found = (await images.get(who, f"studies?StudyInstanceUID={study}")).json()
        assert (modality in found[0]["00080061"]["Value"]) == shown, who


async def test_a_withdrawn_series_is_served_to_nobody(images: Images, people: dict[str, str]) -> None:
    study = await images.study(people["own"])
    series = await images.result(study, people["own"], "final")
    images.index.set_series_state(series, "withdrawn")
    answer = await images.get("admin", f"studies/{study}/series/{series}/instances/{series}.1")
    assert answer.status_code == 404


async def test_the_study_list_holds_what_may_be_seen(images: Images, people: dict[str, str]) -> None:
    own, foreign = await images.study(people["own"]), await images.study(people["foreign"])
    hidden = await images.study(people["own"], "registered")
    query = f"studies?StudyInstanceUID={own},{foreign},{hidden}"

    async def seen(who: str) -> set[str]:
        answer = await images.get(who, query)
        assert answer.status_code == 200, answer.text
        return {one["0020000D"]["Value"][0] for one in answer.json()}

    assert await seen("doctor") == {own, foreign, hidden}
    assert await seen("patient") == {own}
    assert await seen("external") == set()
    assert (await images.get("nurse", query)).status_code == 403


async def test_a_shared_patients_study_is_seen_from_outside_while_it_is_shared(
    images: Images, people: dict[str, str], workers: HAPIClient
) -> None:
    person = await images.world.ask(
        "admin",
        "POST",
        "Patient",
        json={"resourceType": "Patient", "identifier": [{"system": names.MRN, "value": uuid4().hex}]},
    )
    reference = f"Patient/{person.json()['id']}"
    study = await images.study(reference)
    assert (await images.get("external", f"studies/{study}/metadata")).status_code == 404
    group = {
        "resourceType": "Group",
        "type": "person",
        "actual": True,
        "active": True,
        "managingEntity": {"reference": people["organization"]},
        "member": [{"entity": {"reference": reference}}],
    }
    made = await images.world.ask("admin", "POST", "Group", json=group)
    assert made.status_code == 201, made.text
    assert (await images.get("external", f"studies/{study}/metadata")).status_code == 200
    ended = {**made.json(), "active": False}
    changed = await images.world.ask(
        "admin", "PUT", f"Group/{made.json()['id']}", json=ended, headers={"If-Match": made.headers["etag"]}
    )
    assert changed.status_code == 200, changed.text
    assert (await images.get("external", f"studies/{study}/metadata")).status_code == 404


async def test_what_is_seen_is_on_record(images: Images, people: dict[str, str]) -> None:
    study = await images.study(people["own"])
    before = len(images.world.trail())
    for number in (1, 2):
        for _ in range(3):
            await images.get("doctor", f"{instance_path(study, number)}/frames/1")
    await images.get("doctor", f"studies/{study}/metadata")
    await images.get("external", f"studies/{study}/metadata")
    events = [record["event"] for record in images.world.trail()[before:]]
    seen = [event for event in events if event["outcome"] == "0"]
    # six frames of one series in one minute are one viewing (two where the minute turned), metadata one more
    assert len(seen) in (2, 3)
    for event in seen:
        assert {"reference": people["own"]} in [entity["what"] for entity in event["entity"]]
    refused = [event for event in events if event["outcome"] == "4"]
    assert len(refused) == 1
    assert {"system": "urn:dicom:uid", "value": f"urn:oid:{study}"} in [
        entity.get("what", {}).get("identifier") for entity in refused[0]["entity"]
    ]


async def test_a_study_without_a_record_in_hapi_is_not_served(images: Images, people: dict[str, str]) -> None:
    study = f"1.2.{int(datetime.now(UTC).timestamp())}.{uuid4().int}"[:60]
    row = StudyRow(study, people["own"], state="available")
    instance: dict[str, Any] = {"frames": 1, "outcome": "done"}
    images.index.add(
        row,
        SeriesRow(f"{study}.1", study),
        InstanceRow(
            f"{study}.1.1",
            f"{study}.1",
            study,
            people["own"],
            orthanc_id("a", study, "b", "c"),
            "c",
            HT,
            "d",
            **instance,
        ),
    )
    assert (await images.get("admin", f"{instance_path(study)}/frames/1")).status_code == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ("frames = 1000", 503),  # let through; no pixels process runs here
        ("frames = 1001", 413),
        ("rows = 8192, columns = 8192", 503),
        ("rows = 8193, columns = 8192", 413),
    ],
)
async def test_more_pictures_or_pixels_than_one_answer_holds_are_413(
    images: Images, people: dict[str, str], change: str, status: int
) -> None:
    study = await images.study(people["own"])
    with images.index.transaction() as database:
        statement = f"UPDATE instances SET {change} WHERE sop_uid = ?"  # noqa: S608 - own text only
        database.execute(statement, (f"{study}.1.1",))
    answer = await images.get("doctor", f"{instance_path(study)}/rendered")
    assert answer.status_code == status


async def test_a_known_picture_is_304_only_for_who_may_see_it(images: Images, people: dict[str, str]) -> None:
    study = await images.study(people["own"])
    path = f"{instance_path(study)}/rendered"
    tag = (await images.get("doctor", path, **{"if-none-match": "*"})).headers["etag"]
    again = await images.get("doctor", path, **{"if-none-match": f'W/{tag}, "other"'})
    assert (again.status_code, again.headers["etag"], again.content) == (304, tag, b"")
    for changed in (f"{path}?quality=50", f"{path}?viewport=10,10", f"{instance_path(study, 2)}/rendered"):
        answer = await images.get("doctor", changed, **{"if-none-match": tag})
        assert answer.status_code == 503, changed  # other bytes, which pixels would make
    for who in ("external", "patient"):
        answer = await images.get(who, path, **{"if-none-match": tag})
        assert answer.status_code == (304 if who == "patient" else 404), who
