"""Every setting is described where an operator looks."""

from pathlib import Path

import pytest

from inference.settings import Settings

README = Path(__file__).parents[2] / "inference" / "README.md"


def test_every_setting_is_described_and_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        assert field.description
        assert f"| {name} |" in text


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_BUNDLES_DIR", "/bundles")
    monkeypatch.setenv("INFERENCE_ALLOWED_BUNDLES", '["brain_tumour_demo"]')
    settings = Settings()  # type: ignore[call-arg]
    assert settings.allowed_bundles == ("brain_tumour_demo",)
    assert settings.dtype == "auto"
