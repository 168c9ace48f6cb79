"""Pages of other origins: registered apps read answers, others do not; open documents are for all."""

import httpx
import pytest

from facade.cors import APPS, OPEN
from smart_auth import clients
from tests.facade.world import World

pytestmark = pytest.mark.server
ORIGIN = "https://app.example"
EVIL = "https://evil.example"


@pytest.fixture(scope="module")
async def origins(world: World) -> World:
    """One app of this origin."""
    database = world.services.auth.database
    clients.register(
        database,
        "browser-app",
        kind="public",
        name="Browser app",
        scope="openid",
        redirect_uris=[f"{ORIGIN}/cb"],
        cors_origins=[ORIGIN],
    )
    world.services.auth.feed.refresh()
    return world


async def ask(world: World, method: str, path: str, origin: str, **headers: str) -> httpx.Response:
    async with world.browser() as browser:
        return await browser.request(method, path, headers={"Origin": origin, **headers})


def allowed(answer: httpx.Response) -> str | None:
    assert "access-control-allow-credentials" not in answer.headers
    return answer.headers.get("access-control-allow-origin")


async def test_open_documents_are_for_every_origin(origins: World) -> None:
    for path in OPEN:
        answer = await ask(origins, "GET", path, EVIL)
        assert (answer.status_code, allowed(answer)) == (200, "*"), path
        assert allowed(await ask(origins, "OPTIONS", path, EVIL, **preflight("GET"))) == "*"


def preflight(method: str) -> dict[str, str]:
    return {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,if-match",
    }


@pytest.mark.parametrize("path", [*sorted(APPS), "/fhir/Patient", "/fhir/Patient/x"])
async def test_only_registered_origins_may_read_the_rest(origins: World, path: str) -> None:
    ours = await ask(origins, "POST" if path.startswith("/auth") else "GET", path, ORIGIN)
    assert allowed(ours) == ORIGIN
    assert "Origin" in ours.headers["vary"]
    assert "ETag" in ours.headers["access-control-expose-headers"]
    known = await ask(origins, "OPTIONS", path, ORIGIN, **preflight("PUT"))
    assert (known.status_code, allowed(known)) == (204, ORIGIN)
    assert "If-Match" in known.headers["access-control-allow-headers"]
    for wrong in (EVIL, "null", f"{ORIGIN}.evil.example", ORIGIN.upper(), "http://app.example", ""):
        answer = await ask(origins, "GET", path, wrong)
        assert allowed(answer) is None, wrong
        assert "Origin" in answer.headers["vary"], "a cache must not mix them"
        refused = await ask(origins, "OPTIONS", path, wrong, **preflight("PUT"))
        assert allowed(refused) is None, wrong


async def test_the_rest_of_the_product_is_for_no_other_origin(origins: World) -> None:
    for path in ("/auth/me", "/auth/login", "/auth/admin/clients", "/auth/introspect", "/dicom-web/studies"):
        assert allowed(await ask(origins, "GET", path, ORIGIN)) is None, path
        assert allowed(await ask(origins, "OPTIONS", path, ORIGIN, **preflight("POST"))) is None, path


async def test_the_origin_of_a_disabled_app_is_refused(origins: World) -> None:
    auth = origins.services.auth
    clients.set_disabled(auth.database, "browser-app", disabled=True)
    auth.feed.refresh()
    try:
        assert allowed(await ask(origins, "GET", "/fhir/Patient", ORIGIN)) is None
    finally:
        clients.set_disabled(auth.database, "browser-app", disabled=False)
        auth.feed.refresh()


async def test_a_pending_app_brings_no_origin(origins: World) -> None:
    auth = origins.services.auth
    clients.register(
        auth.database,
        "waiting-app",
        kind="public",
        name="W",
        scope="openid",
        redirect_uris=["https://waiting.example/cb"],
        cors_origins=["https://waiting.example"],
        pending=True,
    )
    auth.feed.refresh()
    assert allowed(await ask(origins, "GET", "/fhir/Patient", "https://waiting.example")) is None


async def test_the_capability_statement_and_the_smart_configuration_agree(origins: World) -> None:
    statement = (await ask(origins, "GET", "/fhir/metadata", EVIL)).json()
    smart = (await ask(origins, "GET", "/fhir/.well-known/smart-configuration", EVIL)).json()
    security = statement["rest"][0]["security"]
    uris = {row["url"]: row["valueUri"] for row in security["extension"][0]["extension"]}
    names = {"authorize": "authorization_endpoint", "manage": "management_endpoint"}
    names |= {"register": "registration_endpoint", "introspect": "introspection_endpoint"}
    for name in ("authorize", "token", "register", "introspect", "revoke"):
        endpoint = names.get(name, {"token": "token_endpoint", "revoke": "revocation_endpoint"}.get(name))
        assert uris[name] == smart[str(endpoint)], name
    assert uris.get("manage") == smart.get("management_endpoint")
    assert security["cors"] is True
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
