"""The user-access brands bundle: how apps show this hospital in a list, made from the settings alone.

Source: SMART App Launch 2.2.0 "User-access Brands and Endpoints" (profiles user-access-brands-bundle,
user-access-brand, user-access-endpoint). No logo: it would have to come from somewhere.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from smart_auth.service import SMARTAuth
from smart_auth.settings import SMARTAuthSettings

MEDIA_TYPE = "application/fhir+json"
FHIR_VERSION = "4.0.1"
_STARTED = datetime.now(UTC).replace(microsecond=0)
_EXTENSIONS = "http://hl7.org/fhir/StructureDefinition"
_CATEGORY = "http://hl7.org/fhir/smart-app-launch/CodeSystem/user-access-category"
_TERMS = "http://terminology.hl7.org/CodeSystem"


async def user_access_brands(auth: SMARTAuth, request: Request) -> Response:
    """The bundle, open to everybody; a client that has it already is told so."""
    body = json.dumps(bundle(auth.settings, _STARTED.isoformat())).encode()
    # Weak, and of the content alone: every process says the same.
    content = json.dumps(bundle(auth.settings, "")).encode()
    etag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {
        "ETag": etag,
        "Last-Modified": format_datetime(_STARTED, usegmt=True),
        "Cache-Control": "public, max-age=3600",
    }
    if etag in [tag.strip() for tag in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=MEDIA_TYPE)


def identifier(settings: SMARTAuthSettings) -> dict[str, str]:
    """The primary brand's identifier: the hospital's web address without `www.` and without a path."""
    parts = urlsplit(settings.organization_url or settings.origin)
    return {"system": "urn:ietf:rfc:3986", "value": f"{parts.scheme}://{parts.netloc.removeprefix('www.')}"}


def bundle(settings: SMARTAuthSettings, timestamp: str) -> dict[str, Any]:
    """One brand and its endpoint."""
    website = settings.organization_url or settings.origin
    endpoint = {
        "resourceType": "Endpoint",
        "id": "fhir",
        "extension": [{"url": f"{_EXTENSIONS}/endpoint-fhir-version", "valueCode": FHIR_VERSION}],
        "status": "active",
        "connectionType": {"system": f"{_TERMS}/endpoint-connection-type", "code": "hl7-fhir-rest"},
        "name": f"{settings.organization_name} FHIR R4",
        "contact": [{"system": "url", "value": website}],
        "payloadType": [{"coding": [{"system": f"{_TERMS}/endpoint-payload-type", "code": "none"}]}],
        "address": settings.audience,
    }
    portal = {
        "url": f"{_EXTENSIONS}/organization-portal",
        "extension": [
            {"url": "portalName", "valueString": settings.organization_name},
            {"url": "portalUrl", "valueUrl": website},
            {"url": "portalEndpoint", "valueReference": {"reference": "Endpoint/fhir"}},
        ],
    }
    brand = {
        "resourceType": "Organization",
        "id": "brand",
        "extension": [portal],
        "identifier": [identifier(settings)],
        "active": True,
        "type": [{"coding": [{"system": _CATEGORY, "code": code} for code in ("clinical", "imaging")]}],
        "name": settings.organization_name,
        "telecom": [{"system": "url", "value": website}],
        "endpoint": [{"reference": "Endpoint/fhir"}],
    }
    base = f"{settings.issuer}/user-access-brands"
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": timestamp,
        "entry": [
            {"fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}", "resource": resource}
            for resource in (brand, endpoint)
        ],
    }
