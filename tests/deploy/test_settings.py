import dataclasses
from pathlib import Path

import pytest

from deploy.errors import DeployError
from deploy.settings import ROOT, Settings, from_environment, saved


def test_every_setting_is_documented() -> None:
    readme = (ROOT / "deploy" / "README.md").read_text()
    for field in dataclasses.fields(Settings):
        assert f"`DEPLOY_{field.name.upper()}`" in readme, field.name


def test_a_variable_changes_its_setting() -> None:
    settings = from_environment({"DEPLOY_HTTP_PORT": "9090", "DEPLOY_DICOM_OPEN": "true", "PATH": "/bin"})
    assert (settings.http_port, settings.dicom_open) == (9090, True)
    assert settings.base_url == "http://localhost:9090"


@pytest.mark.parametrize(
    ("name", "value"),
    [("DEPLOY_HTTP_PROT", "1"), ("DEPLOY_HTTP_PORT", "many"), ("DEPLOY_DICOM_OPEN", "perhaps")],
)
def test_a_wrong_variable_is_an_error_that_names_it(name: str, value: str) -> None:
    with pytest.raises(DeployError, match=name):
        from_environment({name: value})


def test_settings_are_found_again_without_any_variable(var: Path) -> None:
    settings = dataclasses.replace(Settings(), var=var, http_port=9090)
    settings.save()
    assert saved(var) == settings


def test_a_certificate_moves_the_public_address_to_tls() -> None:
    settings = from_environment({"DEPLOY_TLS_CERTIFICATE": "/c.pem", "DEPLOY_TLS_KEY": "/k.pem"})
    assert settings.base_url == "https://localhost:8443"
