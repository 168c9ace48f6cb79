"""Tokens and logins, each beside the machine's own limit: bare joserfc, bare argon2.

Also the times of a login with an unknown user name and with a wrong password. That they need the same work is
tested (tests/smart_auth); here the two distributions stand side by side with a two-sample statistic, stated
only: a small p would mean that a stranger can tell them apart on this machine.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from scipy.stats import mannwhitneyu  # type: ignore[import-untyped]
from sqlalchemy import delete

from bench.installation import Installation
from bench.rows import Row, stated
from demo.people import neuronova
from demo.run import REDIRECT_URI, SCOPE, require, wait_for
from deploy.environment import variables
from smart_auth.database import Database
from smart_auth.keys import Keys
from smart_auth.models import LoginFailure
from smart_auth.passwords import HASHER
from smart_auth.revocations import Feed
from smart_auth.tokens import Verifier

ROUNDS = 5
CACHED, UNCACHED = 5000, 300  # verifications a round
GRANTS = 30  # requests a round
LOGINS = 20
TRIES = 40  # of each kind
BACK_END = {
    "grant_type": "client_credentials",
    "scope": "system/Patient.rs",
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
}


def rows(product: Installation) -> Iterator[Row]:
    """Verification in process, grants and logins through nginx."""
    settings = variables(product.settings, product.secrets)["facade"]
    database = Database(settings["SMART_AUTH_DATABASE_URL"])
    try:
        yield from _verification(product, database, settings)
        yield from _grants(product)
        yield from _logins(product, database)
        yield from _strangers(product, database)
    finally:
        database.close()


def _verification(product: Installation, database: Database, settings: dict[str, str]) -> Iterator[Row]:
    """On the request path, in this process, with the product's own keys and revocations."""
    token = product.run.sign_in_again("doctor").token["access_token"]
    key, claims = ECKey.generate_key("P-256"), _claims(token)
    bare = jwt.encode({"alg": "ES256", "typ": "at+jwt"}, claims, key, algorithms=["ES256"])
    feed = Feed(database)
    feed.start()
    try:
        verifier = Verifier(
            Keys(Path(settings["SMART_AUTH_KEYS_DIR"])),
            settings["SMART_AUTH_ISSUER"],
            settings["SMART_AUTH_AUDIENCE"],
            feed,
        )

        def uncached() -> None:
            verifier._checked.cache_clear()
            verifier.verify(token)

        took = _in_turns(
            {
                "cached": (CACHED, lambda: verifier.verify(token)),
                "uncached": (UNCACHED, uncached),
                "joserfc": (UNCACHED, lambda: jwt.decode(bare, key, algorithms=["ES256"])),
            }
        )
    finally:
        feed.stop()
    for name in ("cached", "uncached"):
        label = f"verification of an access token, {name}; reference: bare joserfc"
        yield stated(label, took[name] * 1e6, "µs", took["joserfc"] * 1e6)


def _grants(product: Installation) -> Iterator[Row]:
    """The token endpoint at one connection; the reference does the signatures of the grant alone."""
    curve, back_end = ECKey.generate_key("P-256"), ECKey.generate_key("P-384")
    rsa = RSAKey.generate_key(3072)
    session = product.run.sign_in_again("doctor")
    claims = _claims(session.token["access_token"])
    address = f"{product.settings.base_url}/auth/token"
    client_id = _register(product, back_end)
    refresh = [session.token["refresh_token"]]
    codes = [_code(product, session.browser) for _ in range(ROUNDS * GRANTS)]
    # A Redis that remembers nothing yet refuses assertions from before its first question.
    wait_for("a token for the back end", lambda: _is_taken(address, client_id, back_end) or None, 10)
    assertions = [_assertion(client_id, address, back_end) for _ in range(ROUNDS * GRANTS)]
    proof = _assertion(client_id, address, back_end)

    def sign() -> None:
        jwt.encode({"alg": "ES256"}, claims, curve, algorithms=["ES256"])

    def sign_both() -> None:
        sign()
        jwt.encode({"alg": "RS256"}, claims, rsa, algorithms=["RS256"])

    def check_and_sign() -> None:
        jwt.decode(proof, back_end, algorithms=["ES384"])
        sign()

    with httpx.Client(timeout=60) as client:

        def ask(**form: str) -> dict[str, Any]:
            answer = client.post(address, data=form)
            require(answer.status_code == 200, f"the token endpoint answered {answer.status_code}")
            granted: dict[str, Any] = answer.json()
            return granted

        def by_code() -> None:
            code, verifier = codes.pop()
            ask(
                grant_type="authorization_code",
                code=code,
                redirect_uri=REDIRECT_URI,
                client_id=product.run.facts["client_id"],
                code_verifier=verifier,
            )

        def by_refresh() -> None:
            answer = ask(
                grant_type="refresh_token",
                refresh_token=refresh[0],
                client_id=product.run.facts["client_id"],
            )
            refresh[0] = answer["refresh_token"]

        def by_assertion() -> None:
            ask(**BACK_END, client_assertion=assertions.pop())

        for name, grant, bare in (
            ("authorization code", by_code, sign_both),
            ("refresh token", by_refresh, sign),
            ("client credentials", by_assertion, check_and_sign),
        ):
            took = _in_turns({"product": (GRANTS, grant), "bare": (GRANTS, bare)})
            label = f"token endpoint, {name}, 1 connection; reference: bare joserfc"
            yield stated(label, 1 / took["product"], "requests/s", 1 / took["bare"])


