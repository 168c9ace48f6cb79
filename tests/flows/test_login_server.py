"""Login, second factor, sessions and their end, through nginx on the running product; pages in a browser."""

import re
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pyotp
import pytest
from playwright.sync_api import Browser, Route

from smart_auth import totp, users
from smart_auth.database import Database
from smart_auth.roles import ROLES
from smart_auth.totp import SecondFactors
from tests.flows.login_pages import PASSWORD, PROGRAMS, Walk, invited, pages, walk
from tests.servers.stack import Stack, wait_for

pytestmark = [pytest.mark.server, pytest.mark.timeout(300, func_only=True)]
FRAMES = ("/auth/login", "/auth/login/code", "/auth/account", "/auth/account/password", "/auth/logout")


@pytest.fixture(scope="module")
def door(servers: Stack) -> Stack:
    return servers.need(*PROGRAMS)


@pytest.fixture
def database(door: Stack) -> Iterator[Database]:
    opened = Database(door.variables("facade")["SMART_AUTH_DATABASE_URL"])
    yield opened
    opened.close()


class Person:
    """A login of their own, and their browsers."""

    def __init__(self, door: Stack, database: Database, open_: ExitStack, role: str = "doctor") -> None:
        self.door = door
        self.open = open_
        self.name = f"{role}.{secrets.token_hex(4)}"
        more = {"patient": {"fhir_user": "Patient/p1"}, "external": {"organization": "o1"}}.get(role, {})
        invitation = users.create(database, self.name, role, **more)
        users.accept(database, invitation.code, PASSWORD, length=12)
        self.id = invitation.user.id

    def browser(self) -> httpx.Client:
        client = httpx.Client(base_url=self.door.base_url, headers={"Origin": self.door.base_url})
        return self.open.enter_context(client)

    def password(self, browser: httpx.Client, password: str = PASSWORD) -> httpx.Response:
        page = browser.get("/auth/login")
        return browser.post(
            "/auth/login", data={"csrf": csrf(page), "username": self.name, "password": password}
        )

    def logged_in(self) -> httpx.Client:
        browser = self.browser()
        assert self.password(browser).status_code == 303
        assert browser.get("/auth/me").status_code == 200
        return browser


@pytest.fixture
def new_person(door: Stack, database: Database) -> Iterator[Callable[..., Person]]:
    """Makes people; their browsers are closed at the end."""
    with ExitStack() as open_:
        yield partial(Person, door, database, open_)


NewPerson = Callable[..., Person]


def csrf(page: httpx.Response) -> str:
    match = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert match, page.text[:300]
    return match[1]


def test_a_second_factor_stands_between_the_password_and_the_session(
    door: Stack, database: Database, new_person: NewPerson
) -> None:
    person = new_person()
    keys = Path(door.variables("facade")["SMART_AUTH_KEYS_DIR"])
    factors = SecondFactors(database, (keys / "second-factor.key").read_bytes())
    generator = pyotp.TOTP(totp.new_secret())
    codes = factors.enrol(person.id, generator.secret, generator.now())
    assert codes is not None
    browser = person.browser()
    assert person.password(browser).headers["location"] == "/auth/login/code"
    assert browser.get("/auth/me").status_code == 401
    page = browser.get("/auth/login/code")
    used_up = browser.post("/auth/login/code", data={"csrf": csrf(page), "code": generator.now()})
    # The code of the enrolment is used up, unless a new time step began meanwhile.
    code = codes[0] if used_up.status_code == 401 else None
    if code is not None:
        assert browser.get("/auth/me").status_code == 401
        assert browser.post("/auth/login/code", data={"csrf": csrf(page), "code": code}).status_code == 303
    assert browser.get("/auth/me").json()["username"] == person.name


def test_logging_out_everywhere_ends_every_other_session(door: Stack, new_person: NewPerson) -> None:
    person = new_person()
    here, there, elsewhere = (person.logged_in() for _ in range(3))
    page = here.get("/auth/account")
    assert page.text.count("<h3>") == 3
    here.post("/auth/account/sessions", data={"csrf": csrf(page)})
    for other in (there, elsewhere):
        wait_for(lambda other=other: other.get("/auth/me").status_code == 401, "the session to end", 2)
    assert here.get("/auth/me").status_code == 200


