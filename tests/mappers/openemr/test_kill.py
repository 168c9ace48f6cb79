"""A process killed in the middle of its transaction leaves nothing; the next one leaves exactly one order."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest

from deploy.settings import ROOT
from mappers.openemr.sync import sync
from tests.mappers.openemr import resources as make
from tests.mappers.openemr.conftest import Hospital

pytestmark = pytest.mark.server

# Dies at the cross-reference of the named table: rows before it are written, not committed.
_VICTIM = """
import asyncio, json, os, signal, sys
from mappers.openemr.database import OpenEMRDatabase
from mappers.openemr.links import Links
from mappers.openemr.settings import OpenEMRSettings
from mappers.openemr.sync import sync

table, resources = sys.argv[1], json.loads(sys.stdin.read())
save = Links.save

def dying(self, owner, table_name, *rest):
    if (owner.type, table_name) == ("ServiceRequest", table):
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, owner, table_name, *rest)

Links.save = dying

async def read(type_, id_):
    return resources[f"{type_}/{id_}"]

order = next(name for name in resources if name.startswith("ServiceRequest/"))
asyncio.run(sync(*order.split("/"), read=read, database=OpenEMRDatabase(OpenEMRSettings())))
"""


@pytest.mark.parametrize("table", ["form_encounter", "procedure_order", "procedure_order_code", "forms"])
def test_killed_between_the_rows_of_an_order(hospital: Hospital, table: str) -> None:

    patient = hospital.put(make.patient())
    order = hospital.put(make.order(patient))
    settings = hospital.settings
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "OPENEMR_DATABASE_URL": settings.database_url.get_secret_value(),
        "OPENEMR_SYNC_DATABASE_URL": settings.sync_database_url.get_secret_value(),
    }
    told = json.dumps({f"{r['resourceType']}/{r['id']}": r for r in (patient, order)}).encode()
    done = subprocess.run(
        [sys.executable, "-c", _VICTIM, table], input=told, env=environment, cwd=ROOT, check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL

    pid = hospital.rows("SELECT pid FROM patient_data WHERE pubpid = :n", n=patient["identifier"][0]["value"])
    assert len(pid) == 1
    asyncio.run(sync("ServiceRequest", order["id"], read=hospital.read, database=hospital.database))
    counts = {}
    for name, column in (("procedure_order", "patient_id"), ("form_encounter", "pid"), ("forms", "pid")):
        query = f"SELECT COUNT(*) AS n FROM {name} WHERE {column} = :pid"  # noqa: S608  # our own table names
        counts[name] = hospital.rows(query, pid=pid[0]["pid"])[0]["n"]
    assert counts == {"procedure_order": 1, "form_encounter": 1, "forms": 2}
