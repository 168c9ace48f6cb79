"""A disk that is full: what cannot be recorded is not carried out, and once there is room all goes on."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from io import FileIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from facade.audit.spool import decode
from facade.hapi import HAPIClient
from tests.facade.world import MRN, World, code_of, opened, patient
from tests.smart_auth.flow import log_in

pytestmark = pytest.mark.server
AS_ROOT = () if os.geteuid() == 0 else ("sudo", "-n")


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path_factory.mktemp("disk")
    options = f"size=1m,uid={os.getuid()},mode=0700"
    subprocess.run([*AS_ROOT, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run([*AS_ROOT, "umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
async def crowded(
    hapi: Any, redis: Redis, keys_dir: Path, people: dict[str, str], small_disk: Path, tmp_path_factory: Any
) -> AsyncIterator[World]:
    """The facade with its spool on the small disk, and a doctor."""
    async with opened(
        tmp_path_factory.mktemp("facade"),
        redis,
        hapi_url=hapi.hapi_url,
        hapi_secret=hapi.secrets["hapi-facade"],
        keys_dir=keys_dir,
        spool_dir=small_disk / "spool",
    ) as world:
        await world.sign_in("doctor", "doctor", fhir_user=people["doctor"])
        yield world


def fill(disk: Path, name: str = "filler") -> Path:
    """Take every byte that is left."""
    filler = disk / name
    with filler.open("wb", buffering=0) as out:
        for size in (4096, 1):
            while _takes(out, size):
                pass
    return filler


def _takes(out: FileIO, size: int) -> bool:
    try:
        return bool(out.write(b"x" * size))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False


async def test_a_full_disk_refuses_reads_writes_and_logins_until_there_is_room(
    crowded: World, small_disk: Path, people: dict[str, str], workers: HAPIClient
) -> None:
    mrn = f"T-{uuid4().hex[:12]}"
    new = patient(identifier=[{"system": MRN, "value": mrn}])
    read = people["own"]
    assert (await crowded.ask("doctor", "GET", read)).status_code == 200

    filler = fill(small_disk)
    # The open segment has room that was reserved.
    while (answer := await crowded.ask("doctor", "GET", read)).status_code == 200:
        pass
    # What did not fit was given back.
    again = fill(small_disk, "more")
    for _ in range(20):
        answer = await crowded.ask("doctor", "GET", read)
        assert (answer.status_code, code_of(answer)) == (503, "ERR_590")
        assert answer.headers["retry-after"]
        assert "identifier" not in answer.text
    made = await crowded.ask("doctor", "POST", "Patient", json=new)
    assert (made.status_code, code_of(made)) == (503, "ERR_590")
    found = await workers.search("Patient", [("identifier", f"{MRN}|{mrn}")])
    assert not found.get("entry")
    refused = await crowded.ask(None, "GET", read)
    assert refused.status_code == 503, "a refusal that cannot be recorded is no answer either"
    async with crowded.browser() as browser:
        assert (await log_in(browser, "doctor")).status_code == 503
        ready = await browser.get("/health/ready")
        assert ready.json()["dependencies"]["audit"] == "down"
        assert (await browser.get("/health/live")).status_code == 200
    assert len(list(crowded.spool_dir.glob("*.spool"))) < 5, "refused requests leave no files behind"

    filler.unlink()
    again.unlink()
    assert (await crowded.ask("doctor", "GET", read)).status_code == 200
    made = await crowded.ask("doctor", "POST", "Patient", json=new)
    assert made.status_code == 201
    reads = [
        record["event"]
        for segment in sorted(crowded.spool_dir.glob("*.spool"))
        for line in segment.read_bytes().splitlines()
        if (record := decode(line)) is not None and record["event"]["action"] == "R"
    ]
    assert reads
    assert reads[-1]["outcome"] == "0"
