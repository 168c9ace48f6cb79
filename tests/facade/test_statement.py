"""The conformance statement is that of the code."""

from pathlib import Path

from facade.routes import dicomweb
from facade.tables import statement
from imaging import reasons

ROOT = Path(__file__).parents[2]


def test_the_statement_is_the_one_that_the_code_gives() -> None:
    assert (ROOT / "docs/dicom.md").read_text("utf-8") == statement.markdown()


def test_every_reason_that_is_answered_is_explained() -> None:
    codes = {value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, int)}
    assert codes == set(reasons.MEANING)


def test_every_form_that_is_served_is_named() -> None:
    text = statement.markdown()
    forms = {route.path.rpartition("/")[2] for route in dicomweb.routes}
    for form in forms - {"{study}", "{series}", "{instance}", "{frames}", "{path}"}:
        assert form in text, form
