"""QIDO-RS on the real HAPI: what matches at each level, in which pages, and for whom."""

from __future__ import annotations

from typing import Any

import pytest

from tests.facade.stored import HT, Images

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("StudyInstanceUID={study}", True),
        ("0020000D={study}", True),
        ("StudyInstanceUID={study}&ModalitiesInStudy=MR", True),
        ("StudyInstanceUID={study}&ModalitiesInStudy=CT", False),
        ("StudyInstanceUID={study}&StudyDate=20260101-20260103", True),
        ("StudyInstanceUID={study}&StudyDate=20260103-", False),
        ("StudyInstanceUID={study}&StudyDate=20260102", True),
        ("StudyInstanceUID={study}&PatientName=Demo*", True),
        ("StudyInstanceUID={study}&PatientName=Demo^own", True),
        ("StudyInstanceUID={study}&PatientName=Nobody*", False),
        ("StudyInstanceUID={study}&PatientID=no-such-id", False),
        (
            "StudyInstanceUID={study}&includefield=00081030%2C00080060&limit=101&offset=0&fuzzymatching=false",
            True,
        ),
        ("StudyInstanceUID={study}&offset=1", False),
        ("StudyInstanceUID={study}&PatientName=*%50atient+One", True),
        ("StudyInstanceUID={study}&PatientName=*ati?nt*", True),
        ("StudyInstanceUID={study}&PatientName=*Two", False),
        ("StudyInstanceUID={study}&StudyTime=10-1011", True),
        ("StudyInstanceUID={study}&StudyTime=11-", False),
        ("StudyInstanceUID={study}&AccessionNumber=A*", True),
        ("StudyInstanceUID={study}&AccessionNumber=B*", False),
        ("StudyInstanceUID={study}&StudyDescription=*%61in", True),
        ("StudyInstanceUID={study}&PatientSex=F&PatientBirthDate=-19700101", True),
        ("StudyInstanceUID={study}&PatientSex=M", False),
        ("StudyInstanceUID=1.2.3%5C{study}", True),
        ("StudyInstanceUID={study}&ReferringPhysicianName=", True),
    ],
)
async def test_studies_are_matched_by_their_attributes(
    images: Images, people: dict[str, str], query: str, found: bool
) -> None:
    study = await images.study(people["own"], AccessionNumber="A-1")
    answer = await images.get("doctor", "studies?" + query.format(study=study))
    assert answer.status_code == 200, answer.text
    assert [one["0020000D"]["Value"][0] for one in answer.json()] == ([study] if found else [])


@pytest.mark.parametrize(
    "query",
    [
        "StudyInstanceUID=..",
        "StudyDate=x",
        "limit=-1",
        "limit=0",
        "StudyDate=20261399",
        "Modality=MR",
        "PatientID=1&PatientID=2",
        "fuzzymatching=x",
        "Rows=3",
        "_include=*",
        "a=1",
    ],
)
async def test_a_query_that_is_not_understood_is_refused(images: Images, query: str) -> None:
    assert (await images.get("doctor", f"studies?{query}")).status_code == 400


def uids(answer: Any, tag: str) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one[tag]["Value"][0] for one in answer.json()]


SERIES, INSTANCE = "0020000E", "00080018"


async def test_every_level_is_searched_across_studies(images: Images, people: dict[str, str]) -> None:
    study = await images.study(people["own"])
    found = await images.get("doctor", f"series?StudyInstanceUID={study}&Modality=MR&PatientName=*One")
    assert uids(found, SERIES) == [f"{study}.1"]
    (one,) = found.json()
    # The study's attributes come too (table 10.6.3-4), the instance's do not.
    assert one["00100010"]["Value"] == [{"Alphabetic": "Demo^Patient One"}]
    assert one["00201209"]["Value"] == [2]
    assert INSTANCE not in one
    assert uids(await images.get("doctor", f"series?SeriesInstanceUID={study}.1"), SERIES) == [f"{study}.1"]
    assert uids(await images.get("doctor", f"series?SeriesInstanceUID={study}.7"), SERIES) == []
    found = await images.get("doctor", f"instances?StudyInstanceUID={study}&InstanceNumber=2")
    assert uids(found, INSTANCE) == [f"{study}.1.2"]
    assert found.json()[0]["00083002"]["Value"] == [HT]
    assert uids(await images.get("doctor", f"instances?SOPInstanceUID={study}.1.1"), INSTANCE) == [
        f"{study}.1.1"
    ]
    found = await images.get("doctor", f"studies/{study}/instances?Modality=MR&InstanceNumber=1")
    assert uids(found, INSTANCE) == [f"{study}.1.1"]
    assert uids(await images.get("doctor", f"studies/{study}/instances?Modality=CT"), INSTANCE) == []