def _logins(product: Installation, database: Database) -> Iterator[Row]:
    """A login by JSON through nginx, beside argon2 alone with the same parameters."""
    person = product.run.facts["people"]["doctor"]
    stored = HASHER.hash(person["password"])
    with _client(product) as log_in:
        took = _in_turns(
            {
                "login": (LOGINS // ROUNDS, lambda: log_in(person["username"], person["password"], 200)),
                "argon2": (LOGINS // ROUNDS, lambda: HASHER.verify(stored, person["password"])),
            }
        )
    label = "login; reference: bare argon2"
    yield stated(label, took["login"] * 1000, "ms", took["argon2"] * 1000)


def _strangers(product: Installation, database: Database) -> Iterator[Row]:
    """Unknown user name and wrong password, in turns; the waiting after failures is taken away each time."""
    known = product.run.facts["people"]["nurse"]["username"]
    times: dict[str, list[float]] = {known: [], "somebody": []}
    with _client(product) as log_in:
        for _ in range(TRIES):
            for username, taken in times.items():
                with database.write() as session:
                    session.execute(delete(LoginFailure))
                began = time.perf_counter()
                log_in(username, "not the password", 401)
                taken.append((time.perf_counter() - began) * 1000)
    wrong, unknown = times.values()
    label = "login refused, wrong password; reference: unknown user name: p50"
    yield stated(label, median(wrong), "ms", median(unknown))
    label = f"the same, {TRIES} of each: two-sided p of Mann-Whitney's U (small: can be told apart)"
    yield stated(label, float(mannwhitneyu(wrong, unknown).pvalue), "")


@contextmanager
def _client(product: Installation) -> Iterator[Callable[[str, str, int], None]]:
    """A login of the web app; each with no cookies, as from a new browser."""
    with httpx.Client(base_url=product.settings.base_url, timeout=60) as client:

        def log_in(username: str, password: str, expected: int) -> None:
            client.cookies.clear()
            body = {"username": username, "password": password}
            answer = client.post("/auth/login", json=body, headers={"Origin": product.settings.base_url})
            require(answer.status_code == expected, f"the login answered {answer.status_code}")

        yield log_in


def _in_turns(work: dict[str, tuple[int, Callable[[], object]]]) -> dict[str, float]:
    """Seconds of one call, medians over rounds in which the pieces of work take turns."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, (times, call) in work.items():
            began = time.perf_counter()
            for _ in range(times):
                call()
            found[name].append((time.perf_counter() - began) / times)
    return {name: median(taken) for name, taken in found.items()}


def _code(product: Installation, browser: httpx.Client) -> tuple[str, str]:
    """A code and its verifier, for who is logged in."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    page = browser.get(
        f"{product.settings.base_url}/auth/authorize",
        params={
            "response_type": "code",
            "client_id": product.run.facts["client_id"],
            "redirect_uri": REDIRECT_URI,
            "scope": SCOPE,
            "state": secrets.token_urlsafe(16),
            "aud": f"{product.settings.base_url}/fhir",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        },
    )
    answer = parse_qs(urlsplit(page.headers.get("location", "")).query)
    require("code" in answer, f"the authorization endpoint answered {page.status_code} without a code")
    return answer["code"][0], verifier


def _register(product: Installation, key: ECKey) -> str:
    """A back end with this key."""
    public = {**key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig", "alg": "ES384"}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"keys": [public]}, file)
        file.flush()
        printed = neuronova(
            product.run, "clients", "add", "--name", "Bench", "--kind", "backend", "--role", "doctor",
            "--scope", "system/Patient.rs", "--jwks", file.name, "--json",
        )  # fmt: skip
    client_id: str = json.loads(printed)["client_id"]
    return client_id


def _is_taken(address: str, client_id: str, key: ECKey) -> bool:
    form = {**BACK_END, "client_assertion": _assertion(client_id, address, key)}
    return httpx.post(address, data=form, timeout=60).status_code == 200


def _assertion(client_id: str, audience: str, key: ECKey) -> str:
    now = int(time.time())
    claims = {"iss": client_id, "sub": client_id, "aud": audience, "jti": secrets.token_urlsafe(16)}
    header = {"alg": "ES384", "typ": "JWT", "kid": key.thumbprint()}
    return jwt.encode(header, claims | {"iat": now, "exp": now + 240}, key, algorithms=["ES384"])


def _claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims
