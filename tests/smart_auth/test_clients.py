"""Registration of apps and back ends: what is accepted, and redirect addresses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey
from sqlalchemy import select

from smart_auth import clients, users
from smart_auth.database import Database
from smart_auth.errors import RuleError
from smart_auth.models import Client, GrantFamily
from smart_auth.revocations import Feed
from tests.smart_auth.quick import tables_in


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tables_in(tmp_path))
    yield database
    database.close()


KEY = ECKey.generate_key("P-384", {"kid": "k"})
JWKS = {"keys": [KEY.as_dict(private=False)]}
APP: dict[str, Any] = {
    "kind": "public",
    "name": "A",
    "scope": "user/*.rs",
    "redirect_uris": ["https://app.example/cb"],
}
BACK_END: dict[str, Any] = {
    "kind": "backend",
    "name": "B",
    "scope": "system/Patient.rs",
    "jwks": JWKS,
    "role": "external",
    "organization": "partner",
}


@pytest.mark.parametrize(
    "options",
    [
        APP | {"kind": "other"},
        APP | {"scope": "nonsense"},
        APP | {"redirect_uris": []},
        APP | {"redirect_uris": ["http://app.example/cb"]},
        APP | {"redirect_uris": ["https://app.example/cb#x"]},
        APP | {"redirect_uris": ["https://user@app.example/cb"]},
        APP | {"redirect_uris": ["https://app.example/c b"]},
        APP | {"redirect_uris": ["https://app.example\\@evil.example/"]},
        APP | {"redirect_uris": ["javascript:alert(1)"]},
        APP | {"redirect_uris": ["app:/cb"]},
        APP | {"redirect_uris": ["https://app.example/cb", "http://10.0.0.1/cb"]},
        APP | {"role": "doctor"},
        APP | {"organization": "partner"},
        BACK_END | {"role": None},
        BACK_END | {"role": "patient"},
        BACK_END | {"role": "king"},
        BACK_END | {"organization": None},
        BACK_END | {"role": "doctor"},
        BACK_END | {"jwks": None},
        BACK_END | {"jwks": {}},
        BACK_END | {"jwks": {"keys": []}},
        BACK_END | {"jwks": {"keys": [KEY.as_dict(private=True)]}},
        BACK_END | {"jwks": {"keys": [OctKey.generate_key().as_dict()]}},
        BACK_END | {"jwks": {"keys": [ECKey.generate_key("P-384").as_dict(private=False, kid=None)]}},
        BACK_END | {"scope": "system/Task.rs"},
        BACK_END | {"redirect_uris": ["https://app.example/cb"]},
    ],
)
def test_a_registration_that_breaks_a_rule_is_refused(database: Database, options: dict[str, Any]) -> None:
    with pytest.raises(RuleError):
        clients.register(database, "client-1", **options)
    assert clients.listed(database) == []


@pytest.mark.parametrize("client_id", ["", "a", "a b", "neuronova-viewer", "x" * 200, "-x1", "ü12"])
def test_a_client_id_is_plain_and_not_taken(database: Database, client_id: str) -> None:
    with pytest.raises(RuleError):
        clients.register(database, client_id, **APP)


def test_a_client_is_registered_listed_disabled_and_rotated(database: Database) -> None:
    assert clients.register(database, "app-1", **APP) is None
    assert clients.register(database, "back-end", **BACK_END) is None
    secret = clients.register(database, "server-1", **(APP | {"kind": "confidential"}))
    assert secret
    with pytest.raises(RuleError):
        clients.register(database, "app-1", **APP)
    assert [client.id for client in clients.listed(database)] == ["app-1", "back-end", "server-1"]
    with database.read() as session:
        stored = session.scalar(select(Client).where(Client.id == "server-1"))
        assert stored is not None
        assert secret not in str(vars(stored))
    assert clients.rotate(database, "server-1") not in (None, secret)
    for client_id in ("app-1", "unknown", "back-end"):
        with pytest.raises(RuleError):
            clients.rotate(database, client_id)
    clients.set_disabled(database, "app-1", disabled=True)
    assert clients.get(database, "app-1") is None
    clients.set_disabled(database, "app-1", disabled=False)
    assert clients.get(database, "app-1") is not None
    with pytest.raises(RuleError):
        clients.set_disabled(database, "unknown", disabled=True)


def test_a_confidential_client_with_keys_has_no_secret(database: Database) -> None:
    options = APP | {"kind": "confidential", "jwks": JWKS}
    assert clients.register(database, "signing-app", **options) is None


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("https://app.example/cb", True),
        ("https://app.example:443/cb", False),
        ("https://app.example/cb/", False),
        ("https://app.example/cb?x", False),
        ("https://APP.example/cb", False),
        ("http://127.0.0.1:1234/cb", True),
        ("http://127.0.0.1/cb", True),
        ("http://127.0.0.1:123456/cb", False),
        ("http://127.0.0.1:/cb", False),
        ("http://127.0.0.1:1234/cb?x", False),
        ("http://127.0.0.2:1234/cb", False),
        ("http://[::1]:5/cb6", True),
        ("http://localhost:1234/cb", False),
    ],
)
def test_redirect_addresses_match_exactly_but_for_the_port_of_this_machine(
    database: Database, uri: str, allowed: bool
) -> None:
    uris = ["https://app.example/cb", "http://127.0.0.1/cb", "http://[::1]/cb6"]
    clients.register(database, "app-1", **(APP | {"redirect_uris": uris}))
    client = clients.get(database, "app-1")
    assert client is not None
    assert clients.allows_redirect(client, uri) is allowed


def test_a_lower_ceiling_and_a_disabled_state_are_for_good(database: Database) -> None:
    clients.register(database, "app-1", **(APP | {"scope": "user/*.rs user/Task.cruds"}))
    invitation = users.create(database, "demo-doctor", "doctor")
    for number, (what, ends) in enumerate(
        (
            ({"name": "Other"}, False),
            ({"scope": "user/*.cruds"}, False),
            ({"scope": "user/Patient.rs"}, True),
            (None, True),
        )
    ):
        with database.write() as session:
            session.add(_grant(f"g{number}", invitation.user.id))
        if what is None:
            clients.set_disabled(database, "app-1", disabled=True)
            clients.set_disabled(database, "app-1", disabled=False)
        else:
            clients.change(database, "app-1", **what)
        feed = Feed(database)
        feed.refresh()
        assert (("grant", f"g{number}") in feed.state.ended) is ends, what


def _grant(id_: str, user_id: str) -> GrantFamily:
    times = dict.fromkeys(("auth_time", "created_at", "used_at"), 0)
    return GrantFamily(
        id=id_,
        user_id=user_id,
        client_id="app-1",
        session_id="s",
        code_hash=id_,
        scope="user/*.rs",
        expires_at=2**40,
        **times,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kind": "backend"},
        {"status": "active"},
        {"redirect_uris": []},
        {"scope": "nonsense"},
        {"cors_origins": ["https://app.example/"]},
        {"cors_origins": ["https://app.example:443"]},
        {"cors_origins": ["http://app.example"]},
        {"launch_uri": "javascript:x"},
        {"jwks_uri": "https://app.example/keys"},
    ],
)
def test_a_change_keeps_the_rules(database: Database, changes: dict[str, Any]) -> None:
    clients.register(database, "app-1", **APP)
    with pytest.raises(RuleError):
        clients.change(database, "app-1", **changes)
    assert clients.registration(clients.find(database, "app-1")).redirect_uris == ("https://app.example/cb",)


def test_only_a_client_that_authenticates_may_introspect(database: Database) -> None:
    with pytest.raises(RuleError):
        clients.register(database, "app-1", **(APP | {"scope": "openid introspection"}))
    clients.register(
        database, "server-1", **(APP | {"kind": "confidential", "scope": "openid introspection"})
    )
