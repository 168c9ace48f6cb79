"""A directory in memory with the real policy in front: what the facade gives, for tests without HAPI."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smart_auth import policy
from smart_auth.directory import MRN, Found, Parameters
from smart_auth.interaction import Interaction, Principal


def patient(id_: str, name: str, mrn: str, birth_date: str = "1970-01-01") -> dict[str, Any]:
    """A Patient with one written name."""
    return {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [{"system": MRN, "value": mrn}],
        "name": [{"text": name}],
        "gender": "female",
        "birthDate": birth_date,
    }


def encounter(id_: str, patient_id: str, start: str = "2026-03-01T09:30:00+09:00") -> dict[str, Any]:
    """A visit that is going on."""
    return {
        "resourceType": "Encounter",
        "id": id_,
        "status": "in-progress",
        "class": {"code": "AMB", "display": "ambulatory"},
        "subject": {"reference": f"Patient/{patient_id}"},
        "period": {"start": start},
    }


@dataclass
class Hospital:
    """Resources by `Type/id`; remembers who asked for what."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, *resources: dict[str, Any]) -> None:
        """Keep resources."""
        self.resources |= {f"{each['resourceType']}/{each['id']}": each for each in resources}

    async def search(
        self, principal: Principal, address: str | None, type_: str, parameters: Parameters
    ) -> Found:
        """Every parameter has to hold; names are compared by their beginning, as HAPI does."""
        criteria = tuple(pair for pair in parameters if not pair[0].startswith("_"))
        self.asked.append((principal.role, "search", type_))
        decision = policy.decide(
            principal.with_shared(self.shared), Interaction("search", type_, parameters=criteria)
        )
        found = [
            resource
            for resource in self.resources.values()
            if resource["resourceType"] == type_
            and all(_holds(resource, name, value) for name, value in criteria)
            and policy.confirm(decision, resource)
        ]
        control = dict(parameters)
        offset, count = int(control["_offset"]), int(control["_count"])
        return Found(found[offset : offset + count], len(found) > offset + count)

    async def read(
        self, principal: Principal, address: str | None, type_: str, id_: str
    ) -> Mapping[str, Any] | None:
        """One resource that this person may see."""
        self.asked.append((principal.role, "read", f"{type_}/{id_}"))
        decision = policy.decide(principal.with_shared(self.shared), Interaction("read", type_, id_))
        resource = self.resources.get(f"{type_}/{id_}")
        return resource if resource is not None and policy.confirm(decision, resource) else None


def _holds(resource: Mapping[str, Any], name: str, value: str) -> bool:
    match name:
        case "patient":
            return bool(resource["subject"]["reference"] == value)
        case "birthdate":
            return bool(resource["birthDate"] == value)
        case "identifier":
            return any(f"{i['system']}|{i['value']}" == value for i in resource["identifier"])
    words = [word for each in resource["name"] for word in _words(each) if name in ("name", word[0])]
    return any(word.lower().startswith(value.lower()) for _, word in words)


def _words(name: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = [("name", part) for part in [name.get("text", ""), *name.get("text", "").split()]]
    found += [("family", name["family"])] if "family" in name else []
    return [*found, *(("given", part) for part in name.get("given", []))]
