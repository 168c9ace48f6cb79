"""Discovery documents: they declare only what works.

Sources: SMART App Launch 2.2.0 "Conformance" (.well-known/smart-configuration), OpenID Connect Discovery 3,
RP-Initiated Logout 2.1, RFC 8414, RFC 7591, RFC 7662.
"""

from __future__ import annotations

from typing import Any

from smart_auth import brands
from smart_auth.assertion import ALGORITHMS
from smart_auth.settings import SMARTAuthSettings

CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "context-standalone-encounter",
    "permission-offline",
    "permission-online",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
SCOPES = (
    "openid",
    "fhirUser",
    "profile",
    "launch",
    "launch/patient",
    "launch/encounter",
    "offline_access",
    "online_access",
    "patient/*.rs",
    "user/*.cruds",
    "system/*.cruds",
)
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")
CLIENT_AUTHENTICATION = ("none", "client_secret_basic", "client_secret_post", "private_key_jwt")


def smart_configuration(settings: SMARTAuthSettings) -> dict[str, Any]:
    """Body of `[FHIR base]/.well-known/smart-configuration`."""
    return {
        **_common(settings),
        "capabilities": list(CAPABILITIES),
        "management_endpoint": f"{settings.issuer}/apps",
        "user_access_brand_bundle": f"{settings.issuer}/user-access-brands",
        "user_access_brand_identifier": brands.identifier(settings),
    }


def openid_configuration(settings: SMARTAuthSettings) -> dict[str, Any]:
    """Body of `[issuer]/.well-known/openid-configuration`."""
    return {
        **_common(settings),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_modes_supported": ["query"],
        "prompt_values_supported": ["none", "login", "consent"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "fhirUser", "profile"],
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def _common(settings: SMARTAuthSettings) -> dict[str, Any]:
    return {
        "issuer": settings.issuer,
        "authorization_endpoint": f"{settings.issuer}/authorize",
        "token_endpoint": f"{settings.issuer}/token",
        "revocation_endpoint": f"{settings.issuer}/revoke",
        "introspection_endpoint": f"{settings.issuer}/introspect",
        "registration_endpoint": f"{settings.issuer}/register",
        "userinfo_endpoint": f"{settings.issuer}/userinfo",
        "end_session_endpoint": f"{settings.issuer}/logout",
        "jwks_uri": f"{settings.issuer}/jwks",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "grant_types_supported": list(GRANT_TYPES),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": list(CLIENT_AUTHENTICATION),
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": list(CLIENT_AUTHENTICATION),
        "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": [*CLIENT_AUTHENTICATION[1:], "bearer"],
        "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "authorization_response_iss_parameter_supported": True,
    }
