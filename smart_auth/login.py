"""The steps of a login, and the half login between them.

    password -> session
    password -> code -> session                      (who has a second factor)
    password -> enrolment with a first code -> session   (staff who must have one and have none)

After the password alone there is no session. What there is: a half login, for minutes, found by the secret of
one cookie of one browser, good once, over when the user is changed or disabled meanwhile.

Sign-on by another identity provider would begin here: it ends, like `check_password`, in a `User`, and goes
on with `step_after`.
Sources: OWASP Authentication and Multifactor Authentication cheat sheets, NIST SP 800-63B 5.2.2.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from smart_auth import device, totp, users
from smart_auth.models import User
from smart_auth.passwords import verify_password
from smart_auth.roles import STAFF
from smart_auth.service import SMARTAuth
from smart_auth.totp import Used

CODE_S, ENROL_S = 300, 600  # to read a code from a phone; to install an authenticator
Step = Literal["code", "enrol"]


@dataclass(frozen=True)
class Half:
    """A login whose password was right and whose second step is open."""

    user_id: str
    username: str
    generation: int
    step: Step
    request_id: str
    """The app's request to go on with."""
    next_path: str
    sealed: str | None = None
    """The secret of an enrolment, sealed: nobody else has seen it, whoever knows the password."""


async def check_password(
    auth: SMARTAuth, username: str, password: str, *, address: str | None, device_cookie: str | None
) -> tuple[User | None, int]:
    """The user, or None and the seconds to wait. Unknown name and wrong password take the same work.

    BusyError when too many wait: then this try is not counted.
    """
    name = users.normalise(username)
    known = device.known(auth.keys.device_secret, name, device_cookie)
    with auth.hashing.place() as in_place:
        wait = await auth.in_thread(auth.throttle.attempt, name, address, known)
        if wait:
            await auth.record("login", "failure", address=address, reason="wait")
            return None, wait
        user: User | None = await auth.in_thread(users.find, auth.database, name)
        right = await in_place(verify_password, password, user.password_hash if user is not None else None)
    if user is None or not right or user.status != "active":
        await auth.record("login", "failure", user, address=address)
        return None, 0
    await auth.in_thread(auth.throttle.succeeded, name, address, known)
    return user, 0


def step_after(auth: SMARTAuth, user: User) -> Step | None:
    """What is still to be done after the first step; None: nothing."""
    if totp.is_on(user):
        return "code"
    return "enrol" if auth.settings.totp_required and user.role in STAFF else None


async def begin(auth: SMARTAuth, user: User, step: Step, *, request_id: str, next_path: str) -> str:
    """Open the second step; the secret for the browser's cookie."""
    sealed = auth.second_factors.seal(user.id, totp.new_secret()) if step == "enrol" else None
    half = Half(user.id, user.username, user.generation, step, request_id, next_path, sealed)
    return await auth.store.put("half", asdict(half), lifetime_s=ENROL_S if step == "enrol" else CODE_S)


async def open_half(auth: SMARTAuth, secret: str | None, step: Step) -> tuple[Half, User] | None:
    """The half login of a browser, if it waits for this step and its user is as they were."""
    kept = await auth.store.get("half", secret) if secret else None
    half = Half(**kept) if kept is not None else None
    user: User | None = await auth.in_thread(users.get, auth.database, half.user_id) if half else None
    if half is None or half.step != step or user is None:
        return None
    return (half, user) if user.status == "active" and user.generation == half.generation else None


async def close(auth: SMARTAuth, secret: str) -> bool:
    """Use the half login up; False when another request was first."""
    return await auth.store.take("half", secret) is not None


async def check_code(
    auth: SMARTAuth, user: User, code: str, *, address: str | None
) -> tuple[Used | None, int]:
    """Use a code of the second factor up; waiting after failures as for passwords."""
    name = _code_of(user)
    wait = await auth.in_thread(auth.throttle.attempt, name, address)
    if wait:
        return None, wait
    used: Used | None = await auth.in_thread(auth.second_factors.use, user.id, code)
    if used is not None:
        await auth.in_thread(auth.throttle.succeeded, name, address)
    if used == "recovery-code":
        await auth.record("recovery-code", "success", user, address=address)
    return used, 0


async def confirm_password(
    auth: SMARTAuth, user: User, password: str, *, address: str | None
) -> tuple[bool, int]:
    """Ask a person who is logged in for the password again; the seconds to wait after failures."""
    name = _password_of(user)
    with auth.hashing.place() as in_place:
        wait = await auth.in_thread(auth.throttle.attempt, name, address)
        if wait:
            return False, wait
        right = await in_place(verify_password, password, user.password_hash)
    if right:
        await auth.in_thread(auth.throttle.succeeded, name, address)
    return right, 0


def throttled(user: User) -> tuple[str, ...]:
    """Under which names a user's failures are counted: password, code, password asked for again."""
    return user.username, _code_of(user), _password_of(user)


def _code_of(user: User) -> str:
    return f" code:{user.id}"  # a user name never begins with a space


def _password_of(user: User) -> str:
    return f" password:{user.id}"
