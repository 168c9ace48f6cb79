"""A stranger's app and the first page that its request leads to."""

from typing import Any

import httpx

from tests.smart_auth.flow import (
    WEB_REDIRECT,
    Flow,
)

SCOPE = (
    "openid fhirUser offline_access launch launch/patient launch/encounter "
    "patient/*.rs user/Patient.rs user/Observation.crus user/Condition.rs"
)
ASKED = "openid offline_access user/Patient.rs user/Observation.rs"


def flow_of(browser: httpx.AsyncClient, scope: str = ASKED, **more: Any) -> Flow:
    """A walk of the app `stranger`; `more`: fields of Flow."""
    parameters = {"scope": scope, "redirect_uri": WEB_REDIRECT, **more.pop("parameters", {})}
    return Flow(browser, "stranger", parameters=parameters, **more)


async def page_of(browser: httpx.AsyncClient, flow: Flow) -> httpx.Response:
    """The first page that a signed-in person sees."""
    answer = await flow.authorize()
    for _ in range(4):
        if not answer.has_redirect_location or answer.headers["location"].startswith(WEB_REDIRECT):
            break
        answer = await browser.get(answer.headers["location"])
    return answer
