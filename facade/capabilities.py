"""The CapabilityStatement: exactly what this facade offers, built from the tables that decide it.

Sources: FHIR R4 capabilitystatement.html; SMART App Launch 2.2.0 "Conformance" (oauth-uris extension).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from facade import parameters
from smart_auth import roles
from smart_auth.policy import OPERATIONS

_LETTERS = {
    "c": ("create",),
    "r": ("read", "vread", "history-instance"),
    "u": ("update", "patch"),
    "d": ("delete",),
    "s": ("search-type", "history-type"),
}
_DEFINITIONS = "http://hl7.org/fhir/OperationDefinition"
_DEFINED = {"$meta": "Resource-meta", "$validate": "Resource-validate"}
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_ENDPOINTS = {
    "authorize": "authorization_endpoint",
    "token": "token_endpoint",
    "register": "registration_endpoint",
    "manage": "management_endpoint",
    "introspect": "introspection_endpoint",
    "revoke": "revocation_endpoint",
}
_SECURITY = "http://terminology.hl7.org/CodeSystem/restful-security-service"


def statement(base_url: str, smart: Mapping[str, Any], date: str) -> dict[str, Any]:
    """Return the statement; `smart` is this installation's SMART configuration, `date` when it was built."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "NeuroNova"},
        "implementation": {"description": "NeuroNova FHIR facade", "url": f"{base_url}/fhir"},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "patchFormat": ["application/json-patch+json"],
        "rest": [
            {
                "mode": "server",
                "security": _security(smart),
                "resource": [_resource(type_) for type_ in sorted(parameters.TABLE)],
                "interaction": [{"code": "batch"}, {"code": "transaction"}],
            }
        ],
    }


def _resource(type_: str) -> dict[str, Any]:
    letters = _letters(type_)
    offered = [code for letter, codes in _LETTERS.items() if letter in letters for code in codes]
    table = parameters.TABLE[type_]
    stated: dict[str, Any] = {
        "type": type_,
        "documentation": _for_whom(type_),
        "interaction": [{"code": code} for code in offered],
        "versioning": "versioned-update",
        "readHistory": "vread" in offered,
        "updateCreate": False,
        "conditionalCreate": {"c", "s"} <= letters,
        "conditionalRead": "full-support",
        "conditionalUpdate": {"u", "s"} <= letters,
        "conditionalDelete": "single" if {"d", "s"} <= letters else "not-supported",
        "referencePolicy": ["literal", "enforced"],
        "searchInclude": _all_and(f"{type_}:{name}" for name in _references(table)),
        "searchRevInclude": _all_and(
            f"{other}:{name}"
            for other in sorted(parameters.TABLE)
            for name in _references(parameters.TABLE[other])
            if type_ in parameters.TABLE[other][name]["targets"]
        ),
        "searchParam": [{"name": name, "type": row["type"]} for name, row in table.items()],
    }
    stated["operation"] = [
        {"name": name[1:], "definition": _definition(name, type_)}
        for name, operation in sorted(OPERATIONS.items())
        if type_ in operation.types and (operation.is_named or operation.letter in letters)
    ]
    return {name: value for name, value in stated.items() if value != []}


def _letters(type_: str) -> frozenset[str]:
    """What at least one role may do."""
    return frozenset(
        letter
        for role in roles.ROLES
        for row in roles.rows_of(type_)
        for letter in roles.rule(role, row).letters
    )


def _for_whom(type_: str) -> str:
    """Say which role may do what, in the words of the table of rights (`smart_auth.roles`)."""
    rows = []
    for row in roles.rows_of(type_):
        cells = [
            f"{role}: {' '.join([rule.letters, *sorted(rule.words | rule.operations), *_except(rule)])}"
            for role in roles.ROLES
            if (rule := roles.rule(role, row)).letters
        ]
        rows.append(f"{row} - {'; '.join(cells)}")
    return "\n".join(rows)


def _except(rule: roles.Rule) -> list[str]:
    """Say what the letters do not give: whose Provenance it is stands in other resources, past ones too."""
    return ["(not history-type)"] if "target" in rule.words else []


def _definition(name: str, type_: str) -> str:
    if OPERATIONS[name].is_named:
        return f"urn:neuronova:operation:{name[1:]}"
    return f"{_DEFINITIONS}/{_DEFINED.get(name, f'{type_}-everything')}"


def _all_and(names: Iterable[str]) -> list[str]:
    """Return the includes with the wildcard for all of them; where there is none a wildcard means nothing."""
    found = list(names)
    return ["*", *found] if found else []


def _references(table: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [name for name, row in table.items() if row["type"] == "reference" and row["targets"]]


def _security(smart: Mapping[str, Any]) -> dict[str, Any]:
    """The addresses that older clients read here alone: the very ones of the SMART configuration."""
    return {
        "cors": True,
        "service": [
            {"coding": [{"system": _SECURITY, "code": "SMART-on-FHIR"}], "text": "OAuth2 (SMART-on-FHIR)"}
        ],
        "extension": [
            {
                "url": _OAUTH_URIS,
                "extension": [
                    {"url": name, "valueUri": smart[endpoint]}
                    for name, endpoint in _ENDPOINTS.items()
                    if endpoint in smart
                ],
            }
        ],
    }
