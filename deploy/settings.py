"""Where the product runs on this machine: folders, addresses, ports, sizes.

Read from `DEPLOY_*` variables; standard library only, because the set-up reads it before anything is
installed. What `render` used is kept in `etc/settings.json`, so that `status` and `down` need no variable.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from deploy.errors import DeployError

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: every program runs with it as its working folder."""

PREFIX = "DEPLOY_"


@dataclass(frozen=True)
class Settings:
    """One installation."""

    var: Annotated[Path, "folder of everything that the product writes; keep the path short (sockets)"] = (
        ROOT / "var"
    )
    address: Annotated[str, "address that nginx listens on; everything else stays on loopback"] = "127.0.0.1"
    http_port: Annotated[int, "nginx, the only way in"] = 8080
    tls_port: Annotated[int, "nginx with TLS, when a certificate is set"] = 8443
    tls_certificate: Annotated[str, "PEM file of the certificate chain; empty: no TLS"] = ""
    tls_key: Annotated[str, "PEM file of the certificate's key"] = ""
    public_url: Annotated[str, "origin that browsers and apps use; empty: derived from the ports"] = ""
    hapi_port: Annotated[int, "HAPI FHIR"] = 8090
    orthanc_port: Annotated[int, "Orthanc's HTTP"] = 8042
    dicom_port: Annotated[int, "Orthanc's DICOM"] = 4242
    dicom_open: Annotated[bool, "true: modalities elsewhere may reach the DICOM port (listed ones only)"] = (
        False
    )
    receiver_port: Annotated[int, "receiver of HAPI's notifications"] = 8002
    mariadb_port: Annotated[int, "MariaDB with OpenEMR's tables"] = 3307
    hapi_heap: Annotated[str, "HAPI's largest heap; 512m is the least that was tried"] = "768m"
    hapi_java_options: Annotated[str, "further options of HAPI's Java machine"] = ""
    hapi_database_url: Annotated[str, "JDBC URL of PostgreSQL; empty: an H2 file (demo and tests only)"] = ""
    hapi_database_user: Annotated[str, "user of that database"] = ""
    hapi_database_password_file: Annotated[str, "file with that user's password"] = ""
    auth_database_url_file: Annotated[
        str, "file with the SQLAlchemy URL of logins and apps (mysql+pymysql://…); empty: an SQLite file"
    ] = ""
    openemr_schema: Annotated[
        str, "SQL file loaded into an empty openemr database; empty: the project's own"
    ] = ""
    stow_max_mb: Annotated[int, "largest STOW-RS request"] = 2048
    fhir_max_mb: Annotated[int, "largest FHIR request"] = 8
    rate_general: Annotated[int, "requests a second of one principal to /fhir; 0: no limit"] = 300
    rate_dicomweb: Annotated[int, "requests a second of one principal to /dicom-web; 0: no limit"] = 1000
    rate_auth: Annotated[
        int, "requests a second from one address to login, token, discovery, and without login; 0: no limit"
    ] = 10
    rate_websocket: Annotated[int, "WebSocket handshakes a second from one address; 0: no limit"] = 5
    in_flight_max: Annotated[int, "requests at a time to /fhir, as many to /dicom-web; 0: no bound"] = 256
    trusted_proxies: Annotated[
        str, "networks of the proxies before nginx, separated by spaces; only they may name the client"
    ] = ""
    real_ip_header: Annotated[str, "header in which they do (Cloudflare: CF-Connecting-IP)"] = (
        "CF-Connecting-IP"
    )
    totp_required: Annotated[bool, "staff need a second factor at login; the demo turns it off"] = True
    complete_after_s: Annotated[int, "a study is complete after this long without a new instance"] = 3
    stable_age_s: Annotated[int, "Orthanc's own idea of the same"] = 3
    originals_days: Annotated[int, "how long originals of transcoded instances are kept"] = 7
    audit_keep_days: Annotated[int, "days before events of the trail may be removed; 0: kept for ever"] = 0
    lease_s: Annotated[int, "how long a job's lease holds without renewal"] = 30
    reconcile_s: Annotated[int, "how often undone work is looked for"] = 5
    compare_s: Annotated[int, "how often it is looked for what was deleted in Orthanc"] = 300
    inference_bundles: Annotated[str, "AI bundles that may run, a JSON list of folder names"] = (
        '["brain_tumour_demo"]'
    )
    inference_dtype: Annotated[str, "auto, float32 or bfloat16"] = "auto"
    inference_threads: Annotated[int, "threads of one prediction; 0: one per core"] = 0
    organization_name: Annotated[str, "name of the hospital, as apps show it (user-access brands)"] = (
        "NeuroNova"
    )
    organization_url: Annotated[str, "web address of the hospital; empty: this installation's"] = ""
    time_zone: Annotated[str, "the hospital's UTC offset, for OpenEMR's local times and for pages"] = "+09:00"

    @property
    def base_url(self) -> str:
        """Origin that browsers and apps use, without a slash at its end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        if self.tls_certificate:
            return f"https://localhost:{self.tls_port}"
        return f"http://localhost:{self.http_port}"

    @property
    def ports(self) -> Mapping[str, tuple[str, int]]:
        """Setting -> program and port, for everything that listens on TCP."""
        ports = {
            "http_port": ("nginx", self.http_port),
            "hapi_port": ("hapi", self.hapi_port),
            "orthanc_port": ("orthanc", self.orthanc_port),
            "dicom_port": ("orthanc", self.dicom_port),
            "receiver_port": ("receiver", self.receiver_port),
            "mariadb_port": ("mariadb", self.mariadb_port),
        }
        return ports | ({"tls_port": ("nginx", self.tls_port)} if self.tls_certificate else {})

    def save(self) -> None:
        """Keep these settings in the installation's folder."""
        path = self.var / "etc" / "settings.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {
            name: str(value) if name == "var" else value for name, value in dataclasses.asdict(self).items()
        }
        part = path.with_suffix(".part")
        part.write_text(json.dumps(values, indent=1) + "\n")
        part.replace(path)


