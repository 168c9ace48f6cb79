from typing import Any, cast

import pytest

from imaging.orthanc import OrthancClient
from subscriptions.directory import Directory
from subscriptions.modalities import mirror


class Registered:
    def __init__(self, *devices: dict[str, Any]) -> None:
        self.devices = list(devices)

    async def modalities(self) -> list[dict[str, Any]]:
        return self.devices


class Orthanc:
    def __init__(self, **known: dict[str, Any]) -> None:
        self.known: dict[str, dict[str, Any]] = known
        self.writes = 0

    async def modalities(self) -> dict[str, dict[str, Any]]:
        return dict(self.known)

    async def put_modality(self, name: str, aet: str, host: str, port: int) -> None:
        self.known[name] = {"AET": aet, "Host": host, "Port": port}
        self.writes += 1

    async def delete_modality(self, name: str) -> None:
        del self.known[name]


def _device(id_: str, aet: str, url: str) -> dict[str, Any]:
    return {"id": id_, "identifier": [{"system": "urn:neuronova:ae-title", "value": aet}], "url": url}


async def _mirror(registered: Registered, orthanc: Orthanc) -> None:
    await mirror(cast(Directory, registered), cast(OrthancClient, orthanc))


async def test_orthanc_knows_exactly_the_registered_modalities() -> None:
    registered, orthanc = Registered(_device("a.b", "MR1", "dicom://10.0.0.5:11112")), Orthanc()
    await _mirror(registered, orthanc)
    assert orthanc.known == {"nn-a_b": {"AET": "MR1", "Host": "10.0.0.5", "Port": 11112}}
    await _mirror(registered, orthanc)
    assert orthanc.writes == 1
    registered.devices.clear()
    await _mirror(registered, orthanc)
    assert orthanc.known == {}


async def test_a_modality_that_moved_is_told_to_orthanc() -> None:
    orthanc = Orthanc(**{"nn-a": {"AET": "MR1", "Host": "old", "Port": 104}})
    await _mirror(Registered(_device("a", "MR1", "dicom://new")), orthanc)
    assert orthanc.known["nn-a"] == {"AET": "MR1", "Host": "new", "Port": 104}


async def test_what_an_operator_configured_is_left_alone() -> None:
    orthanc = Orthanc(other={"AET": "X"})
    await _mirror(Registered(), orthanc)
    assert "other" in orthanc.known


@pytest.mark.parametrize(
    ("aet", "url"),
    [
        ("MR1", "http://10.0.0.5"),
        ("MR1", ""),
        ("MR1", "dicom://h:99999"),
        ("TOO-LONG-FOR-AN-AE", "dicom://h"),
        ("A\\B", "dicom://h"),
    ],
)
async def test_a_device_without_usable_address_or_title_gets_nothing(aet: str, url: str) -> None:
    orthanc = Orthanc()
    await _mirror(Registered(_device("a", aet, url)), orthanc)
    assert orthanc.known == {}
