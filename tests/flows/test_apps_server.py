"""A stranger's app through nginx, in a real browser: launched by itself, from the EHR, and shut out."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser

from tests.flows.app_pages import (
    EHR,
    PROGRAMS,
    STANDALONE,
    App,
    app,
    from_the_ehr,
    login,
    standalone,
    walk_of,
    ward,
)
from tests.flows.login_pages import PASSWORD, pages
from tests.servers.stack import Stack, wait_for

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def front(servers: Stack) -> Stack:
    """HAPI with the facade and nginx in front."""
    return servers.need(*PROGRAMS)


@pytest.fixture(scope="module")
def made(front: Stack) -> dict[str, str]:
    """Patients and visits."""
    return ward(front)


@pytest.fixture
def one(front: Stack) -> Iterator[App]:
    """The app."""
    with app(front) as registered:
        yield registered


@pytest.mark.parametrize(("lang", "screen", "scheme"), [("en", "desktop", "light"), ("ko", "phone", "dark")])
def test_an_app_is_let_in_narrowed_and_shut_out(
    browser: Browser, front: Stack, made: dict[str, str], one: App, lang: str, screen: str, scheme: str
) -> None:
    with pages(browser, lang, screen, scheme) as new_page:
        walk = walk_of(front, new_page(), lang, screen, None, one)
        token = standalone(walk, one, made, login(front))
        assert (token["patient"], token["encounter"]) == (made["patient"], made["visit"])
        granted = token["scope"].split()
        assert "patient/Condition.rs" not in granted
        assert any(scope.startswith("patient/Observation.rs?category=") for scope in granted)
        assert {"patient/Patient.rs", "launch/patient", "launch/encounter"} <= set(granted)
        assert one.read(token, f"Patient/{made['patient']}").status_code == 200
        assert one.read(token, f"Encounter/{made['visit']}").status_code == 403
        assert one.read(token, f"Patient/{made['foreign']}").status_code == 404
        assert one.read(token, "Condition").status_code == 403
        found = one.read(token, "Patient").json()
        assert [entry["resource"]["id"] for entry in found["entry"]] == [made["patient"]]

        launched = from_the_ehr(walk, one, made)
        assert (launched["patient"], launched["encounter"]) == (made["patient"], made["visit"])
        assert launched["need_patient_banner"] is True
        style = httpx.get(launched["smart_style_url"], timeout=30)
        assert style.json()["color_text"]
        assert one.read(launched, f"Patient/{made['foreign']}").status_code == 404

        walk.open("/auth/apps")
        walk.look("apps")
        with walk.page.expect_navigation():
            walk.page.locator(f"button[value='{one.client_id}']").click()
        assert walk.page.get_by_role("status").is_visible()
        for ended in (token, launched):
            wait_for(
                lambda ended=ended: one.read(ended, f"Patient/{made['patient']}").status_code == 401,
                "the token to end",
                timeout_s=5,
            )
            assert one.refresh(ended["refresh_token"]).json()["error"] == "invalid_grant"
        assert not walk.faults, walk.faults
    for path in (front.var / "log").iterdir():
        if path.is_file():
            assert made["mrn"].encode() not in path.read_bytes(), path.name


def test_no_answer_of_the_person_no_code(
    browser: Browser, front: Stack, made: dict[str, str], one: App
) -> None:
    with pages(browser, "en", "desktop") as new_page:
        walk = walk_of(front, new_page(), "en", "desktop", None, one)
        page = walk.page
        page.goto(one.authorize(STANDALONE))
        walk.send(username=login(front), password=PASSWORD)
        with page.expect_navigation(url=f"{one.redirect_uri}**"):
            page.locator("button[name=cancel]").click()
        assert one.answers[-1]["error"] == "access_denied"
        assert "code" not in one.answers[-1]
        # The back button brings a page whose request is over.
        page.goto(one.authorize("openid user/Practitioner.rs"))
        assert "/auth/consent" in page.url
        with page.expect_navigation(url=f"{one.redirect_uri}**"):
            page.locator("button[name=deny]").click()
        assert one.answers[-1]["error"] == "access_denied"
        # A launch that nobody made.
        page.goto(one.authorize(EHR, launch="made-up"))
        assert one.answers[-1]["error"] == "invalid_request"


def test_another_origin_can_neither_frame_nor_send_the_pages(
    browser: Browser, front: Stack, one: App
) -> None:
    with pages(browser, "en", "desktop") as new_page:
        walk = walk_of(front, new_page(), "en", "desktop", None, one)
        page = walk.page
        page.goto(one.authorize("openid user/Practitioner.rs"))
        walk.send(username=login(front), password=PASSWORD)
        page.wait_for_url("**/auth/consent**")
        address, csrf = page.url, page.locator("input[name=csrf]").first.input_value()
        request_id = page.locator("input[name=request]").first.input_value()
        # Another port of the same host: browsers send the cookies all the same (same site, other origin).
        elsewhere = f"http://localhost:{one.port}/callback"
        page.goto(elsewhere)
        page.set_content(f"<iframe src='{address}'></iframe>")
        page.wait_for_load_state("networkidle")
        assert page.frames[-1].url.startswith("chrome-error:")
        page.goto(elsewhere)
        fields = {"csrf": csrf, "request": request_id, "scope": "openid", "allow": "1"}
        inputs = "".join(f"<input type=hidden name={name} value='{value}'>" for name, value in fields.items())
        page.set_content(
            f"<form method=post action='{front.base_url}/auth/consent'>{inputs}<button>go</button></form>"
        )
        before = len(one.answers)
        with page.expect_response("**/auth/consent") as answer:
            page.locator("button").click()
        assert answer.value.status == 403
        assert len(one.answers) == before
