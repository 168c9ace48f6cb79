"""Settings and texts are complete."""

import re
from pathlib import Path

from smart_auth.settings import SMARTAuthSettings
from smart_auth.texts import RULES_KO, TEXTS, language

README = Path(__file__).parents[2] / "smart_auth" / "README.md"


def test_every_setting_is_described_and_stands_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    for name, field in SMARTAuthSettings.model_fields.items():
        assert field.description
        assert f"`SMART_AUTH_{name.upper()}`" in text, name


def test_both_languages_have_every_sentence_with_the_same_places_to_fill() -> None:
    assert set(TEXTS["ko"]) == set(TEXTS["en"])
    for key, english in TEXTS["en"].items():
        assert re.findall(r"{\w+}", english) == re.findall(r"{\w+}", TEXTS["ko"][key]), key


def test_the_language_is_the_chosen_one_else_the_first_that_we_have() -> None:
    assert language("ko", "en") == "en"
    assert language("fr, ko;q=0.5, en;q=0.4", None) == "ko"
    assert language("", None) == "en"
    assert language("x;q=abc,,;", "xx") == "en"
    assert len(RULES_KO) == len(set(RULES_KO.values()))
