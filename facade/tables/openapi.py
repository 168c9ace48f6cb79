"""What the description of the interfaces says beyond the routes: groups, Korean, parameters, bodies.

The English sentence of an operation is the first line of its function. An operation that is not listed here
is still described, by its group and its English sentence. Sources: OpenAPI 3.1; DICOM PS3.18 (DICOMweb);
RFC 6749, 7009, 7591, 7662, OpenID Connect Core 1.0, SMART App Launch 2.2.0 for the names of parameters.
"""

# ruff: noqa: E501 - a table; Korean letters count twice

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from imaging.attributes import KEYS, LEVELS

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
FHIR_JSON: Final = "application/fhir+json"
DICOM: Final = 'multipart/related; type="application/dicom"'


class Group(NamedTuple):
    """One section of the page."""

    tag: str
    english: str
    korean: str
    about_english: str
    about_korean: str


class Words(NamedTuple):
    """What is known of one operation."""

    korean: str
    query: Sequence[str] = ()
    body: str | None = None
    fields: Sequence[str] = ()
    """Names of the body's fields; a name with `*` is required."""
    answer: str | None = None
    """Media type of a successful answer."""
    english: str | None = None
    """Only where several operations share one function."""


# The longest prefix that fits decides.
GROUPS: Final[Mapping[str, Group]] = {
    "/auth": Group(
        "oauth",
        "Authorization (OAuth 2.0, OpenID Connect, SMART)",
        "인가 (OAuth 2.0, OpenID Connect, SMART)",
        "Authorization code flow with PKCE, refresh tokens, and client credentials with a signed assertion.",
        "PKCE 인가 코드 흐름, 리프레시 토큰, 서명된 어설션을 쓰는 클라이언트 자격 증명을 지원합니다.",
    ),
    **{
        prefix: Group(
            "pages",
            "Pages for people",
            "사용자 화면",
            "HTML in Korean and English, without script. A form carries its csrf field.",
            "한국어와 영어로 된 HTML 화면이며 스크립트를 쓰지 않습니다. 폼에는 csrf 값이 들어 있습니다.",
        )
        for prefix in (
            *("/auth/login", "/auth/logout", "/auth/setup", "/auth/invite", "/auth/account", "/auth/patient"),
            *("/auth/encounter", "/auth/consent", "/auth/launch", "/auth/apps", "/auth/continue"),
        )
    },
    **{
        prefix: Group(
            "session",
            "The browser's session",
            "브라우저 세션",
            "Good for the viewer and notifications only. An unsafe method needs our Origin and X-CSRF-Token.",
            "뷰어와 알림에만 쓸 수 있습니다. 변경 요청에는 이 사이트의 Origin과 X-CSRF-Token이 필요합니다.",
        )
        for prefix in ("/auth/me", "/auth/ticket")
    },
    "/auth/admin": Group(
        "administration",
        "Administration of users and apps",
        "사용자와 앱 관리",
        "For administrators in the browser's session, not for tokens of apps. Every change is on record.",
        "브라우저 세션의 관리자만 쓸 수 있으며 앱의 토큰으로는 쓸 수 없습니다. 모든 변경은 기록됩니다.",
    ),
    "/dicom-web": Group(
        "dicomweb",
        "Images (DICOMweb)",
        "영상 (DICOMweb)",
        "QIDO-RS, WADO-RS and STOW-RS. Frames are HTJ2K; another form is made on request by Accept.",
        "QIDO-RS, WADO-RS, STOW-RS를 지원합니다. 프레임은 HTJ2K이며 Accept에 따라 변환됩니다.",
    ),
    "/viewer": Group(
        "results",
        "AI results beside the images",
        "영상 옆의 AI 결과",
        "What the viewer's panel shows of a study. Drafts exist for staff only.",
        "뷰어 패널이 검사의 AI 결과를 보여 줄 때 씁니다. 초안은 의료진에게만 보입니다.",
    ),
    "/fhir": Group(
        "operations",
        "FHIR operations of the product",
        "제품 고유의 FHIR 연산",
        "The rest of FHIR is described by /fhir/metadata. If-Match names the version that was seen.",
        "나머지 FHIR 인터페이스는 /fhir/metadata에 있습니다. If-Match로 확인한 버전을 보냅니다.",
    ),
    "/ws": Group(
        "notifications",
        "Notifications (WebSocket)",
        "알림 (WebSocket)",
        "Messages are JSON with type, id and version of what has changed, never its content. A browser comes with"
        " its session and our Origin; an app with a ticket from POST /auth/ticket as ?ticket=, once, within 30 s."
        " Nothing is expected from the client. Close codes: 1008 rights have ended, 1013 come again, 1003 the"
        " client sent something.",
        "메시지는 변경된 리소스의 type, id, version만 담은 JSON이며 내용은 담지 않습니다. 브라우저는 세션과 이 사이트의"
        " Origin으로, 앱은 POST /auth/ticket에서 받은 일회용 ?ticket=으로 30초 안에 연결합니다. 클라이언트는 아무것도"
        " 보내지 않습니다. 종료 코드: 1008 권한 종료, 1013 나중에 다시 연결, 1003 클라이언트가 데이터를 보냄.",
    ),
    "/health": Group(
        "health",
        "Health",
        "상태 확인",
        "For supervision; open to everybody.",
        "모니터링용이며 누구나 볼 수 있습니다.",
    ),
    "": Group(
        "description",
        "This description",
        "이 설명서",
        "As a page and as OpenAPI 3.1.",
        "화면과 OpenAPI 3.1로 제공합니다.",
    ),
}

