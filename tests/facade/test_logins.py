"""Events of the authorization server as AuditEvents: who, in which role, by which token."""

from pathlib import Path
from typing import Any

from facade import logins
from facade.audit.spool import Spool, decode
from smart_auth.events import Agent


def recorded(directory: Path, agent: Agent) -> list[dict[str, Any]]:
    """The agents of one event, as the shipper reads it from the spool."""
    spool = Spool(directory, "facade")
    logins.recorder(spool)("token", agent, "success", {})
    spool.close()
    files = [file for file in directory.rglob("*") if file.is_file()]
    records = [decode(line) for file in files for line in file.read_bytes().splitlines()]
    (record,) = [record for record in records if record is not None]
    return list(record["event"]["agent"])


def test_an_event_names_person_role_client_token_and_address(tmp_path: Path) -> None:
    person, app, *_ = recorded(tmp_path, Agent("u1", "doctor", "demo-app", "jti-1", "192.0.2.1"))
    assert person["who"]["identifier"]["value"] == "urn:neuronova:user:u1"
    assert person["role"][0]["coding"][0]["code"] == "doctor"
    assert person["policy"] == ["jti-1"]
    assert app["who"]["identifier"]["value"] == "demo-app"
    assert app["network"]["address"] == "192.0.2.1"


def test_a_back_end_is_its_own_user_with_a_role(tmp_path: Path) -> None:
    user, *_ = recorded(tmp_path, Agent(None, "external", "gateway", "jti-2"))
    assert user["who"]["identifier"]["value"] == "gateway"
    assert (user["role"][0]["coding"][0]["code"], user["policy"]) == ("external", ["jti-2"])
