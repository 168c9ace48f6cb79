"""The narrative of a resource: XHTML of the kind that FHIR allows, nothing that a browser would run or load.

HAPI answers 500 to a narrative that it cannot read, and stores scripts as they are.
Source: FHIR R4 narrative.html (limited XHTML; no scripts, forms, frames, objects, external style sheets).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.entities import name2codepoint
from typing import Any, Final
from xml.etree import ElementTree

_XHTML: Final = "{http://www.w3.org/1999/xhtml}"
_ELEMENTS: Final = frozenset(
    """a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6
    hr i img li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var""".split()  # noqa: E501, SIM905
)
_ATTRIBUTES: Final = frozenset(
    """abbr align alt axis border cellpadding cellspacing char charoff class colspan dir frame headers height
    href id lang name rowspan rules scope span src style summary title valign width
    {http://www.w3.org/XML/1998/namespace}lang {http://www.w3.org/XML/1998/namespace}space""".split()  # noqa: SIM905
)
# A scheme that is named is one of these; browsers skip blanks and controls inside it.
_BLANKS: Final = re.compile(r"[\x00-\x20]+")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_TARGET: Final = re.compile(r"(?:https?|mailto|tel|urn):|data:image/(?:png|jpeg|gif);", re.IGNORECASE)
_DECLARED: Final = re.compile(r"<!(?!--)|<\?")
_NAMED: Final = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
_OWN: Final = frozenset({"amp", "lt", "gt", "quot", "apos"})


def is_allowed(div: object) -> bool:
    """Whether this may be a `Narrative.div`."""
    if not isinstance(div, str) or _DECLARED.search(div):
        return False  # no document type (so no entity of its own) and no processing instruction
    try:
        root = ElementTree.fromstring(_NAMED.sub(_numbered, div))  # noqa: S314 - see above
    except (ElementTree.ParseError, ValueError):
        return False
    return root.tag == f"{_XHTML}div" and all(_is_allowed(element) for element in root.iter())


def divs(place: str, resource: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Place and content of each narrative of a resource and what it contains."""
    found: list[tuple[str, object]] = []
    text = resource.get("text")
    if isinstance(text, Mapping) and "div" in text:
        found.append((f"{place}.text.div", text["div"]))
    contained = resource.get("contained")
    for index, item in enumerate(contained if isinstance(contained, list) else ()):
        if isinstance(item, Mapping):
            found += divs(f"{place}.contained[{index}]", item)
    return found


def _is_allowed(element: ElementTree.Element) -> bool:
    if not str(element.tag).startswith(_XHTML) or str(element.tag).removeprefix(_XHTML) not in _ELEMENTS:
        return False
    targets = [element.get(name) for name in ("href", "src")]
    style = element.get("style", "").lower()
    return (
        set(element.attrib) <= _ATTRIBUTES
        and all(target is None or _is_harmless(target) for target in targets)
        and not any(word in style for word in ("url(", "expression", "import", "\\"))
    )


def _is_harmless(target: str) -> bool:
    plain = _BLANKS.sub("", target)
    return not _SCHEME.match(plain) or bool(_TARGET.match(plain))


def _numbered(named: re.Match[str]) -> str:
    name = named[1]
    return named[0] if name in _OWN or name not in name2codepoint else f"&#{name2codepoint[name]};"
