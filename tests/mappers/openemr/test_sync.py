"""Resources arrive in OpenEMR's tables: once, whole, nowhere else. On a real MariaDB, in each schema."""

import asyncio
import datetime
import threading
from uuid import UUID

import pytest

from mappers.openemr.database import OpenEMRDatabase
from mappers.openemr.errors import (
    MissingValueError,
    OpenEMRTemporaryError,
    SubjectChangedError,
    SyncConflictError,
    UnmappableError,
    ValueTooLongError,
)
from mappers.openemr.settings import OpenEMRSettings
from mappers.openemr.sync import Applied, sync
from tests.mappers.openemr import resources as make
from tests.mappers.openemr.conftest import Hospital

pytestmark = pytest.mark.server


async def bring(hospital: Hospital, resource: make.Resource) -> Applied:
    hospital.put(resource)
    return await sync(
        resource["resourceType"], resource["id"], read=hospital.read, database=hospital.database
    )


def row_of(hospital: Hospital, table: str, resource: make.Resource) -> dict[str, object]:
    query = f"SELECT * FROM {table} WHERE uuid = :uuid"  # noqa: S608  # our own table names
    rows = hospital.rows(query, uuid=UUID(resource["id"]).bytes)
    assert len(rows) == 1
    return dict(rows[0])


async def test_an_order_brings_its_patient_and_doctor_and_stands_in_the_chart(hospital: Hospital) -> None:
    doctor, patient = hospital.put(make.practitioner()), hospital.put(make.patient())
    order = make.order(patient, requester=make.link(doctor))
    applied = await bring(hospital, order)
    assert applied.outcome == "written"

    person = row_of(hospital, "patient_data", patient)
    assert (person["lname"], person["fname"], person["sex"]) == ("시험", "환자", "Female")
    assert person["DOB"] == datetime.date(1970, 1, 2)
    assert person["pubpid"] == patient["identifier"][0]["value"]
    user = row_of(hospital, "users", doctor)
    assert (user["npi"], user["username"], user["phonew1"]) == ("12345", None, "02-000-0000")
    row = row_of(hospital, "procedure_order", order)
    assert row["patient_id"] == person["pid"]
    assert row["provider_id"] == user["id"]
    # 16:30 UTC is 01:30 of the next day in Seoul.
    assert row["date_ordered"] == datetime.datetime.fromisoformat("2026-11-21T01:30")
    assert (row["order_status"], row["order_priority"], row["control_id"]) == ("pending", "urgent", "ACC-1")
    assert (row["order_diagnosis"], row["clinical_hx"]) == ("ICD10:R51", "headache for two weeks")
    code = hospital.rows(
        "SELECT * FROM procedure_order_code WHERE procedure_order_id = :id", id=row["procedure_order_id"]
    )
    assert [(line["procedure_code"], line["procedure_order_title"]) for line in code] == [
        ("LOINC:24590-2", "imaging")
    ]
    forms = hospital.rows(
        "SELECT formdir, form_id, encounter, deleted FROM forms WHERE pid = :pid ORDER BY id",
        pid=person["pid"],
    )
    visit = hospital.rows("SELECT * FROM form_encounter WHERE pid = :pid", pid=person["pid"])
    assert len(visit) == 1
    assert row["encounter_id"] == visit[0]["encounter"]
    assert [(f["formdir"], f["form_id"], f["encounter"], f["deleted"]) for f in forms] == [
        ("newpatient", visit[0]["id"], visit[0]["encounter"], 0),
        ("procedure_order", row["procedure_order_id"], visit[0]["encounter"], 0),
    ]


async def test_every_uuid_is_in_the_registry_by_which_openemr_finds_it(hospital: Hospital) -> None:
    patient = hospital.put(make.patient())
    order = make.order(patient)
    await bring(hospital, order)
    found = hospital.rows(
        "SELECT table_name, table_id FROM uuid_registry WHERE uuid IN (:order, :patient) ORDER BY table_name",
        order=UUID(order["id"]).bytes,
        patient=UUID(patient["id"]).bytes,
    )
    assert [(row["table_name"], row["table_id"]) for row in found] == [
        ("patient_data", "id"),
        ("procedure_order", "procedure_order_id"),
    ]


async def test_a_second_time_and_an_older_version_change_nothing(hospital: Hospital) -> None:
    patient = make.patient()
    newer = make.next_version(patient, gender="male")
    await bring(hospital, newer)
    assert (await bring(hospital, newer)).outcome == "current"
    assert (await bring(hospital, patient)).outcome == "current"
    assert row_of(hospital, "patient_data", patient)["sex"] == "Male"


async def test_an_update_touches_mapped_columns_only(hospital: Hospital) -> None:
    patient = make.patient()
    await bring(hospital, patient)
    hospital.run(
        "UPDATE patient_data SET occupation = 'tester', phone_contact = '119' WHERE uuid = :uuid",
        uuid=UUID(patient["id"]).bytes,
    )
    applied = await bring(hospital, make.next_version(patient, birthDate="1971-01-02"))
    assert [(row.table, row.action) for row in applied.rows] == [("patient_data", "update")]
    row = row_of(hospital, "patient_data", patient)
    assert row["DOB"] == datetime.date(1971, 1, 2)
    assert (row["occupation"], row["phone_contact"]) == ("tester", "119")


