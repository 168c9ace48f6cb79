"""Every code that a client can meet: HTTP status, FHIR issue type, and a sentence in English and Korean.

`python -m facade.catalogue > docs/errors.md` writes the table of the documentation.
Sources: FHIR R4 valueset-issue-type; RFC 9110 section 15, RFC 6585 section 3 (428).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """One row."""

    status: int
    issue: str
    english: str
    korean: str


CATALOGUE: Mapping[str, Entry] = {
    "ERR_001": Entry(401, "login", "Authentication is required.", "인증이 필요합니다."),
    "ERR_002": Entry(
        401,
        "login",
        "The access token is not valid or no longer valid.",
        "액세스 토큰이 유효하지 않거나 만료되었습니다.",
    ),
    "ERR_003": Entry(
        403,
        "forbidden",
        "The scope of the token does not cover this.",
        "토큰의 권한 범위에 포함되지 않은 요청입니다.",
    ),
    "ERR_004": Entry(
        403, "forbidden", "Your role does not allow this.", "사용자 역할로는 허용되지 않습니다."
    ),
    "ERR_005": Entry(
        403,
        "forbidden",
        "The token is bound to a patient, and names none.",
        "토큰에 환자가 지정되어 있지 않습니다.",
    ),
    "ERR_006": Entry(
        403,
        "forbidden",
        "The viewer's session is not good for this.",
        "뷰어 세션으로는 이 요청을 할 수 없습니다.",
    ),
    "ERR_007": Entry(
        403,
        "forbidden",
        "The login is too old for this. Log in again.",
        "로그인한 지 오래되었습니다. 다시 로그인하십시오.",
    ),
    "ERR_008": Entry(
        403,
        "not-supported",
        "The request was not understood, and is refused.",
        "이해할 수 없는 요청이어서 거부되었습니다.",
    ),
    "ERR_009": Entry(403, "forbidden", "Only a person may do this.", "사람만 할 수 있는 작업입니다."),
    "ERR_010": Entry(
        400,
        "security",
        "A session cookie and a bearer token came together.",
        "세션 쿠키와 액세스 토큰을 함께 보낼 수 없습니다.",
    ),
    "ERR_011": Entry(
        403, "security", "The request does not come from this site.", "이 사이트에서 보낸 요청이 아닙니다."
    ),
    "ERR_012": Entry(
        503,
        "transient",
        "Access cannot be checked at the moment. Try again later.",
        "지금은 접근 권한을 확인할 수 없습니다. 잠시 후 다시 시도하십시오.",
    ),
    "ERR_013": Entry(
        503,
        "transient",
        "Access cannot be checked at the moment. Try again later.",
        "지금은 접근 권한을 확인할 수 없습니다. 잠시 후 다시 시도하십시오.",
    ),
    "ERR_014": Entry(
        403,
        "forbidden",
        "An Observation needs a category, and one that your role may write.",
        "Observation에는 사용자 역할로 작성할 수 있는 분류(category)가 있어야 합니다.",
    ),
    "ERR_101": Entry(400, "invalid", "The request could not be read.", "요청을 읽을 수 없습니다."),
    "ERR_102": Entry(
        400,
        "not-supported",
        "A search parameter or modifier is not supported.",
        "지원하지 않는 검색 매개변수 또는 수식어입니다.",
    ),
    "ERR_103": Entry(422, "invariant", "The resource is not valid.", "리소스가 유효하지 않습니다."),
    "ERR_104": Entry(
        413, "too-long", "The body is over the limit of this server.", "본문이 서버의 제한을 초과했습니다."
    ),
    "ERR_105": Entry(415, "not-supported", "Only FHIR JSON is supported.", "FHIR JSON만 지원합니다."),
    "ERR_106": Entry(
        406, "not-supported", "Only FHIR JSON can be sent.", "FHIR JSON으로만 응답할 수 있습니다."
    ),
    "ERR_107": Entry(
        405,
        "not-supported",
        "This is not supported on this address.",
        "이 주소에서 지원하지 않는 요청입니다.",
    ),
    "ERR_108": Entry(422, "not-found", "A referenced resource does not exist.", "참조한 리소스가 없습니다."),
    "ERR_109": Entry(
        403,
        "too-costly",
        "This search is too costly. Narrow it.",
        "검색 범위가 너무 넓습니다. 조건을 좁히십시오.",
    ),
    "ERR_110": Entry(
        416, "value", "The requested range cannot be served.", "요청한 범위를 제공할 수 없습니다."
    ),
    "ERR_201": Entry(
        404, "not-found", "The resource does not exist or is not visible.", "리소스가 없거나 볼 수 없습니다."
    ),
    "ERR_301": Entry(
        412,
        "conflict",
        "The resource has changed since you read it. Read it again.",
        "읽은 뒤에 리소스가 변경되었습니다. 다시 읽으십시오.",
    ),
    "ERR_302": Entry(
        428,
        "required",
        "If-Match with the version that you read is required.",
        "읽은 버전을 If-Match 헤더로 보내야 합니다.",
    ),
    "ERR_303": Entry(
        412,
        "multiple-matches",
        "The condition matches more than one resource.",
        "조건에 맞는 리소스가 둘 이상입니다.",
    ),
    "ERR_304": Entry(
        409, "conflict", "Other resources refer to this one.", "다른 리소스가 참조하고 있습니다."
    ),
    "ERR_305": Entry(
        409,
        "conflict",
        "Another change was made at the same time. Try again.",
        "동시에 다른 변경이 있었습니다. 다시 시도하십시오.",
    ),
    "ERR_401": Entry(
        422,
        "business-rule",
        "A rule of this product does not allow this.",
        "제품의 규칙상 허용되지 않습니다.",
    ),
    "ERR_402": Entry(
        422, "business-rule", "This element is set by the server only.", "서버만 설정할 수 있는 항목입니다."
    ),
    "ERR_403": Entry(
        422,
        "business-rule",
        "This version of the report has no approved review.",
        "이 판독문 버전은 검토 승인을 받지 않았습니다.",
    ),
    "ERR_404": Entry(
        422,
        "business-rule",
        "The current state does not allow this step.",
        "현재 상태에서는 할 수 없는 단계입니다.",
    ),
    "ERR_405": Entry(
        422,
        "business-rule",
        "This Idempotency-Key was used with another body.",
        "이 Idempotency-Key는 다른 본문에 사용되었습니다.",
    ),
    "ERR_407": Entry(429, "throttled", "Too many requests.", "요청이 너무 많습니다."),
    "ERR_500": Entry(500, "exception", "The server could not do this.", "서버에서 처리하지 못했습니다."),
    "ERR_501": Entry(
        503,
        "transient",
        "A system that is needed for this does not answer. Try again later.",
        "필요한 시스템이 응답하지 않습니다. 잠시 후 다시 시도하십시오.",
    ),
    "ERR_502": Entry(
        503,
        "transient",
        "The record store does not answer. Try again later.",
        "진료기록 저장소가 응답하지 않습니다. 잠시 후 다시 시도하십시오.",
    ),
    "ERR_503": Entry(
        500,
        "exception",
        "What was stored is not what was signed. The incident is recorded.",
        "저장된 내용이 서명한 내용과 다릅니다. 기록해 두었습니다.",
    ),
    "ERR_504": Entry(
        503,
        "transient",
        "The server is busy. Try again in a moment.",
        "서버가 혼잡합니다. 잠시 후 다시 시도하십시오.",
    ),
    "ERR_590": Entry(
        503,
        "transient",
        "The access could not be recorded, so it was not carried out.",
        "접근을 기록할 수 없어 처리하지 않았습니다. 잠시 후 다시 시도하십시오.",
    ),
}


def markdown() -> str:
    """Return the table as it stands in docs/errors.md."""
    rows = [
        f"| {code} | {e.status} | {e.issue} | {e.english} | {e.korean} |" for code, e in CATALOGUE.items()
    ]
    return "\n".join(
        [
            "# Error codes",
            "",
            "Every error under `/fhir` and `/dicom-web` is an OperationOutcome whose `issue.details.coding`",
            "has one of these codes (system `urn:neuronova:error`). The sentence follows `Accept-Language`",
            "(English, Korean).",
            "This file is written by `python -m facade.catalogue`.",
            "",
            "| code | HTTP | issue | English | Korean |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    sys.stdout.write(markdown())