def test_a_new_password_ends_every_other_session(door: Stack, new_person: NewPerson) -> None:
    person = new_person()
    here, there = person.logged_in(), person.logged_in()
    form = {"csrf": csrf(here.get("/auth/account/password")), "password_old": PASSWORD}
    new = {"password": "another horse battery", "password_again": "another horse battery"}
    assert here.post("/auth/account/password", data=form | new).status_code == 303
    wait_for(lambda: there.get("/auth/me").status_code == 401, "the other session to end", 2)
    assert here.get("/auth/me").status_code == 200
    assert person.password(there).status_code == 401


def test_a_disabled_user_is_out_within_a_second_and_stays_out_after_a_restart(
    door: Stack, new_person: NewPerson
) -> None:
    person = new_person()
    browser = person.logged_in()
    command = [str(door.cli), "--var", str(door.var), "users", "disable", person.name]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    wait_for(lambda: browser.get("/auth/me").status_code == 401, "the disabled user to be out", 2)
    assert person.password(person.browser()).status_code == 401
    door.kill("facade")
    door.wait_ready("facade")
    assert browser.get("/auth/me").status_code == 401


def test_sessions_are_gone_and_not_given_back_when_redis_lost_them(
    door: Stack, new_person: NewPerson
) -> None:
    person = new_person()
    browser = person.logged_in()
    key = f"smart_auth:sessions:{person.id}"
    socket = door.redis_url.removeprefix("unix://")
    redis = ["redis-cli", "-s", socket]
    kept = subprocess.run(
        [*redis, "--raw", "keys", "smart_auth:*"], capture_output=True, text=True, check=True
    )
    assert key in kept.stdout.split()
    subprocess.run([*redis, "del", *kept.stdout.split()], check=True, capture_output=True)
    wait_for(lambda: browser.get("/auth/me").status_code == 401, "the session to be over", 3)


@pytest.mark.usefixtures("hapi")  # the page that opens an app names patients
@pytest.mark.parametrize("role", ROLES)
def test_every_menu_entry_of_a_role_leads_to_a_page(door: Stack, new_person: NewPerson, role: str) -> None:
    browser = new_person(role).logged_in()
    for entry in browser.get("/auth/me").json()["menu"]:
        answer = browser.get(entry["path"], headers={"Accept": "text/html"})
        assert answer.status_code == 200, entry
        assert "text/html" in answer.headers["content-type"], entry


@pytest.mark.parametrize(
    ("lang", "screen", "scheme"),
    [
        ("en", "desktop", "light"),
        ("ko", "phone", "light"),
        ("ko", "desktop", "dark"),
        ("en", "phone", "dark"),
    ],
)
def test_every_page_can_be_read_and_used_by_keyboard(
    browser: Browser, door: Stack, lang: str, screen: str, scheme: str
) -> None:
    with pages(browser, lang, screen, scheme) as new_page:
        one = Walk(door, new_page(), lang, screen, None)
        walk(door, one, f"doctor.{secrets.token_hex(4)}")
    assert one.faults == []
    assert len(one.seen) == 17


def test_no_other_site_can_show_our_pages_in_a_frame(browser: Browser, door: Stack) -> None:
    name = f"doctor.{secrets.token_hex(4)}"
    with pages(browser, "en", "desktop") as new_page:
        page = new_page()
        one = Walk(door, page, "en", "desktop", None)
        one.open(f"/auth/invite/{invited(door, name)}")
        one.send(password=PASSWORD, password_again=PASSWORD)
        one.open("/auth/login?next=/auth/account")
        one.send(username=name, password=PASSWORD)
        # An origin of its own, as an attacker's page has; it shows what its query names.
        page.route("http://127.0.0.1:9/**", _attackers_page)
        for path in FRAMES:
            page.goto(f"http://127.0.0.1:9/?{door.base_url}{path}")
            page.wait_for_load_state()
            (frame,) = [frame for frame in page.frames if frame.parent_frame is not None]
            assert frame.locator("main").count() == 0, path
            assert frame.url.startswith("chrome-error:"), path


def _attackers_page(route: Route) -> None:
    framed = route.request.url.partition("?")[2]
    route.fulfill(content_type="text/html", body=f"<!doctype html><iframe src='{framed}'></iframe>")


def test_a_login_leaves_no_name_and_no_password_in_log_or_record(door: Stack, new_person: NewPerson) -> None:
    person = new_person()
    person.logged_in()
    spool = b"".join(path.read_bytes() for path in sorted((door.var / "spool").glob("*.spool")))
    assert person.name.encode() not in spool
    assert PASSWORD.encode() not in spool
    assert person.name not in door.log("facade") + door.log("nginx")