async def test_a_change_made_in_openemr_is_not_overwritten(hospital: Hospital) -> None:
    patient = make.patient()
    await bring(hospital, patient)
    hospital.run("UPDATE patient_data SET city = 'Busan' WHERE uuid = :uuid", uuid=UUID(patient["id"]).bytes)
    with pytest.raises(SyncConflictError):
        await bring(hospital, make.next_version(patient, gender="male"))
    row = row_of(hospital, "patient_data", patient)
    assert (row["city"], row["sex"]) == ("Busan", "Female")


async def test_a_row_deleted_in_openemr_is_a_conflict_and_does_not_come_back(hospital: Hospital) -> None:
    patient = make.patient()
    await bring(hospital, patient)
    hospital.run("DELETE FROM patient_data WHERE uuid = :uuid", uuid=UUID(patient["id"]).bytes)
    with pytest.raises(SyncConflictError):
        await bring(hospital, make.next_version(patient, gender="male"))
    found = hospital.rows("SELECT pid FROM patient_data WHERE uuid = :uuid", uuid=UUID(patient["id"]).bytes)
    assert found == []


async def test_an_order_uses_the_encounter_that_it_names(hospital: Hospital) -> None:
    patient = hospital.put(make.patient())
    visit = hospital.put(make.encounter(patient))
    order = make.order(patient, encounter=make.link(visit))
    await bring(hospital, order)
    made = row_of(hospital, "form_encounter", visit)
    assert made["date"] == datetime.datetime.fromisoformat("2026-11-21T00:00")
    assert (made["reason"], made["class_code"]) == ("headache", "AMB")
    assert row_of(hospital, "procedure_order", order)["encounter_id"] == made["encounter"]
    assert len(hospital.rows("SELECT id FROM form_encounter WHERE pid = :pid", pid=made["pid"])) == 1


async def test_an_encounter_of_another_patient_is_refused(hospital: Hospital) -> None:
    patient, other = hospital.put(make.patient()), hospital.put(make.patient())
    visit = hospital.put(make.encounter(other))
    order = make.order(patient, encounter=make.link(visit))
    with pytest.raises(SyncConflictError):
        await bring(hospital, order)
    assert not hospital.rows("SELECT uuid FROM procedure_order WHERE uuid = :u", u=UUID(order["id"]).bytes)


async def test_an_order_never_moves_to_another_patient(hospital: Hospital) -> None:
    patient, other = hospital.put(make.patient()), hospital.put(make.patient())
    visit = hospital.put(make.encounter(patient))
    order = make.order(patient, encounter=make.link(visit))
    await bring(hospital, order)
    before = row_of(hospital, "procedure_order", order)
    with pytest.raises((SubjectChangedError, SyncConflictError)):
        await bring(hospital, make.next_version(order, subject=make.link(other), encounter=None))
    assert row_of(hospital, "procedure_order", order) == before


async def test_nothing_of_a_report_is_written_before_it_is_signed(hospital: Hospital) -> None:
    patient = hospital.put(make.patient())
    order = hospital.put(make.order(patient))
    volume = hospital.put(make.observation(patient, status="preliminary"))
    draft = make.report(order, [volume], status="preliminary")
    assert (await bring(hospital, draft)).outcome == "unsigned"
    cancelled = make.next_version(draft, status="cancelled")
    assert (await bring(hospital, cancelled)).outcome == "unsigned"
    assert not hospital.rows("SELECT uuid FROM procedure_report WHERE uuid = :u", u=UUID(draft["id"]).bytes)


async def test_a_signed_report_comes_with_its_results(hospital: Hospital) -> None:
    patient, reader = hospital.put(make.patient()), hospital.put(make.practitioner())
    order = hospital.put(make.order(patient))
    volume = hospital.put(make.observation(patient))
    none = hospital.put(make.observation(patient, valueQuantity={"value": 0, "unit": "mL"}))
    signed = make.report(order, [volume, none], resultsInterpreter=[make.link(reader)])
    await bring(hospital, signed)
    row = row_of(hospital, "procedure_report", signed)
    assert row["procedure_order_id"] == row_of(hospital, "procedure_order", order)["procedure_order_id"]
    assert (row["report_status"], row["review_status"]) == ("final", "received")
    assert (row["date_report"], row["date_report_tz"]) == (
        datetime.datetime.fromisoformat("2026-11-21T11:00"),
        "+0900",
    )
    assert row["source"] == row_of(hospital, "users", reader)["id"]
    result = row_of(hospital, "procedure_result", volume)
    assert (result["result"], result["units"], result["result_status"]) == ("12.5", "mL", "final")
    # OpenEMR shows nothing at all for "0".
    assert row_of(hospital, "procedure_result", none)["result"] == "0.0"


