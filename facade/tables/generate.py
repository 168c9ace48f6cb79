"""Write search_parameters.json from HL7's R4 SearchParameter definitions.

Run: `python -m facade.tables.generate /path/to/search-parameters.json` (or the jar that holds it:
hapi-fhir-validation-resources-r4, org/hl7/fhir/r4/model/sp/search-parameters.json). Only the types of
`smart_auth.roles` are kept, and of each parameter: its type, what a reference may point at, its element path.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

from smart_auth.roles import TYPES

_MEMBER = "org/hl7/fhir/r4/model/sp/search-parameters.json"
# What the policy refuses (`smart_auth.policy.REFUSED_PARAMETERS`) is not offered.
_LEFT_OUT = {"_text", "_content", "_query", "_filter", "_source", "_security", "_list"}
# HAPI indexes AuditEvent by these alone (deploy/hapi): the trail is written far more often than searched.
_AUDIT_EVENT = {"_id", "_lastUpdated", "patient", "agent", "entity", "date", "action", "outcome", "type"}


def paths(expression: str, type_: str) -> list[str]:
    """Return the element paths of one type: `Observation.subject.where(...)` is `subject`."""
    found = []
    for part in expression.split("|"):
        match = re.match(
            rf"\(?{type_}\.([A-Za-z0-9.]+?)(?:\.(?:where|as|exists)\(.*| as .*|\)|$)", part.strip()
        )
        if match:
            found.append(match.group(1))
    return sorted(set(found))


def table(definitions: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return type -> parameter -> {type, targets, paths}."""
    rows: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in sorted(TYPES)}
    for parameter in sorted((e["resource"] for e in definitions["entry"]), key=lambda p: str(p["code"])):
        code = parameter["code"]
        if code in _LEFT_OUT or parameter["type"] in ("composite", "special"):
            continue
        bases = [t for t in rows if t in parameter["base"]]
        if "Resource" in parameter["base"] or "DomainResource" in parameter["base"]:
            bases = list(rows)
        for type_ in bases:
            if type_ == "AuditEvent" and code not in _AUDIT_EVENT:
                continue
            row: dict[str, Any] = {"type": parameter["type"]}
            if parameter["type"] == "reference":
                targets = {"Patient"} if code == "patient" else set(parameter.get("target", []))
                row["targets"] = sorted(targets & TYPES)
                row["paths"] = paths(parameter.get("expression", ""), type_)
            rows[type_][code] = row
    return rows


def main(source: Path) -> None:
    """Read the definitions and write the table beside this file."""
    if source.suffix == ".jar":
        with zipfile.ZipFile(source) as jar:
            text = jar.read(_MEMBER)
    else:
        text = source.read_bytes()
    rows = table(json.loads(text))
    lines = [
        f'"{t}": {{\n' + ",\n".join(f' "{c}": {json.dumps(r)}' for c, r in sorted(p.items())) + "\n}"
        for t, p in rows.items()
    ]
    Path(__file__).with_name("search_parameters.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
