"""What a client sends is not repeated in the store's log."""

import json

import httpx
import pytest

from tests.servers.stack import Stack, wait_for

pytestmark = pytest.mark.server
VALUE = "hong-gildong"


def test_no_line_quotes_a_resource_or_a_query(servers: Stack) -> None:
    stack = servers.need("hapi")
    headers = {"X-NeuroNova-Secret": stack.secrets["hapi-facade"], "Content-Type": "application/fhir+json"}
    order = {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "order",
        "subject": {"display": "A patient"},
        "supportingInfo": [{"reference": f"#{VALUE}"}],
    }
    seen = len(stack.log("hapi"))
    with httpx.Client(base_url=stack.hapi_url, headers=headers, timeout=30) as hapi:
        hapi.post("/ServiceRequest", json=order)
        assert hapi.get(f"/Patient?_has:{VALUE}:patient:code=x").is_client_error

    def loggers() -> set[str]:
        lines = map(json.loads, stack.log("hapi")[seen:].splitlines())
        return {line["logger_name"].rpartition(".")[2] for line in lines}

    # Both have something to say of such a request, so this test sees what it would quote.
    wait_for(lambda: {"LenientErrorHandler", "SearchTask"} <= loggers(), "the store's own lines", 10)
    assert VALUE not in stack.log("hapi")