async def test_an_amended_report_marks_what_it_no_longer_says(hospital: Hospital) -> None:
    patient = hospital.put(make.patient())
    order = hospital.put(make.order(patient))
    kept, dropped = hospital.put(make.observation(patient)), hospital.put(make.observation(patient))
    signed = make.report(order, [kept, dropped])
    await bring(hospital, signed)
    hospital.put(make.next_version(kept, valueQuantity={"value": 9, "unit": "mL"}))
    await bring(hospital, make.next_version(signed, status="amended", result=[make.link(kept)]))
    assert row_of(hospital, "procedure_report", signed)["report_status"] == "correct"
    assert row_of(hospital, "procedure_result", kept)["result"] == "9"
    assert row_of(hospital, "procedure_result", dropped)["result_status"] == "error"


async def test_a_withdrawn_report_is_marked_and_not_deleted(hospital: Hospital) -> None:
    patient = hospital.put(make.patient())
    order = hospital.put(make.order(patient))
    volume = hospital.put(make.observation(patient))
    signed = make.report(order, [volume])
    await bring(hospital, signed)
    hospital.put(make.next_version(volume, status="entered-in-error"))
    await bring(hospital, make.next_version(signed, status="entered-in-error"))
    assert row_of(hospital, "procedure_report", signed)["report_status"] == "error"
    assert row_of(hospital, "procedure_result", volume)["result_status"] == "error"


async def test_a_report_without_an_order_is_refused(hospital: Hospital) -> None:
    patient = hospital.put(make.patient())
    signed = make.report(make.order(patient), [], basedOn=[])
    with pytest.raises(MissingValueError):
        await bring(hospital, signed)


async def test_a_text_that_does_not_fit_leaves_nothing_behind(hospital: Hospital) -> None:
    patient = hospital.put(make.patient())
    order = make.order(patient, note=[{"text": "x" * 256}])
    with pytest.raises(ValueTooLongError):
        await bring(hospital, order)
    pid = row_of(hospital, "patient_data", patient)["pid"]
    for table, column in (("procedure_order", "patient_id"), ("form_encounter", "pid"), ("forms", "pid")):
        query = f"SELECT 1 FROM {table} WHERE {column} = :pid"  # noqa: S608  # our own table names
        assert hospital.rows(query, pid=pid) == []


async def test_a_resource_of_another_type_is_refused(hospital: Hospital) -> None:
    with pytest.raises(UnmappableError):
        await sync("Location", "1", read=hospital.read, database=hospital.database)


async def test_many_new_patients_at_once_get_a_pid_each(hospital: Hospital) -> None:
    stop = threading.Event()
    failures: list[Exception] = []

    def openemr() -> None:
        """Takes pids as OpenEMR does: without our lock."""
        taken = 0
        while not stop.is_set() and taken < 40:
            try:
                hospital.run(
                    "INSERT INTO patient_data (pid, fname)"
                    " SELECT COALESCE(MAX(pid), 0) + 1, 'x' FROM patient_data"
                )
                taken += 1
            except Exception as error:  # noqa: BLE001  # the race that it loses is its own
                failures.append(error)

    rival = threading.Thread(target=openemr)
    rival.start()
    try:
        patients = [make.patient() for _ in range(24)]
        await asyncio.gather(*(bring(hospital, patient) for patient in patients))
    finally:
        stop.set()
        rival.join()
    pids = {row_of(hospital, "patient_data", patient)["pid"] for patient in patients}
    assert len(pids) == len(patients)
    assert 0 not in pids


async def test_the_same_order_from_several_workers_is_one_row(hospital: Hospital) -> None:
    patient = hospital.put(make.patient())
    order = make.order(patient)
    outcomes = await asyncio.gather(*(bring(hospital, order) for _ in range(6)))
    assert sorted(applied.outcome for applied in outcomes) == ["current"] * 5 + ["written"]
    pid = row_of(hospital, "patient_data", patient)["pid"]
    assert len(hospital.rows("SELECT 1 FROM procedure_order WHERE patient_id = :pid", pid=pid)) == 1
    assert len(hospital.rows("SELECT 1 FROM forms WHERE pid = :pid", pid=pid)) == 2


async def test_an_openemr_without_the_newer_columns_gets_the_others(hospital: Hospital) -> None:
    hospital.run("ALTER TABLE procedure_order DROP COLUMN order_intent")
    try:
        order = hospital.put(make.order(hospital.put(make.patient())))
        with OpenEMRDatabase(hospital.settings) as older:
            await sync("ServiceRequest", order["id"], read=hospital.read, database=older)
        assert row_of(hospital, "procedure_order", order)["order_status"] == "pending"
    finally:
        hospital.run(
            "ALTER TABLE procedure_order ADD COLUMN order_intent varchar(31) NOT NULL DEFAULT 'order'"
        )
        hospital.grant()


async def test_a_database_that_is_away_is_a_temporary_error(hospital: Hospital) -> None:
    nobody = "mysql+pymysql://oesync:x@127.0.0.1:1"
    settings = OpenEMRSettings(database_url=f"{nobody}/openemr", sync_database_url=f"{nobody}/neuronova")
    with OpenEMRDatabase(settings) as away, pytest.raises(OpenEMRTemporaryError):
        await sync("Patient", hospital.put(make.patient())["id"], read=hospital.read, database=away)