async def test_pages_hold_each_result_once_and_say_that_there_is_more(
    images: Images, people: dict[str, str]
) -> None:
    study = await images.study(people["own"])
    for path, tag in (
        (f"studies/{study}/instances?", INSTANCE),
        (f"studies/{study}/series/{study}.1/instances?", INSTANCE),
        (f"instances?StudyInstanceUID={study}&", INSTANCE),
    ):
        pages = [uids(await images.get("doctor", f"{path}limit=1&offset={n}"), tag) for n in range(3)]
        assert pages == [[f"{study}.1.1"], [f"{study}.1.2"], []]
    other = await images.study(people["own"])
    query = f"studies?StudyInstanceUID={study},{other}&PatientName=*One&limit=1"
    both = [uids(await images.get("doctor", f"{query}&offset={n}"), "0020000D") for n in range(3)]
    assert sorted(both[:2]) == sorted([[study], [other]])
    assert both[2] == []
    fuzzy = await images.get("doctor", f"studies?StudyInstanceUID={study}&fuzzymatching=true")
    assert fuzzy.headers["warning"].startswith("299")
    assert "warning" not in (await images.get("doctor", f"studies?StudyInstanceUID={study}")).headers


async def test_fields_are_included_by_tag_keyword_or_all_at_their_own_level(
    images: Images, people: dict[str, str]
) -> None:
    study = await images.study(people["own"])
    base = f"studies/{study}/series/{study}.1/instances"
    position, bits = "00200032", "00280101"
    usual = (await images.get("doctor", base)).json()[0]
    assert position not in usual
    asked = (await images.get("doctor", f"{base}?includefield=ImagePositionPatient%2C{bits}")).json()[0]
    assert {position, bits} <= set(asked)
    everything = (await images.get("doctor", f"{base}?includefield=all")).json()[0]
    assert {position, bits, "00100010", "00083002", "00081190"} <= set(everything)
    listed = f"studies?StudyInstanceUID={study}&includefield=all&includefield=ImagePositionPatient"
    of_study = (await images.get("doctor", listed)).json()[0]
    assert not {position, SERIES, INSTANCE} & set(of_study)
    assert of_study["00081030"]["Value"] == ["Brain"]


@pytest.mark.parametrize("level", ["studies", "series", "instances"])
async def test_the_compartment_holds_at_every_level(
    images: Images, people: dict[str, str], level: str
) -> None:
    own, foreign = await images.study(people["own"]), await images.study(people["foreign"])
    hidden = await images.study(people["own"], "registered")
    segmented = await images.result(own, people["own"], "preliminary")
    query = f"{level}?StudyInstanceUID={own},{foreign},{hidden}"
    assert set(uids(await images.get("doctor", query), "0020000D")) == {own, foreign, hidden}
    assert set(uids(await images.get("patient", query), "0020000D")) == {own}
    assert uids(await images.get("external", query), "0020000D") == []
    assert (await images.get("nurse", query)).status_code == 403
    assert (await images.get(None, query)).status_code == 401
    # Nor does a key tell the patient that a draft is there.
    drafts = "ModalitiesInStudy=SE*" if level == "studies" else f"SeriesInstanceUID={segmented}"
    found = f"{level}?StudyInstanceUID={own}&{drafts}"
    assert set(uids(await images.get("doctor", found), "0020000D")) == {own}
    assert uids(await images.get("patient", found), "0020000D") == []


async def test_a_page_is_not_filled_with_what_others_own(images: Images, people: dict[str, str]) -> None:
    own = await images.study(people["own"])
    others = [await images.study(people["foreign"]) for _ in range(6)]
    query = f"studies?StudyInstanceUID={','.join([*others, own])}&limit=1"
    assert uids(await images.get("patient", query), "0020000D") == [own]


async def test_a_search_is_recorded_with_each_patient_it_shows(
    images: Images, people: dict[str, str]
) -> None:
    own, foreign = await images.study(people["own"]), await images.study(people["foreign"])
    before = len(images.world.trail())
    await images.get("doctor", f"instances?StudyInstanceUID={own},{foreign}")
    events = [record["event"] for record in images.world.trail()[before:]]
    shown = {
        entity["what"].get("reference") for event in events for entity in event["entity"] if "what" in entity
    }
    assert {people["own"], people["foreign"]} <= shown
