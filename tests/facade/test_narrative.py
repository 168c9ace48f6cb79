"""A narrative is plain XHTML; whatever a browser would run or load is refused with its place."""

import pytest

from facade.errors import InvalidResourceError
from facade.narrative import is_allowed
from facade.validation import validate

OPEN = '<div xmlns="http://www.w3.org/1999/xhtml"'


@pytest.mark.parametrize(
    "inner",
    [
        "환자&nbsp;설명 &amp; &#8211;",
        '<p class="x" lang="ko">a<br/><b>b</b></p>',
        "<!-- a remark --><a href='Patient/1'>x</a>",
        "<table><tbody><tr><td colspan='2'>x</td></tr></tbody></table>",
        '<a href="#x">x</a><a href="https://example.org/">y</a>',
        '<img src="data:image/png;base64,AAAA" alt=""/>',
    ],
)
def test_what_fhir_allows_is_taken(inner: str) -> None:
    assert is_allowed(f"{OPEN}>{inner}</div>")


@pytest.mark.parametrize(
    "div",
    [
        "<script>x</script>",
        "<div>no namespace</div>",
        f"{OPEN}><p></div>",
        f"{OPEN}><script>x</script></div>",
        f'{OPEN}><p onclick="x">y</p></div>',
        f'{OPEN}><a href="javascript:x">y</a></div>',
        f'{OPEN}><a href=" javascript:x">y</a></div>',
        f'{OPEN}><a href="java&#10;script:x">y</a></div>',
        f'{OPEN}><img src="data:text/html,x"/></div>',
        f'{OPEN}><p style="background:url(x)">y</p></div>',
        f"{OPEN}><iframe/></div>",
        f"{OPEN}><form/></div>",
        f"{OPEN}>&undefined;</div>",
        f'<!DOCTYPE x [<!ENTITY a "b">]>{OPEN}>&a;</div>',
        f'{OPEN}><svg xmlns="http://www.w3.org/2000/svg"><script/></svg></div>',
        5,
        "",
    ],
)
def test_anything_else_is_not(div: object) -> None:
    assert not is_allowed(div)


def test_each_bad_narrative_is_named() -> None:
    bad = {"status": "generated", "div": "<script>x</script>"}
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "text": bad,
        "contained": [{"resourceType": "Practitioner", "id": "a", "text": bad}],
    }
    with pytest.raises(InvalidResourceError) as raised:
        validate(resource)
    assert {place for place, _ in raised.value.issues} == {
        "Observation.text.div",
        "Observation.contained[0].text.div",
    }