_PKCE = ("response_type*", "client_id*", "redirect_uri*", "scope*", "state*", "aud*", "code_challenge*")
_PAGING = ("limit", "offset", "includefield")
_STUDY_KEYS, _SERIES_KEYS, _INSTANCE_KEYS = (
    tuple(key.keyword for key in KEYS if key.level == level) for level in LEVELS
)
_CLIENT = ("client_id", "client_secret", "client_assertion_type", "client_assertion")

WORDS: Final[Mapping[tuple[str, str], Words]] = {
    ("GET", "/auth/authorize"): Words(
        "앱이 인가를 요청합니다.", (*_PKCE, "code_challenge_method*", "nonce", "launch", "prompt", "max_age")
    ),
    ("POST", "/auth/authorize"): Words(
        "폼으로 같은 요청을 보냅니다.",
        body=FORM,
        fields=(*_PKCE, "code_challenge_method*", "nonce", "launch"),
    ),
    ("POST", "/auth/token"): Words(
        "코드, 리프레시 토큰 또는 어설션을 액세스 토큰으로 바꿉니다.",
        body=FORM,
        fields=("grant_type*", "code", "redirect_uri", "code_verifier", "refresh_token", "scope", *_CLIENT),
        answer=JSON,
    ),
    ("POST", "/auth/revoke"): Words(
        "토큰을 폐기합니다.", body=FORM, fields=("token*", "token_type_hint", *_CLIENT)
    ),
    ("POST", "/auth/introspect"): Words(
        "토큰의 상태를 확인합니다.", body=FORM, fields=("token*", "token_type_hint", *_CLIENT), answer=JSON
    ),
    ("GET", "/auth/userinfo"): Words("로그인한 사용자를 알려 줍니다.", answer=JSON),
    ("POST", "/auth/userinfo"): Words("로그인한 사용자를 알려 줍니다.", answer=JSON),
    ("POST", "/auth/register"): Words(
        "앱을 등록합니다. 관리자가 승인한 뒤에 쓸 수 있습니다.",
        body=JSON,
        fields=("client_name*", "redirect_uris*", "scope", "token_endpoint_auth_method", "jwks_uri", "jwks"),
        answer=JSON,
    ),
    ("GET", "/auth/jwks"): Words("토큰 서명을 확인할 공개 키입니다.", answer=JSON),
    ("GET", "/auth/report-key"): Words("판독문 서명을 확인할 공개 키입니다.", answer=JSON),
    ("GET", "/auth/user-access-brands"): Words("SMART 사용자 접근 브랜드 목록입니다.", answer=FHIR_JSON),
    ("GET", "/auth/.well-known/openid-configuration"): Words("OpenID Connect 구성입니다.", answer=JSON),
    ("GET", "/auth/smart-style-1.json"): Words("SMART 앱이 쓸 색과 글꼴입니다.", answer=JSON),
    ("GET", "/auth/me"): Words("이 세션의 사용자와 CSRF 값을 알려 줍니다.", answer=JSON),
    ("POST", "/auth/ticket"): Words("알림 연결에 한 번 쓸 수 있는 표를 발급합니다.", answer=JSON),
    ("GET", "/auth/login"): Words("로그인 화면입니다.", ("lang", "next")),
    ("POST", "/auth/login"): Words("로그인합니다.", body=FORM, fields=("csrf*", "username*", "password*")),
    ("GET", "/auth/login/code"): Words("2단계 인증 코드 화면입니다."),
    ("POST", "/auth/login/code"): Words(
        "2단계 인증 코드를 확인합니다.", body=FORM, fields=("csrf*", "code*")
    ),
    ("GET", "/auth/login/enrol"): Words("2단계 인증 등록 화면입니다."),
    ("POST", "/auth/login/enrol"): Words("2단계 인증을 등록합니다.", body=FORM, fields=("csrf*", "code*")),
    ("GET", "/auth/logout"): Words("로그아웃 화면입니다."),
    ("POST", "/auth/logout"): Words("로그아웃합니다.", body=FORM, fields=("csrf*",)),
    ("GET", "/auth/account"): Words("내 계정 화면입니다."),
    ("POST", "/auth/account/sessions"): Words("다른 로그인을 모두 끝냅니다.", body=FORM, fields=("csrf*",)),
    ("GET", "/auth/account/password"): Words("비밀번호 변경 화면입니다."),
    ("POST", "/auth/account/password"): Words("비밀번호를 변경합니다.", body=FORM, fields=("csrf*",)),
    ("GET", "/auth/account/second-factor"): Words("2단계 인증 설정 화면입니다."),
    ("POST", "/auth/account/second-factor"): Words(
        "2단계 인증을 켜거나 끕니다.", body=FORM, fields=("csrf*",)
    ),
    ("GET", "/auth/setup"): Words("첫 관리자 등록 화면입니다."),
    ("POST", "/auth/setup"): Words(
        "첫 관리자를 등록합니다.", body=FORM, fields=("csrf*", "code*", "username*")
    ),
    ("GET", "/auth/invite/{code}"): Words("초대받은 사용자가 비밀번호를 정하는 화면입니다."),
    ("POST", "/auth/invite/{code}"): Words("비밀번호를 정합니다.", body=FORM, fields=("csrf*", "password*")),
    ("GET", "/auth/patient"): Words("환자 선택 화면입니다."),
    ("POST", "/auth/patient"): Words("환자를 선택합니다.", body=FORM, fields=("csrf*",)),
    ("GET", "/auth/encounter"): Words("진료 선택 화면입니다."),
    ("POST", "/auth/encounter"): Words("진료를 선택합니다.", body=FORM, fields=("csrf*",)),
    ("GET", "/auth/consent"): Words("앱 권한 동의 화면입니다."),
    ("POST", "/auth/consent"): Words("권한에 동의하거나 거절합니다.", body=FORM, fields=("csrf*",)),
    ("GET", "/auth/launch"): Words("앱 실행 화면입니다."),
    ("POST", "/auth/launch"): Words("환자를 정해 앱을 실행합니다.", body=FORM, fields=("csrf*",)),
    ("GET", "/auth/apps"): Words("권한을 준 앱 목록 화면입니다."),
    ("POST", "/auth/apps"): Words("앱에 준 권한을 거둡니다.", body=FORM, fields=("csrf*",)),
    ("GET", "/auth/continue"): Words("로그인한 뒤 앱의 요청을 이어 갑니다."),
    ("GET", "/auth/admin/users"): Words("사용자 목록입니다.", answer=JSON),
    ("POST", "/auth/admin/users"): Words(
        "사용자를 초대합니다.",
        body=JSON,
        fields=("username*", "role*", "fhir_user", "organization"),
        answer=JSON,
    ),
    ("GET", "/auth/admin/users/{user}"): Words("한 사용자의 정보입니다.", answer=JSON),
    ("PATCH", "/auth/admin/users/{user}"): Words("사용자를 변경합니다.", body=JSON, answer=JSON),
    ("POST", "/auth/admin/users/{user}/reset"): Words("비밀번호를 다시 정하게 합니다.", answer=JSON),
    ("POST", "/auth/admin/users/{user}/unlock"): Words("로그인 잠금을 풉니다.", answer=JSON),
    ("GET", "/auth/admin/users/{user}/sessions"): Words("사용자의 로그인 목록입니다.", answer=JSON),
    ("DELETE", "/auth/admin/users/{user}/sessions"): Words("사용자의 로그인을 모두 끝냅니다."),
    ("DELETE", "/auth/admin/users/{user}/second-factor"): Words("사용자의 2단계 인증을 초기화합니다."),
    ("GET", "/auth/admin/clients"): Words("앱 목록입니다.", answer=JSON),
    ("PATCH", "/auth/admin/clients/{client}"): Words("앱을 변경합니다.", body=JSON, answer=JSON),
    ("POST", "/auth/admin/clients/{client}/approve"): Words("앱을 승인합니다.", answer=JSON),
    ("DELETE", "/auth/admin/clients/{client}"): Words("앱 등록을 거절합니다."),
    ("GET", "/viewer/studies/{study}/results"): Words("한 검사의 AI 결과를 알려 줍니다.", answer=JSON),
    ("GET", "/dicom-web/studies"): Words(
        "검사를 검색합니다 (QIDO-RS).",
        (*_STUDY_KEYS, *_PAGING),
        answer="application/dicom+json",
    ),
    ("POST", "/dicom-web/studies"): Words("영상을 저장합니다 (STOW-RS).", body=DICOM),
    ("POST", "/dicom-web/studies/{study}"): Words("한 검사에 영상을 저장합니다 (STOW-RS).", body=DICOM),
    ("GET", "/dicom-web/studies/{study}"): Words("검사의 모든 인스턴스입니다 (WADO-RS).", answer=DICOM),
    ("GET", "/dicom-web/studies/{study}/metadata"): Words(
        "검사의 메타데이터입니다.", answer="application/dicom+json"
    ),
    ("GET", "/dicom-web/studies/{study}/series"): Words(
        "시리즈를 검색합니다 (QIDO-RS).",
        (*_SERIES_KEYS, *_PAGING),
        answer="application/dicom+json",
    ),
    ("GET", "/dicom-web/studies/{study}/instances"): Words(
        "인스턴스를 검색합니다 (QIDO-RS).",
        (*_SERIES_KEYS, *_INSTANCE_KEYS, *_PAGING),
        answer="application/dicom+json",
    ),
    ("GET", "/dicom-web/studies/{study}/series/{series}"): Words(
        "시리즈의 모든 인스턴스입니다.", answer=DICOM
    ),
    ("GET", "/dicom-web/studies/{study}/series/{series}/metadata"): Words(
        "시리즈의 메타데이터입니다.", answer="application/dicom+json"
    ),
    ("GET", "/dicom-web/studies/{study}/series/{series}/instances"): Words(
        "시리즈의 인스턴스를 검색합니다 (QIDO-RS).",
        (*_INSTANCE_KEYS, *_PAGING),
        answer="application/dicom+json",
    ),
    ("GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}/bulkdata/{path}"): Words(
        "메타데이터가 가리키는 큰 값입니다.", answer="application/octet-stream"
    ),
    ("GET", "/dicom-web/series"): Words(
        "모든 검사의 시리즈를 검색합니다 (QIDO-RS).",
        (*_STUDY_KEYS, *_SERIES_KEYS, *_PAGING),
        answer="application/dicom+json",
    ),
    ("GET", "/dicom-web/instances"): Words(
        "모든 검사의 인스턴스를 검색합니다 (QIDO-RS).",
        (*_STUDY_KEYS, *_SERIES_KEYS, *_INSTANCE_KEYS),
        answer="application/dicom+json",
    ),
    ("GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}"): Words(
        "한 인스턴스입니다.", answer=DICOM
    ),
    ("GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}/metadata"): Words(
        "인스턴스의 메타데이터입니다.", answer="application/dicom+json"
    ),
    ("GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}"): Words(
        "프레임입니다. 번호는 1부터이며 쉼표로 여럿을 적습니다.", answer="image/jphc"
    ),
    **{
        ("GET", f"{parent}/{name}"): Words(korean, query, answer="image/jpeg")
        for parent in (
            "/dicom-web/studies/{study}",
            "/dicom-web/studies/{study}/series/{series}",
            "/dicom-web/studies/{study}/series/{series}/instances/{instance}",
            "/dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{frames}",
        )
        for name, korean, query in (
            ("rendered", "그림으로 바꾼 영상입니다.", ("accept", "quality", "viewport", "window")),
            ("thumbnail", "작은 미리 보기 그림입니다.", ("accept", "viewport")),
        )
    },
    ("POST", "/fhir/Task/{id}/$review"): Words(
        "인공지능 결과를 승인하거나 거절합니다.",
        body=FHIR_JSON,
        fields=("decision*", "reason", "report"),
        answer=FHIR_JSON,
        english="Approve or reject an AI result.",
    ),
    ("POST", "/fhir/DiagnosticReport/{id}/$sign"): Words(
        "판독문에 서명하거나, 서명된 판독문을 사유와 함께 정정·철회합니다. 최근 5분 안에 로그인해야 합니다.",
        body=FHIR_JSON,
        fields=("status", "reason", "report", "observation"),
        answer=FHIR_JSON,
        english="Sign a report, or amend or withdraw a signed one with a reason; login within five minutes.",
    ),
    ("GET", "/ws/notifications"): Words("알림 연결을 엽니다.", ("ticket",)),
    ("GET", "/health/live"): Words("프로세스가 동작하는지 알려 줍니다.", answer=JSON),
    ("GET", "/health/ready"): Words("필요한 시스템을 이름별로 확인합니다.", answer=JSON),
    ("GET", "/openapi.json"): Words("OpenAPI 문서입니다.", answer=JSON),
    ("GET", "/docs"): Words("이 화면입니다.", ("lang",)),
}
