"""Sentences of the pages, Korean and English."""

from __future__ import annotations

from collections.abc import Mapping

from smart_auth.texts_account import ACCOUNT
from smart_auth.texts_apps import APPS

_SHARED: Mapping[str, Mapping[str, str]] = {
    "en": {
        "product": "NeuroNova",
        "login": "Log in",
        "login_for": "Log in to continue to {app}",
        "username": "User name",
        "password": "Password",
        "password_again": "Password again",
        "password_rule": "At least {length} characters. Common passwords are refused.",
        "code": "Set-up code",
        "login_failed": "User name or password is not right.",
        "login_wait": "Too many tries. Try again in {seconds} seconds.",
        "login_busy": "Too many people are logging in at this moment. Try again in a few seconds.",
        "login_expired": "This page was open for too long. Please log in again.",
        "logout": "Log out",
        "logout_question": "Do you want to log out?",
        "logged_out": "You are logged out.",
        "logged_in": "You are logged in.",
        "setup": "First administrator",
        "setup_text": "Enter the set-up code and choose your user name and password.",
        "invite": "Choose your password",
        "save": "Save",
        "saved": "Your password is saved. You can log in now.",
        "passwords_differ": "The two passwords are not the same.",
        "link_invalid": "This link is not valid, or no longer. Ask your administrator for a new one.",
        "rule_broken": "This was not accepted: {rule}.",
        "request_refused": "This request is not accepted",
        "request_refused_text": "The app that sent you here asked in a way that is not accepted.",
        "unavailable": "Please try again in a moment",
        "unavailable_text": "Access cannot be checked at the moment.",
        "other_language": "한국어",
        "other_language_code": "ko",
    },
    "ko": {
        "product": "NeuroNova",
        "login": "로그인",
        "login_for": "{app}을(를) 계속하려면 로그인하세요",
        "username": "사용자 이름",
        "password": "비밀번호",
        "password_again": "비밀번호 확인",
        "password_rule": "{length}자 이상이어야 합니다. 흔한 비밀번호는 사용할 수 없습니다.",
        "code": "설정 코드",
        "login_failed": "사용자 이름 또는 비밀번호가 올바르지 않습니다.",
        "login_wait": "시도 횟수가 너무 많습니다. {seconds}초 후에 다시 시도하세요.",
        "login_busy": "지금은 로그인하는 사람이 너무 많습니다. 몇 초 후에 다시 시도하세요.",
        "login_expired": "페이지를 연 지 오래되었습니다. 다시 로그인하세요.",
        "logout": "로그아웃",
        "logout_question": "로그아웃하시겠습니까?",
        "logged_out": "로그아웃되었습니다.",
        "logged_in": "로그인되었습니다.",
        "setup": "첫 번째 관리자",
        "setup_text": "설정 코드를 입력하고 사용자 이름과 비밀번호를 정하세요.",
        "invite": "비밀번호 정하기",
        "save": "저장",
        "saved": "비밀번호가 저장되었습니다. 이제 로그인할 수 있습니다.",
        "passwords_differ": "두 비밀번호가 서로 다릅니다.",
        "link_invalid": "이 링크는 사용할 수 없습니다. 관리자에게 새 링크를 요청하세요.",
        "rule_broken": "허용되지 않습니다: {rule}.",
        "request_refused": "이 요청은 허용되지 않습니다",
        "request_refused_text": "앱의 요청이 올바르지 않습니다.",
        "unavailable": "잠시 후 다시 시도하세요",
        "unavailable_text": "지금은 접근 권한을 확인할 수 없습니다.",
        "other_language": "English",
        "other_language_code": "en",
    },
}

# A page with many sentences keeps them in a file of its own.
TEXTS: Mapping[str, Mapping[str, str]] = {
    lang: {**_SHARED[lang], **ACCOUNT[lang], **APPS[lang]} for lang in _SHARED
}

# What `RuleError` says, for Korean readers of a page; the English sentence is the key.
RULES_KO: Mapping[str, str] = {
    "this password is too common": "너무 흔한 비밀번호입니다",
    "a password does not contain the user name": "비밀번호에 사용자 이름을 넣을 수 없습니다",
    "this code is not valid, or no longer": "이 코드는 사용할 수 없습니다",
    "this link is not valid, or no longer": "이 링크는 사용할 수 없습니다",
    "this is the password that you have": "지금 쓰는 비밀번호입니다",
    "there is a second factor already": "2단계 인증이 이미 켜져 있습니다",
    "this user name is taken": "이미 사용 중인 사용자 이름입니다",
    "a user name has 2 to 63 letters, digits or . _ @ -": (
        "사용자 이름은 2~63자의 영문자, 숫자 또는 . _ @ - 입니다"
    ),
}


def language(accept: str, chosen: str | None) -> str:
    """The language of a page: the chosen one, else the first of Accept-Language that we have."""
    if chosen is not None and chosen in TEXTS:
        return chosen
    weighted: list[tuple[float, int, str]] = []
    for position, part in enumerate(accept.split(",")[:20]):
        name, _, parameter = part.strip().partition(";")
        weight = parameter.strip().removeprefix("q=")
        try:
            quality = float(weight) if parameter else 1.0
        except ValueError:
            quality = 0.0
        weighted.append((-quality, position, name.split("-")[0].lower()))
    return next((name for _, _, name in sorted(weighted) if name in TEXTS), "en")
