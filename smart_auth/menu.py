"""Where each role goes from the front page, in Korean and English. Rights are not decided here.

An entry is shown to a role that can use the page behind it; the page and the data behind it decide for
themselves (`policy.decide`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smart_auth import roles
from smart_auth.interaction import Role


@dataclass(frozen=True)
class Entry:
    """One line of the menu."""

    id: str
    path: str
    label: Mapping[str, str]
    needs: str | None = None
    """A row of the table of rights of which the role must have something; None: for everybody."""


ENTRIES = (
    Entry("viewer", "/pacs-viewer/", {"ko": "영상 보기", "en": "Images"}, "ImagingStudy"),
    Entry(
        "launch",
        "/auth/launch",
        {"ko": "환자 선택과 앱 실행", "en": "Choose a patient, open an app"},
        "Patient",
    ),
    Entry("apps", "/auth/apps", {"ko": "연결된 앱", "en": "Connected apps"}),
    Entry("account", "/auth/account", {"ko": "내 계정과 보안", "en": "Account and security"}),
)


def entries(role: Role) -> list[Entry]:
    """The menu of a role."""
    return [entry for entry in ENTRIES if entry.needs is None or roles.rule(role, entry.needs).letters]


def to_json(role: Role) -> list[dict[str, Any]]:
    """As `/auth/me` shows it."""
    return [{"id": entry.id, "path": entry.path, "label": dict(entry.label)} for entry in entries(role)]
