"""The DICOM conformance statement: `python -m facade.tables.statement > docs/dicom.md`.

The text is `dicom.md` beside this module; what can be read from the code is filled in. Sources: PS3.2,
PS3.18 chapter 10 and table I.2-2, PS3.7 annex C.
"""

from __future__ import annotations

import sys
from pathlib import Path
from string import Template

from facade.routes import qido
from facade.routes.query import MOST
from imaging.attributes import KEYS
from imaging.display import FUNCTIONS, MEDIA_TYPES, MOST_PICTURES, MOST_PIXELS, MOST_VIEWPORT
from imaging.frames import MEDIA_TYPE
from imaging.reasons import MEANING


def markdown() -> str:
    """The statement."""
    text = Template(Path(__file__).with_name("dicom.md").read_text("utf-8"))
    return text.substitute(
        pictures=", ".join(f"`{kind}`" for kind in MEDIA_TYPES),
        viewport=MOST_VIEWPORT,
        functions=", ".join(f"`{name}`" for name in FUNCTIONS),
        most=MOST_PICTURES,
        pixels=MOST_PIXELS,
        limit=MOST,
        studies=qido.MOST_STUDIES,
        keys=_table(
            ("level", "tag", "attribute", "VR"),
            [(key.level, key.tag, key.keyword, key.vr) for key in KEYS],
        ),
        syntaxes=_table(
            ("transfer syntax", "media type"), [(f"`{uid}`", f"`{kind}`") for uid, kind in MEDIA_TYPE.items()]
        ),
        reasons=_table(
            ("code", "meaning"), [(f"{code:04X}", text) for code, text in sorted(MEANING.items())]
        ),
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(markdown())
