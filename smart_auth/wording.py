"""Scopes in plain Korean and English: what data, what may be done with it.

Source: SMART App Launch 2.2.0 "Scopes and Launch Context"; names of data after FHIR R4's resource types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smart_auth import consent
from smart_auth.scopes import Grant, ScopeSet

# type -> (English, Korean)
TYPES: Mapping[str, tuple[str, str]] = {
    "Patient": ("Name, birth date and contact details", "이름, 생년월일, 연락처"),
    "Encounter": ("Visits and stays", "진료 및 입원 기록"),
    "Practitioner": ("Names of staff", "의료진 이름"),
    "PractitionerRole": ("Duties of staff", "의료진 담당 업무"),
    "Organization": ("Organizations", "기관"),
    "Location": ("Places", "장소"),
    "ServiceRequest": ("Orders for examinations", "검사 처방"),
    "ImagingStudy": ("Images", "영상 검사"),
    "Task": ("Work on images by AI", "AI 분석 작업"),
    "DiagnosticReport": ("Reports of findings", "판독 및 검사 보고서"),
    "Observation": ("Measurements and findings", "검사 결과 및 측정값"),
    "Medication": ("Medicines", "의약품"),
    "MedicationKnowledge": ("Facts about medicines", "의약품 정보"),
    "MedicationRequest": ("Prescriptions", "약 처방"),
    "MedicationAdministration": ("Medicines given", "투약 기록"),
    "MedicationDispense": ("Medicines handed out", "조제 기록"),
    "MedicationStatement": ("Medicines taken", "복약 기록"),
    "Condition": ("Diagnoses and problems", "진단 및 건강 문제"),
    "AllergyIntolerance": ("Allergies", "알레르기"),
    "Procedure": ("Operations and procedures", "수술 및 처치"),
    "DocumentReference": ("Documents", "문서"),
    "Endpoint": ("Addresses of image servers", "영상 서버 주소"),
    "Device": ("Devices and AI programs", "기기 및 AI 프로그램"),
    "Provenance": ("Where results come from", "결과의 출처"),
    "Group": ("Sharing with other hospitals", "다른 병원과의 공유"),
    "AuditEvent": ("Who has looked at records", "기록 열람 이력"),
    "*": ("All data", "모든 데이터"),
}
# Headings, in the order of the page.
GROUPS: Sequence[tuple[tuple[str, str], frozenset[str]]] = (
    (("Person and visits", "인적 사항과 진료"), frozenset({"Patient", "Encounter"})),
    (
        ("Results, reports and images", "결과, 보고서, 영상"),
        frozenset({"DiagnosticReport", "Observation", "ImagingStudy", "ServiceRequest", "Task"}),
    ),
    (
        ("Diagnoses and treatment", "진단과 치료"),
        frozenset({"Condition", "AllergyIntolerance", "Procedure", "DocumentReference"}),
    ),
    (
        ("Medicines", "약"),
        frozenset(
            {"Medication", "MedicationKnowledge", "MedicationRequest", "MedicationAdministration"}
            | {"MedicationDispense", "MedicationStatement"}
        ),
    ),
)
OTHER = ("Directory and technical data", "기관 정보와 기술 데이터")
_ACTIONS: Mapping[str, tuple[str, str]] = {
    "r": ("view", "보기"),
    "c": ("add", "추가"),
    "u": ("change", "수정"),
    "d": ("delete", "삭제"),
}
WORDS: Mapping[str, tuple[str, str]] = {
    "openid": ("Know who you are (a number that stands for you)", "사용자 식별 (사용자를 나타내는 번호)"),
    "fhirUser": (
        "Know your record as a member of staff or patient",
        "의료진 또는 환자로서의 사용자 기록 확인",
    ),
    "profile": ("Know the address of your record", "사용자 기록의 주소 확인"),
    "launch": ("Know which patient and visit you opened here", "여기에서 연 환자와 진료 확인"),
    "launch/patient": ("Know which patient you chose", "선택한 환자 확인"),
    "launch/encounter": ("Know which visit you chose", "선택한 진료 확인"),
    "offline_access": (
        "Keep access for up to {days} days when you are not here",
        "자리에 없을 때도 최대 {days}일 동안 접근 유지",
    ),
    "online_access": ("Keep access until you log out", "로그아웃할 때까지 접근 유지"),
}
_TOKENS: Mapping[str, tuple[str, str]] = {
    "laboratory": ("laboratory results", "검사실 결과"),
    "vital-signs": ("vital signs", "활력 징후"),
    "imaging": ("image findings", "영상 소견"),
    "problem-list-item": ("problem list", "주요 건강 문제 목록"),
    "encounter-diagnosis": ("diagnoses of a visit", "진료 시 진단"),
}


@dataclass(frozen=True)
class Switch:
    """One thing that can be switched off: the form value and its words."""

    value: str
    label: str


@dataclass(frozen=True)
class Row:
    """One kind of data."""

    label: str
    switches: Sequence[Switch]
    only: Sequence[Switch]
    """Categories that it can be narrowed to."""


@dataclass(frozen=True)
class Group:
    """Rows under one heading."""

    heading: str
    rows: Sequence[Row]


def words(scope: ScopeSet, lang: str, *, days: int) -> list[Switch]:
    """What the app wants beside clinical data."""
    return [Switch(word, WORDS[word][_at(lang)].format(days=days)) for word in WORDS if word in scope.words]


def groups(scope: ScopeSet, context: str, lang: str) -> list[Group]:
    """The clinical scopes of one context (`patient` or `user`) under headings."""
    grants = sorted(grant for grant in scope.grants if grant.context == context)
    order = list(TYPES)
    found = []
    left = set(grants)
    for heading, types in (*GROUPS, (OTHER, frozenset(TYPES))):
        here = sorted((g for g in left if g.type in types), key=lambda g: (order.index(g.type), g))
        left -= set(here)
        if here:
            found.append(Group(heading[_at(lang)], [_row(grant, lang) for grant in here]))
    return found


def sentence(grant: Grant, lang: str) -> str:
    """One scope in one line, for a list: `Allergies: view, add`."""
    return f"{_label(grant, lang)}: {_actions(grant, lang)}"


def _row(grant: Grant, lang: str) -> Row:
    return Row(
        label=_label(grant, lang),
        switches=[Switch(str(part), _actions(part, lang)) for part in consent.parts(grant)],
        only=[Switch(value, _token(token, lang)) for token, value in consent.narrower(grant)],
    )


def _label(grant: Grant, lang: str) -> str:
    name = TYPES.get(grant.type, (grant.type, grant.type))[_at(lang)]
    limits = [", ".join(_token(token, lang) for token in values) for _, values in grant.predicates]
    return f"{name} ({'; '.join(limits)})" if limits else name


def _actions(grant: Grant, lang: str) -> str:
    letters = grant.letters.replace("s", "" if "r" in grant.letters else "r")
    return ", ".join(_ACTIONS[letter][_at(lang)] for letter in "rcud" if letter in letters)


def _token(token: str, lang: str) -> str:
    code = token.rpartition("|")[2]
    return _TOKENS.get(code, (code, code))[_at(lang)]


def _at(lang: str) -> int:
    return 1 if lang == "ko" else 0
