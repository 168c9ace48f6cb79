"""Writes every configuration file of one installation into its `etc/`, from the templates in this folder."""

import base64
import dataclasses
import hashlib
import os
import re
import shlex
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deploy import credentials, environment, programs
from deploy.errors import DeployError
from deploy.settings import ROOT, Settings
from deploy.setup.shim import PLUGIN
from deploy.setup.viewer import VIEWER
from facade.catalogue import CATALOGUE
from facade.outcome import MEDIA_TYPE

TEMPLATES = {
    "redis.conf": "redis/redis.conf.j2",
    "mariadb.cnf": "mariadb/mariadb.cnf.j2",
    "mariadb-init.sql": "mariadb/mariadb-init.sql.j2",
    "orthanc.json": "orthanc/orthanc.json.j2",
    "nginx.conf": "nginx/nginx.conf.j2",
    "nginx-headers.conf": "nginx/nginx-headers.conf.j2",
    "nginx-facade.conf": "nginx/nginx-facade.conf.j2",
    "nginx-api.conf": "nginx/nginx-api.conf.j2",
    "nginx-internal.conf": "nginx/nginx-internal.conf.j2",
    "nginx-viewer.conf": "nginx/nginx-viewer.conf.j2",
    "www/index.html": "nginx/index.html.j2",
}
FOLDERS = (
    "etc/www",
    "etc/env",
    "log",
    "run/nginx",
    "run/groups",
    "run/mariadb-tmp",
    "run/orthanc-tmp",
    "secrets",
    "keys",
    "redis",
    "hapi",
    "orthanc",
    "spool",
    "audit",
    "stow",
    "dicom",
    "replace/again",
    "subscriptions",
)
LONGEST_VAR = 80
"""A unix socket's path has at most 107 bytes (unix(7)); ours add up to 25."""

OUTCOMES = ("ERR_201", "ERR_104", "ERR_110", "ERR_407", "ERR_501")
"""What nginx answers by itself, from the facade's own table: the two cannot be told apart by their body."""
AUTH_ERRORS = {413: "invalid_request", 429: "temporarily_unavailable", 503: "temporarily_unavailable"}


def render(settings: Settings) -> dict[str, str]:
    """Make folders, secrets and configuration; answers the secrets."""
    if len(os.fsencode(settings.var)) > LONGEST_VAR:
        raise DeployError(
            f"the folder {settings.var} has too long a path for unix sockets",
            do=f"choose one of at most {LONGEST_VAR} bytes with DEPLOY_VAR or --var",
        )
    settings.var.mkdir(parents=True, exist_ok=True)
    settings.var.chmod(0o700)
    for folder in FOLDERS:
        (settings.var / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    secrets = credentials.generate(settings.var / "secrets")
    etc = settings.var / "etc"
    jinja = Environment(
        loader=FileSystemLoader(ROOT / "deploy"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - configuration files; the values are ours, none comes from a client
    )
    values = _values(settings, secrets)
    for target, template in TEMPLATES.items():
        _write(etc / target, jinja.get_template(template).render(values))
    for name, variables in environment.variables(settings, secrets).items():
        _write(etc / "env" / f"{name}.env", environment_file(variables))
    rows = [_supervised(settings, program) for program in programs.table(settings).values()]
    text = jinja.get_template("supervisor/supervisord.conf.j2").render(values, programs=rows)
    _write(etc / "supervisord.conf", text)
    settings.save()
    return secrets


def _values(settings: Settings, secrets: Mapping[str, str]) -> dict[str, Any]:
    user = f"nginx:{secrets['orthanc-nginx']}"
    return {
        **{field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)},
        "var": str(settings.var),
        "root": str(ROOT),
        "viewer": str(VIEWER),
        "keepagain": str(PLUGIN),
        "base_url": settings.base_url,
        "is_root": os.geteuid() == 0,
        "secrets": secrets,
        "orthanc_basic": base64.b64encode(user.encode()).decode(),
        "rates": {
            "auth": settings.rate_auth,
            "websocket": settings.rate_websocket,
        },
        "trusted_proxies": _networks(settings),
        "outcomes": [(CATALOGUE[code], code) for code in OUTCOMES],
        "auth_errors": AUTH_ERRORS,
        "media_type": MEDIA_TYPE,
        "limit": lambda zone: _limit(settings, zone),
        "limit_nobody": _zone("nobody", settings.rate_auth),
        "errors": _errors,
    }


def _networks(settings: Settings) -> list[str]:
    """The proxies that may say who the client is; a word that is no network is an error."""
    try:
        networks = [str(ip_network(word)) for word in settings.trusted_proxies.split()]
    except ValueError as error:
        raise DeployError(
            f"DEPLOY_TRUSTED_PROXIES: {error}", do="list networks like 203.0.113.0/24, with spaces between"
        ) from error
    if networks and not re.fullmatch(r"[A-Za-z][A-Za-z-]*", settings.real_ip_header):
        raise DeployError(
            f"{settings.real_ip_header} is not a header's name", do="set DEPLOY_REAL_IP_HEADER to one"
        )
    return networks


def _limit(settings: Settings, zone: str) -> str:
    """Two seconds' worth may come at once: a page loads, a token follows, a client connects again."""
    return _zone(zone, getattr(settings, f"rate_{zone}"))


def _zone(name: str, rate: int) -> str:
    return f"      limit_req zone={name} burst={2 * rate} nodelay;" if rate else ""


def _errors(kind: str) -> str:
    """What nginx itself answers when it refuses a request or the facade is away."""
    lines = (
        f"error_page 413 = @{kind}_413;",
        f"error_page 429 = @{kind}_429;",
        f"error_page 502 504 = @{kind}_503;",
    )
    return "\n".join(f"      {line}" for line in lines)


def environment_file(variables: Mapping[str, str]) -> str:
    """KEY='value' lines that both `launch` and a shell read."""
    for key, value in variables.items():
        if "'" in value or "\n" in value:
            raise DeployError(f"the value of {key} holds a quote or a line break", do="choose another value")
    return "".join(f"{key}='{value}'\n" for key, value in sorted(variables.items()))


def _supervised(settings: Settings, program: programs.Program) -> dict[str, Any]:
    etc = settings.var / "etc"
    launcher = (
        programs.FACADE,
        "-I",
        "-S",
        str(ROOT / "deploy" / "launch.py"),
        program.name,
        str(settings.var),
        "--",
    )
    files = [etc / "env" / f"{program.name}.env", *(etc / part for part in program.configuration)]
    if program.name == "nginx":
        files += sorted(etc.glob("nginx-*.conf"))
    total = hashlib.sha256(
        b"".join(path.read_bytes() for path in files) + programs.code(program.name).encode()
    )
    return {
        "name": program.name,
        # supervisord expands %(...)s in its configuration.
        "command": shlex.join([*launcher, *program.command]).replace("%", "%%"),
        "configuration": total.hexdigest()[:16],
        "stop_wait_s": program.stop_wait_s,
    }


def _write(path: Path, text: str) -> None:
    """Private and whole: a program that starts meanwhile reads the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)
