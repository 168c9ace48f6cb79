"""The running product as its clients see it: the operator's command, a browser, and one user of each kind."""

import json
import subprocess
from typing import Any
from urllib.parse import urljoin

import httpx

from demo.app import form_of
from smart_auth import users
from smart_auth.database import Database
from tests.servers.stack import Stack, wait_for

PASSWORD = "correct horse battery staple"


def command(stack: Stack, *arguments: str) -> Any:
    """`neuronova … --json` as an operator runs it."""
    done = subprocess.run(
        [str(stack.cli), "--var", str(stack.var), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def new_user(stack: Stack, username: str, role: str, **options: Any) -> None:
    """A person with PASSWORD, known to the running facade."""
    database = Database(f"sqlite:///{stack.var}/smart_auth.db")
    if users.find(database, username) is None:
        invitation = users.create(database, username, role, **options)
        users.accept(database, invitation.code, PASSWORD, length=12)
    database.close()


def known(stack: Stack, client_id: str, redirect_uri: str) -> None:
    """Wait until the running facade knows the client (it reads the clients itself, at each request)."""
    question = {"client_id": client_id, "redirect_uri": redirect_uri, "state": "s"}
    wait_for(
        lambda: httpx.get(f"{stack.base_url}/auth/authorize", params=question).status_code == 303,
        "the client is known",
    )


def walk(base_url: str, address: str, redirect_uri: str, username: str) -> str:
    """A browser opens an app's authorization address and fills in the pages; where it is called back."""
    with httpx.Client(follow_redirects=False, timeout=60) as browser:
        page = browser.get(address)
        for _ in range(10):
            if page.is_redirect:
                target = urljoin(str(page.url), page.headers["location"])
                if target.startswith(redirect_uri):
                    return target
                page = browser.get(target)
                continue
            assert page.status_code == 200, page.text[:300]
            action, values = form_of(page)
            if "username" in values:
                values |= {"username": username, "password": PASSWORD}
            page = browser.post(action, data=values, headers={"Origin": base_url})
    raise AssertionError("too many pages")