def from_environment(environment: Mapping[str, str], var: Path | None = None) -> Settings:
    """Settings from `DEPLOY_*` variables; an unknown or malformed one is an error, not a surprise later."""
    types = get_type_hints(Settings)
    values: dict[str, Any] = {}
    for key, text in environment.items():
        if not key.startswith(PREFIX):
            continue
        name = key.removeprefix(PREFIX).lower()
        if name not in types:
            raise DeployError(
                f"{key} is not a setting", do=f"the settings are listed in {ROOT}/deploy/README.md"
            )
        values[name] = _parse(key, text, types[name])
    if var is not None:
        values["var"] = var
    settings = Settings(**values)
    return dataclasses.replace(settings, var=settings.var.absolute())


def _parse(key: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() not in {"true", "false", "1", "0"}:
            raise DeployError(f"{key}={text} is neither true nor false", do=f"set {key}=true or {key}=false")
        return text.lower() in {"true", "1"}
    try:
        return kind(text)
    except ValueError as error:
        raise DeployError(f"{key}={text} is not a number", do=f"set {key} to a whole number") from error


def saved(var: Path) -> Settings:
    """The settings that an installation was rendered with."""
    path = var.absolute() / "etc" / "settings.json"
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DeployError(f"nothing is installed in {var}", do="run `make up` first") from error
    known = {f.name for f in dataclasses.fields(Settings)}
    kept: dict[str, Any] = {name: value for name, value in values.items() if name in known and name != "var"}
    return Settings(var=Path(values["var"]), **kept)


def from_process(var: Path | None = None) -> Settings:
    """Settings of this process; for process entries only."""
    return from_environment(os.environ, var)
