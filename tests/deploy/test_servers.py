"""What every installation must hold, read from running servers."""

import os
import stat
import subprocess
from pathlib import Path

import httpx
import pytest
import redis

from deploy.setup.store import ARCHIVE
from facade.catalogue import CATALOGUE
from facade.outcome import MEDIA_TYPE, SYSTEM
from tests.servers.stack import Stack, processes_of

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def infrastructure(servers: Stack) -> Stack:
    return servers.need("redis", "mariadb", "orthanc", "nginx", "hapi")


def test_every_listener_is_on_loopback(infrastructure: Stack) -> None:
    ours = set(processes_of(infrastructure.var)) | _children(infrastructure)
    listing = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    listeners = [
        line.split()[3] for line in listing.splitlines() if any(f"pid={pid}," in line for pid in ours)
    ]
    ports = {int(address.rpartition(":")[2]) for address in listeners}
    expected = {port for program, port in infrastructure.settings.ports.values() if program != "receiver"}
    assert expected <= ports
    assert {address.rpartition(":")[0] for address in listeners} <= {
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
    }


def _children(stack: Stack) -> set[int]:
    return {state.pid for state in stack.supervisor.states().values() if state.pid}


def test_redis_keeps_its_queue_when_memory_is_short(infrastructure: Stack) -> None:
    with redis.Redis.from_url(infrastructure.redis_url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("port") == {"port": "0"}


def test_orthanc_refuses_an_unknown_modality(infrastructure: Stack) -> None:
    port = str(infrastructure.settings.dicom_port)
    command = ["echoscu", "-aet", "STRANGER", "-aec", "NEURONOVA", "127.0.0.1", port]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_orthanc_accepts_a_listed_modality_from_its_own_host_only(infrastructure: Stack) -> None:
    port = str(infrastructure.settings.dicom_port)
    login = infrastructure.orthanc_login
    echo = ["echoscu", "-aet", "LISTED", "-aec", "NEURONOVA", "127.0.0.1", port]
    url = f"{infrastructure.orthanc_url}/modalities/listed"
    for host, accepted in (("127.0.0.1", True), ("192.0.2.7", False)):
        modality = {"AET": "LISTED", "Host": host, "Port": 104, "AllowEcho": True, "AllowStore": True}
        httpx.put(url, json=modality, auth=login).raise_for_status()
        done = subprocess.run(echo, capture_output=True, check=False)
        assert (done.returncode == 0) is accepted
    httpx.delete(url, auth=login).raise_for_status()


def test_orthanc_refuses_a_call_for_another_title(infrastructure: Stack) -> None:
    port = str(infrastructure.settings.dicom_port)
    login = infrastructure.orthanc_login
    url = f"{infrastructure.orthanc_url}/modalities/listed"
    modality = {"AET": "LISTED", "Host": "127.0.0.1", "Port": 104, "AllowEcho": True}
    httpx.put(url, json=modality, auth=login).raise_for_status()
    echo = ["echoscu", "-aet", "LISTED", "-aec", "ANOTHER", "127.0.0.1", port]
    assert subprocess.run(echo, capture_output=True, check=False).returncode != 0
    httpx.delete(url, auth=login).raise_for_status()


def test_orthanc_wants_a_login(infrastructure: Stack) -> None:
    assert httpx.get(f"{infrastructure.orthanc_url}/system").status_code == 401


def test_hapi_starts_from_the_archive_of_its_classes(infrastructure: Stack) -> None:
    # Shared classes are mapped from the file; a JVM that rejects the archive starts without it.
    assert str(ARCHIVE) in Path(f"/proc/{infrastructure.pid('hapi')}/maps").read_text()


def test_hapi_wants_a_secret(infrastructure: Stack) -> None:
    assert httpx.get(f"{infrastructure.hapi_url}/Patient").status_code == 403


def test_internal_paths_are_not_public(infrastructure: Stack) -> None:
    base = f"http://127.0.0.1:{infrastructure.settings.http_port}"
    for path in (
        "/internal-hapi/Patient",
        "/internal-orthanc/instances",
        "/internal-pixels/",
        "/fhir/../internal-hapi/Patient",
    ):
        assert httpx.get(base + path).status_code == 404


def test_the_viewer_is_served_under_its_path(infrastructure: Stack) -> None:
    base = f"http://127.0.0.1:{infrastructure.settings.http_port}"
    page = httpx.get(f"{base}/pacs-viewer/")
    assert "<script>" not in page.text
    assert 'window.PUBLIC_URL="/pacs-viewer/"' in httpx.get(f"{base}/pacs-viewer/start-2.js").text
    policy = page.headers["Content-Security-Policy"].split("; ")
    (scripts,) = (one for one in policy if one.startswith("script-src "))
    assert "'unsafe-inline'" not in scripts
    assert httpx.get(f"{base}/pacs-viewer/neuronova/extension.js").status_code == 200
    assert httpx.get(f"{base}/pacs-viewer/viewer").text == page.text
    assert httpx.get(f"{base}/pacs-viewer/missing.js").status_code == 404


def test_a_facade_that_is_away_is_answered_as_an_outcome(infrastructure: Stack) -> None:
    if "facade" in infrastructure._started:
        infrastructure.stop("facade")
    base = f"http://127.0.0.1:{infrastructure.settings.http_port}"
    answer = httpx.get(f"{base}/fhir/Patient?name=never-in-a-log", headers={"Accept-Language": "ko"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    outcome = answer.json()
    assert outcome["issue"][0].pop("diagnostics") == answer.headers["X-Request-ID"]
    entry = CATALOGUE["ERR_501"]
    coding = [{"system": SYSTEM, "code": "ERR_501"}]
    details = {"coding": coding, "text": entry.korean}
    issue = {"severity": "error", "code": entry.issue, "details": details}
    assert outcome == {"resourceType": "OperationOutcome", "issue": [issue]}
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    assert httpx.post(f"{base}/auth/token").json()["error"] == "temporarily_unavailable"
    assert "never-in-a-log" not in infrastructure.log("nginx")
    if "facade" in infrastructure._started:
        infrastructure.start("facade")


def test_a_body_over_the_limit_is_answered_as_an_outcome(infrastructure: Stack) -> None:
    base = f"http://127.0.0.1:{infrastructure.settings.http_port}"
    answer = httpx.post(f"{base}/fhir/Patient", content=b" " * (9 * 1024 * 1024))
    assert answer.status_code == 413
    assert answer.json()["issue"][0]["code"] == "too-long"


def test_secrets_are_private_files(infrastructure: Stack) -> None:
    for folder in ("secrets", "etc"):
        for path in (infrastructure.var / folder).rglob("*"):
            if path.is_file() and path.name != "settings.json":
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(infrastructure.var.stat().st_mode) == 0o700


def test_no_secret_stands_in_a_command_line(infrastructure: Stack) -> None:
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                lines.append((entry / "cmdline").read_bytes())
            except (FileNotFoundError, ProcessLookupError):
                continue
    commands = b"\n".join(lines)
    assert str(infrastructure.var).encode() in commands
    for name, value in infrastructure.secrets.items():
        assert value.encode() not in commands, name


def test_nothing_of_a_killed_nginx_keeps_its_port(infrastructure: Stack) -> None:
    infrastructure.kill("nginx")
    infrastructure.wait_ready("nginx")
    assert httpx.get(f"http://127.0.0.1:{infrastructure.settings.http_port}/").status_code == 200


def test_openemr_tables_survive_a_killed_server(infrastructure: Stack) -> None:
    infrastructure.kill("mariadb")
    infrastructure.wait_ready("mariadb")
