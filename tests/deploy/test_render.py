import dataclasses
import json
import re
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from deploy.environment import variables
from deploy.errors import DeployError
from deploy.programs import table
from deploy.render import environment_file, render
from deploy.settings import Settings

NGINX = "/usr/sbin/nginx"


def nginx_check(settings: Settings) -> subprocess.CompletedProcess[str]:
    command = [NGINX, "-t", "-q", "-p", f"{settings.var}/run/nginx", "-c", f"{settings.var}/etc/nginx.conf"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_nginx_accepts_its_configuration(rendered: Settings) -> None:
    assert nginx_check(rendered).returncode == 0


def test_nginx_accepts_its_configuration_with_tls_and_without_limits(var: Path, settings: Settings) -> None:
    certificate, key = var / "c.pem", var / "k.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "1", "-subj", "/CN=localhost", "-out", certificate, "-keyout", key),
        ],
        capture_output=True,
        check=True,
    )
    safe = dataclasses.replace(
        settings,
        tls_certificate=str(certificate),
        tls_key=str(key),
        rate_general=0,
        rate_auth=0,
        rate_dicomweb=0,
        rate_websocket=0,
        trusted_proxies="203.0.113.0/24 2001:db8::/32",
    )
    render(safe)
    done = nginx_check(safe)
    assert done.returncode == 0, done.stderr
    text = (var / "etc" / "nginx.conf").read_text()
    assert "ssl http2" in text
    assert "limit_req " not in text


def test_request_lines_are_never_logged(rendered: Settings) -> None:
    text = (rendered.var / "etc" / "nginx.conf").read_text()
    http = text[text.index("http {") :]
    assert http.count("error_log") == 1
    assert f"error_log {rendered.var}/log/nginx.log emerg;" in http
    (form,) = [line for line in http.splitlines() if "log_format" in line]
    assert set(re.findall(r"\$\w+", form)) == {"$request_id", "$status", "$body_bytes_sent"}


def test_internal_locations_send_nothing_of_the_client(rendered: Settings) -> None:
    etc = rendered.var / "etc"
    shared = (etc / "nginx-internal.conf").read_text()
    for line in (
        "proxy_method GET;",
        "proxy_pass_request_headers off;",
        "proxy_pass_request_body off;",
        "proxy_intercept_errors on;",
    ):
        assert line in shared
    text = (etc / "nginx.conf").read_text()
    for name in ("hapi", "orthanc", "pixels"):
        block = text[text.index(f"location /internal-{name}/") :].partition("\n    }\n")[0]
        assert "internal;" in block
        assert "nginx-internal.conf;" in block


def test_orthanc_takes_nothing_from_strangers(rendered: Settings) -> None:
    orthanc = json.loads((rendered.var / "etc" / "orthanc.json").read_text())
    assert not any(value for key, value in orthanc.items() if key.startswith("DicomAlwaysAllow"))
    for key in (
        "DicomCheckCalledAet",
        "DicomCheckModalityHost",
        "DicomModalitiesInDatabase",
        "AuthenticationEnabled",
    ):
        assert orthanc[key] is True
    assert orthanc["OverwriteInstances"] is False
    assert orthanc["RemoteAccessAllowed"] is False
    assert orthanc["DicomAet"] == "NEURONOVA"


def test_every_program_has_its_variables_in_a_private_file(rendered: Settings) -> None:
    for name in table(rendered):
        path = rendered.var / "etc" / "env" / f"{name}.env"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_shell_reads_the_variables_as_they_are(rendered: Settings) -> None:
    secrets = render(rendered)
    for name, wanted in variables(rendered, secrets).items():
        script = f"set -a; . {shlex.quote(f'{rendered.var}/etc/env/{name}.env')}; env -0"
        done = subprocess.run(
            ["env", "-i", "/bin/sh", "-c", script], capture_output=True, text=True, check=True
        )
        read = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
        assert wanted.items() <= read.items()


def test_a_value_that_a_shell_would_read_otherwise_is_refused() -> None:
    with pytest.raises(DeployError, match="NAME"):
        environment_file({"NAME": "it's"})


def test_no_program_gets_a_secret_of_another_kind(rendered: Settings) -> None:
    secrets = render(rendered)
    per_program = variables(rendered, secrets)
    owners = {
        "hapi-facade": {"facade", "hapi"},
        "hapi-nginx": {"hapi"},
        "hapi-receiver": {"receiver", "hapi"},
        "hapi-shipper": {"audit-shipper", "hapi"},
        "hapi-retention": {"hapi"},
        "orthanc-nginx": set(),
        "mariadb-openemr": set(),
    }
    for secret, allowed in owners.items():
        holders = {
            name for name, values in per_program.items() if any(secrets[secret] in v for v in values.values())
        }
        assert holders == allowed, secret
    pixels = "\n".join(per_program["pixels"].values())
    assert not [name for name, value in secrets.items() if value in pixels and name != "orthanc-imaging"]


def test_rendering_again_keeps_secrets_and_changes_nothing(rendered: Settings) -> None:
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in rendered.var.rglob("*") if path.is_file()}

    before = content()
    render(rendered)
    assert content() == before


def test_a_changed_setting_changes_only_what_supervision_knows_of_the_programs_that_use_it(
    rendered: Settings,
) -> None:
    def known() -> dict[str, str]:
        lines = (rendered.var / "etc" / "supervisord.conf").read_text().splitlines()
        names = [line[len("[program:") : -1] for line in lines if line.startswith("[program:")]
        return dict(zip(names, (line for line in lines if line.startswith("environment")), strict=True))

    before = known()
    render(dataclasses.replace(rendered, stable_age_s=9))
    after = known()
    assert {name for name in after if after[name] != before[name]} == {"orthanc"}


def test_a_folder_too_deep_for_sockets_is_refused(settings: Settings) -> None:
    deep = settings.var / ("d" * 90)
    with pytest.raises(DeployError, match="too long"):
        render(dataclasses.replace(settings, var=deep))
    assert not deep.exists()


def test_hapi_in_production_has_no_file_database(settings: Settings) -> None:
    password = settings.var / "password"
    password.write_text("word\n")
    production = dataclasses.replace(
        settings, hapi_database_url="jdbc:postgresql://db/fhir", hapi_database_password_file=str(password)
    )
    values = variables(production, render(production))["hapi"]
    assert (values["HAPI_PRODUCTION"], values["HAPI_DATABASE_PASSWORD"]) == ("true", "word")
    assert "WRITE_DELAY=0" in variables(settings, render(settings))["hapi"]["HAPI_DATABASE_URL"]


def test_the_address_of_another_login_database_stays_in_its_file(settings: Settings) -> None:
    address = settings.var / "auth-database"
    address.write_text("mysql+pymysql://auth:only-in-its-file@db/auth\n")
    elsewhere = dataclasses.replace(settings, auth_database_url_file=str(address))
    values = variables(elsewhere, render(elsewhere))["facade"]
    assert values["SMART_AUTH_DATABASE_URL"] == "mysql+pymysql://auth:only-in-its-file@db/auth"
    elsewhere.save()
    assert "only-in-its-file" not in (settings.var / "etc" / "settings.json").read_text()
    assert variables(settings, render(settings))["facade"]["SMART_AUTH_DATABASE_URL"].startswith("sqlite:///")
